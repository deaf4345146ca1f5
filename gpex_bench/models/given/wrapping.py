"""Any network as one of ours: its head, its embedding and its last feature maps are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.found import Found
from gpex_bench.models.given.heads import Head, chosen_head, find_heads, gives
from gpex_bench.models.given.maps import chosen_maps, find_maps, last_run
from gpex_bench.models.given.offered import as_modules, without_gradient
from gpex_bench.models.given.preparing import device_of, prepared
from gpex_bench.models.given.probing import Probe, probe
from gpex_bench.models.given.wrapped import Normalise, Wrapped
from gpex_bench.types import Kind, Need, value

N_PROBED = 4  # rows that the network is tried on
NEAR = 1e-4  # of the largest output: what the wrapped network's may differ by
BEYOND = 0.05  # how far outside [0, 1] pixels are that were normalised already


@value
class Wishes:
    """What is known of a network beforehand; None: it is found. See `wrap`."""

    kind: Kind = Kind.CLASSES
    head: str | None = None
    features: str | None = None
    normalise: Mapping[str, Any] | None = None


def wrap(  # noqa: PLR0913 - what is found may be set
    network: nn.Module,
    x: Shaped[Tensor, "batch *feature"],
    *,
    kind: Kind = Kind.CLASSES,
    head: str | None = None,
    features: str | None = None,
    normalise: Mapping[str, Any] | None = None,
) -> Wrapped:
    """Return a network that was made elsewhere as one that can be explained.

    It works on a copy: the network stays as it is, and what is trained later does not reach the
    copy. The copy is where the network is, and so must be what it is asked about.

    Args:
        network: any module that returns one row of outputs for each sample: a tensor, or something
            that holds one called logits.
        x: inputs of the kind that will be explained; a few rows are tried.
        kind: what the outputs mean. Probabilities of classes or labels at the end are left out.
        head: name of the linear layer whose outputs are explained; None: it is found.
        features: name of the module that gives the last feature maps; None: it is found.
        normalise: `mean` and `std` that inputs are normalised by, numbers or one for each channel
            or column; a part of the network then, so that inputs stay in their own units.

    Returns:
        The network; `found.lines()` says what was found in it and what it offers.

    Raises:
        CannotWrap: it is no such network, or a setting does not fit; the message says what to do.
    """
    wishes = Wishes(kind=Kind(kind), head=head, features=features, normalise=normalise)
    model = wrapped(network, x, wishes)

    rows = x[:N_PROBED].to(device_of(model)).float()
    withdrawn: dict[Need, str] = {}
    problem = without_gradient(model, rows)
    if problem is not None:
        withdrawn[Need.GRADIENT] = problem

    modules, problem = as_modules(model, rows)
    if problem is not None:
        withdrawn[Need.MODULES] = problem

    model.found = replace(model.found, modules=modules, withdrawn=withdrawn)
    return model


def wrapped(network: nn.Module, x: Shaped[Tensor, "batch *feature"], wishes: Wishes) -> Wrapped:
    """Return what `wrap` does, without trying what the network offers."""
    with torch.inference_mode(False), torch.enable_grad():
        return _wrapped(network, x, wishes)


def _wrapped(network: nn.Module, x: Tensor, wishes: Wishes) -> Wrapped:
    """Return a wrapped network; autograd's graph shows what its outputs are made of."""
    inner, notes = prepared(network)
    rows = _rows(x, inner)
    first = _normalisation(wishes.normalise, rows)
    if wishes.normalise is not None:
        notes += _range(rows)

    seen = probe(inner, first(rows))
    model, chosen = _with_head(inner, first, seen, wishes)
    _check_count(chosen.layer.out_features, wishes.kind)
    _check_embedding(model, rows)

    if wishes.features is None:
        maps = find_maps(model, seen)
    else:
        maps = chosen_maps(model, seen, wishes.features)
    model.features = maps.name
    model.unread = maps.unread
    model.is_chosen = wishes.features is not None
    model.run = last_run(seen, maps.name)

    model.found = Found(
        head=chosen.name,
        width=chosen.layer.in_features,
        n_outputs=chosen.layer.out_features,
        features=maps.name,
        map_shape=maps.shape,
        why_no_features=maps.reason,
        notes=(*notes, *chosen.notes, *maps.notes),
    )
    return model


