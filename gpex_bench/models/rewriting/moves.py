"""Calls that move values, join or pad them, or take the mean, the sum or the largest of some."""

# ruff: noqa: PLR0913 - the arguments are torch's

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from gpex_bench.models.rewriting.generalising import Rows
from gpex_bench.models.rewriting.names import CASTS, words
from gpex_bench.models.rewriting.operations import (
    Add,
    Concatenate,
    Extreme,
    Mean,
    Move,
    Resample,
    Shift,
    Softmax,
    Stack,
    Total,
)
from gpex_bench.models.rewriting.site import (
    TRANSLATIONS,
    NotKnown,
    Number,
    Site,
    is_signal,
    n_axes,
    translates,
)

MOVES = words(
    """
    reshape flatten ravel unflatten permute transpose t swapaxes swapdims movedim moveaxis
    unsqueeze expand broadcast_to repeat tile repeat_interleave roll flip fliplr flipud rot90
    getitem select narrow index_select chunk split split_with_sizes tensor_split hsplit vsplit
    dsplit unbind unsafe_chunk unsafe_split pixel_shuffle pixel_unshuffle channel_shuffle diagonal
    tril triu T mT H mH adjoint unfold gather take_along_dim
    """
)
SIZES = (int, tuple)
RESHAPES = frozenset({"reshape", "flatten", "expand", "broadcast_to"})
NEAREST = ("nearest", "nearest-exact")


def _move(site: Site, input: Any, *args: Any, **kwargs: Any) -> fx.Node:
    """Add a move; NotKnown if a signal says where to."""
    site.check_only(input, args, kwargs)
    if site.name in RESHAPES and input.meta["shape"] == site.shape:
        return input
    return site.call(Move, (input, *args), kwargs)


TRANSLATIONS.update(dict.fromkeys(MOVES, _move))


@translates("view")
def view(site: Site, input: Any, *shape: Any) -> fx.Node:
    """Change the shape, whatever the layout in memory."""
    site.check_only(input, shape)
    is_shape = all(isinstance(part, SIZES) for part in shape)
    if not is_shape:
        raise NotKnown  # another view of the bits
    return site.move(torch.Tensor.reshape, input, *shape, shape=site.shape, name="view")


@translates(*CASTS)
def cast(site: Site, input: Any, *args: Any, **kwargs: Any) -> fx.Node:
    """Change the precision; to whole numbers is another thing."""
    if not is_signal(input) or not site.dtype.is_floating_point:
        raise NotKnown
    return site.move(torch.Tensor.to, input, site.dtype, shape=site.shape, name="cast")


@translates("squeeze")
def squeeze(site: Site, input: fx.Node, dim: Any = None) -> fx.Node:
    """Leave out axes of one entry; never the rows, however few they are."""
    shape = input.meta["shape"]
    dropped = tuple(axis for axis in axes_of(input, dim) if shape[axis] == 1)
    if not dropped:
        return input
    return site.move(torch.squeeze, input, dropped, shape=site.shape, name="squeeze")


@translates("pad", "constant_pad_nd")
def pad(
    site: Site, input: fx.Node, pad: Any, mode: str = "constant", value: Number | None = None
) -> fx.Node:
    """Pad with zeros or with other values of the signal; with a constant, which is then added."""
    arguments = {} if mode == "constant" else {"mode": mode}
    node = site.move(F.pad, input, pad, shape=site.shape, name="pad", **arguments)
    if mode != "constant" or not value:
        return node

    shape = input.meta["shape"]
    one_row = [1 if isinstance(size, Rows) else size for size in shape]
    inside = site.number(0).expand(one_row)
    border = F.pad(inside, pad, value=value)
    return site.emit(Shift(border), node)


# --- joining ---


@translates("cat")
def concatenate(site: Site, tensors: Any, dim: int = 0) -> fx.Node:
    """Join signals along an axis."""
    (axis,) = axes(dim, site.n_axes)
    if isinstance(site.shape[axis], Rows):
        raise NotKnown  # rows after rows
    parts = [site.as_node(part) for part in tensors if not _is_empty(part)]
    return site.emit(Concatenate(axis), *parts)


@translates("hstack", "column_stack")
def join_columns(site: Site, tensors: Any) -> fx.Node:
    """Join signals along the second axis."""
    return concatenate(site, tensors, 1)


def _is_empty(part: Any) -> bool:
    return isinstance(part, Tensor) and part.ndim == 1 and part.numel() == 0


@translates("stack")
def stack(site: Site, tensors: Any, dim: int = 0) -> fx.Node:
    """Put signals side by side along a new axis."""
    (axis,) = axes(dim, site.n_axes)
    parts = [site.as_node(part) for part in tensors]
    return site.emit(Stack(axis), *parts)


# --- reducing ---


@translates("mean")
def mean(
    site: Site, input: fx.Node, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> fx.Node:
    """Take the mean over axes."""
    site.expects_dtype(dtype)
    parts = _stacked(site, input, dim, keepdim)
    if parts:
        share = 1 / len(parts)
        return site.emit(Add((share,) * len(parts)), *parts)

    module = Mean(axes_of(input, dim), keepdim)
    return site.emit(module, input)


@translates("sum")
def total(
    site: Site, input: fx.Node, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> fx.Node:
    """Take the sum over axes."""
    site.expects_dtype(dtype)
    parts = _stacked(site, input, dim, keepdim)
    if parts:
        return site.emit(Add((1,) * len(parts)), *parts)

    module = Total(axes_of(input, dim), keepdim)
    return site.emit(module, input)


def _stacked(site: Site, input: fx.Node, dim: Any, keepdim: bool) -> list[fx.Node]:
    """Return the signals that were stacked only to be added, if so."""
    module = site.builder.attributes.get(str(input.target))
    if not isinstance(module, Stack) or keepdim:
        return []
    if axes_of(input, dim) != (module.dim,):
        return []

    parts: Any = input.args
    has_constants = any(part.op == "get_attr" for part in parts)
    return [] if has_constants else [site.expand(part) for part in parts]


@translates("amax")
def amax(site: Site, input: fx.Node, dim: Any = None, keepdim: bool = False) -> fx.Node:
    """Take the largest entry over axes."""
    module = Extreme(axes_of(input, dim), keepdim)
    return site.emit(module, input)


@translates("amin")
def amin(site: Site, input: fx.Node, dim: Any = None, keepdim: bool = False) -> fx.Node:
    """Take the smallest entry over axes."""
    module = Extreme(axes_of(input, dim), keepdim, largest=False)
    return site.emit(module, input)


@translates("max")
def largest(site: Site, input: Any, dim: Any = None, keepdim: bool = False) -> fx.Node:
    """Take the largest entry along an axis, or of two signals."""
    return _extreme(site, input, dim, keepdim, largest=True)


@translates("min")
def smallest(site: Site, input: Any, dim: Any = None, keepdim: bool = False) -> fx.Node:
    """Take the smallest entry along an axis, or of two signals."""
    return _extreme(site, input, dim, keepdim, largest=False)


@translates("maximum")
def maximum(site: Site, input: Any, other: Any) -> fx.Node:
    """Take the larger of two entries."""
    return extreme_of_two(site, input, other, largest=True)


@translates("minimum")
def minimum(site: Site, input: Any, other: Any) -> fx.Node:
    """Take the smaller of two entries."""
    return extreme_of_two(site, input, other, largest=False)


def _extreme(site: Site, input: Any, dim: Any, keepdim: bool, largest: bool) -> fx.Node:
    if site.has_tensors(dim):
        return extreme_of_two(site, input, dim, largest)
    if site.path == (1,):
        raise NotKnown  # the places of the largest
    module = Extreme(axes_of(input, dim), keepdim, largest)
    return site.emit(module, input)


def extreme_of_two(site: Site, one: Any, other: Any, largest: bool) -> fx.Node:
    """Take the larger or smaller of two entries: the extreme of a stack of two."""
    parts = [site.as_node(part) for part in (one, other)]
    last = site.n_axes
    stacked = site.emit(Stack(last), *parts, shape=(*site.shape, 2), name="stack")
    module = Extreme((last,), largest=largest)
    return site.emit(module, stacked)


@translates("softmax")
def softmax(
    site: Site, input: fx.Node, dim: int | None = None, _stacklevel: Any = 3, dtype: Any = None
) -> fx.Node:
    """Take the softmax along an axis."""
    axis = _softmax_axis(site, dim, _stacklevel, dtype)
    return site.emit(Softmax(axis), input)


@translates("log_softmax")
def log_softmax(
    site: Site, input: fx.Node, dim: int | None = None, _stacklevel: Any = 3, dtype: Any = None
) -> fx.Node:
    """Take the logarithm of the softmax along an axis."""
    axis = _softmax_axis(site, dim, _stacklevel, dtype)
    return site.emit(nn.LogSoftmax(axis), input)


def _softmax_axis(site: Site, dim: int | None, level_or_dtype: Any, dtype: Any) -> int:
    # torch.softmax has no stack level: its third argument is the type
    asked = level_or_dtype if isinstance(level_or_dtype, torch.dtype) else dtype
    site.expects_dtype(asked)
    if dim is None:
        dim = 0 if site.n_axes in (0, 1, 3) else 1
    return dim % site.n_axes


class Interpolation(NamedTuple):
    """The arguments of `interpolate`, in torch's order."""

    input: fx.Node
    size: Any = None
    scale_factor: Any = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None
    antialias: bool = False


@translates("interpolate", "upsample", arguments=Interpolation)
def interpolate(site: Site, given: Interpolation) -> fx.Node:
    """Take a signal at other places: a move if values are repeated, else weighted means."""
    options = {
        "size": given.size,
        "scale_factor": given.scale_factor,
        "mode": given.mode,
        "align_corners": given.align_corners,
        "recompute_scale_factor": given.recompute_scale_factor,
        "antialias": given.antialias,
    }

    if given.mode in NEAREST:
        return site.move(
            F.interpolate, given.input, shape=site.shape, name="interpolate", **options
        )
    sizes = given.size if isinstance(given.size, tuple) else (given.size,)
    if any(isinstance(length, Rows) for length in sizes):
        raise NotKnown
    return site.emit(Resample(**options), given.input)


def axes(dim: Any, n: int) -> tuple[int, ...]:
    """Return axes as a tuple of numbers from 0."""
    if dim is None or dim == ():
        return tuple(range(n))

    asked = dim if isinstance(dim, tuple) else (dim,)
    are_numbers = all(type(axis) is int for axis in asked)
    if not are_numbers:
        raise NotKnown
    return tuple(axis % n for axis in asked)


def axes_of(node: fx.Node, dim: Any) -> tuple[int, ...]:
    """Return axes of a signal as numbers from 0."""
    return axes(dim, n_axes(node))