def _with_head(
    network: nn.Module, normalise: nn.Module, seen: Probe, wishes: Wishes
) -> tuple[Wrapped, Head]:
    """Return the network with the first head that gives its outputs, and that head."""
    if wishes.head is not None:
        chosen = chosen_head(network, seen, wishes.head)
        return Wrapped(network, normalise, chosen.layer, chosen.place).eval(), chosen

    for chosen in find_heads(network, seen, wishes.kind):
        model = Wrapped(network, normalise, chosen.layer, chosen.place).eval()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(2)  # what is drawn differs from the first run
            logits = model.head(model.embedded(seen.x.detach())).detach()
        if gives(chosen, logits, seen):
            return model, chosen
    raise CannotWrap(
        "The outputs of the network differ between two calls with the same inputs, or the logits "
        "before its probabilities cannot be found; leave random numbers out of its forward (eval "
        "mode), and let it return logits."
    )


def _rows(x: Tensor, network: nn.Module) -> Tensor:
    """Return a few rows of the inputs, where the network is."""
    if not isinstance(x, Tensor) or x.ndim < 2 or not len(x):
        got = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise CannotWrap(f"x must be a tensor of samples [sample, ...], got {got}.")
    if not x.is_floating_point():
        raise CannotWrap(
            f"x must be floating-point, got {x.dtype}; divide the bytes of images by 255, and "
            "explain the output of an embedding rather than the numbers of its rows."
        )
    return x[:N_PROBED].detach().to(device_of(network)).float()


def check_normalise(normalise: Mapping[str, Any] | None) -> None:
    """Raise CannotWrap unless there are mean and std, or nothing."""
    if normalise is None:
        return
    if not isinstance(normalise, Mapping) or set(normalise) != {"mean", "std"}:
        raise CannotWrap(
            f"normalise must have the entries mean and std, got {normalise!r}; each is a number, "
            "or one number for each channel or column."
        )


def _normalisation(normalise: Mapping[str, Any] | None, x: Tensor) -> nn.Module:
    """Return the module that normalises inputs.

    Raises:
        CannotWrap: mean or std are missing, of another number than channels, or not positive.
    """
    if normalise is None:
        return nn.Identity()
    check_normalise(normalise)
    mean = _statistic("mean", normalise["mean"], x)
    std = _statistic("std", normalise["std"], x)
    if not bool((std > 0).all()):
        raise CannotWrap(f"normalise.std must be positive, got {normalise['std']!r}.")
    return Normalise(mean, std)


def _statistic(name: str, written: Any, x: Tensor) -> Tensor:
    """Return a number, or one for each channel, shaped to broadcast."""
    try:
        numbers = torch.as_tensor(written, dtype=torch.float32, device=x.device).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise CannotWrap(f"normalise.{name} must be numbers, got {written!r}.") from error

    if len(numbers) not in (1, x.shape[1]) or not bool(numbers.isfinite().all()):
        raise CannotWrap(
            f"normalise.{name} must be one finite number, or one for each of the {x.shape[1]} "
            f"channels or columns, got {written!r}."
        )
    return numbers.view(-1, *[1] * (x.ndim - 2))


def _range(x: Tensor) -> list[str]:
    """Return a note on images that are outside [0, 1] before they are normalised."""
    low = float(x.min())
    high = float(x.max())
    if x.ndim != 4 or (low >= -BEYOND and high <= 1 + BEYOND):
        return []
    return [
        f"normalise is set, and the inputs lie in {low:.3g} ... {high:.3g}, not in [0, 1]; are "
        "they normalised already, or in other units than its mean and std?"
    ]


def _check_count(n_outputs: int, kind: Kind) -> None:
    if kind is Kind.NUMBER and n_outputs > 1:
        raise CannotWrap(
            f"A network of kind number has one output, and this one has {n_outputs}; wrap it in a "
            "module that returns the one that is meant."
        )


def _check_embedding(model: Wrapped, x: Tensor) -> None:
    """Raise CannotWrap unless the embedding is one row of numbers for each sample."""
    with torch.no_grad():
        embedding = model.embed(x)
    expected = (len(x), model.head.in_features)
    if tuple(embedding.shape) != expected or embedding.dtype != x.dtype:
        raise CannotWrap(
            f"The embedding must be {x.dtype} of shape {list(expected)}, got {embedding.dtype} of "
            f"shape {list(embedding.shape)}."
        )
