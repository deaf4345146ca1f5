"""The one vocabulary of fills: what is shown where something was removed from an input.

A score or a map that is based on removal is a statement about a network and a fill: `baseline` (the
dataset's) is the main one, and the others show how much a result depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gpex_bench.masking.inpainting import inpainted, noise
from gpex_bench.masking.regions import Regions
from gpex_bench.masking.units import at_positions, units
from gpex_bench.types import Case, Dataset, Query
from gpex_bench.types.demands import Refused, training
from gpex_bench.types.draws import uniform
from gpex_bench.types.groups import typical

Fill = Literal[
    "baseline",  # the dataset's baseline
    "zero",  # 0
    "image_mean",  # the mean colour of the image
    "segment_mean",  # the mean colour of the segment
    "train_mean",  # the mean of the training inputs, entry by entry; of groups the most frequent
    "blur",  # a box blur of the image over a quarter of its shorter side
    "middle",  # half-way between the extremes of the training inputs; see `middle`
    "noise",  # another training sample, drawn for each query
    "uniform",  # uniform noise between these extremes, drawn for each query
    "inpaint",  # means of the neighbours, with noise
]
# What methods may show in place of a masked region, and those that follow gradients start from: one
# input for each sample, which is no other sample.
MethodFill = Literal["baseline", "image_mean", "segment_mean", "blur", "train_mean", "middle"]
Reference = Literal["baseline", "zero", "train_mean", "middle"]
# What removal curves and the like may show.
CurveFill = Literal[
    "baseline", "zero", "train_mean", "blur", "middle", "noise", "uniform", "inpaint"
]
METHOD_FILLS = get_args(MethodFill)
REFERENCES = get_args(Reference)
CURVE_FILLS = get_args(CurveFill)

# Fills that differ by no more than this, in units of their largest value or of 1, show the same.
SAME = 1e-5


def make_fill(
    fill: Fill, data: Dataset, query: Query, *, cut: Regions | None = None, draw: int = 0
) -> Float[Tensor, "batch *feature"]:
    """Return what every entry of the queries is replaced by when it is removed.

    Args:
        fill: any but `inpaint`, which depends on what else is removed; see `filler`.
        data: has the baseline and the training inputs.
        query: what is explained.
        cut: the segments of each image, for `segment_mean`.
        draw: which of the training samples that are drawn for each query, for `noise`.

    Raises:
        ValueError: the fill is unknown, is one of an image and this is a table, or lacks segments.
        Refused: it is made of training samples, and there are none.
    """
    x = query.x
    if fill == "baseline":
        return data.baseline.to(x).expand_as(x)
    if fill == "zero":
        return torch.zeros_like(x)
    if fill == "train_mean":
        train = training(data, "the fill train_mean is their mean").x
        return typical(train, data.groups).to(x).expand_as(x)
    if fill == "noise":
        train = training(data, "the fill noise is one of them").x
        drawn = (uniform("fill", 0, query.sample, draw + 1)[:, draw] * len(train)).long()
        return train[drawn].to(x)
    if fill == "middle":
        return middle(data).to(x).expand_as(x)
    if fill == "uniform":
        return _uniform(data, query, draw)
    return _fill_of_image(fill, x, cut)


def middle(data: Dataset) -> Float[Tensor, "*feature"]:
    """Return the input half-way between the extremes of the training inputs.

    Of images for each channel ("grey"), of tables for each column. Categories have no middle:
    groups of columns have their most frequent values.
    """
    train = training(data, "the fill middle lies between their extremes").x
    low, high = _extremes(train)
    found = ((low + high) / 2).expand_as(train[0]).clone()
    columns = [column for group in data.groups for column in group]
    found[columns] = typical(train, data.groups)[columns]
    return found


def _uniform(data: Dataset, query: Query, draw: int) -> Float[Tensor, "batch *feature"]:
    """Return uniform noise within the training range; of a group, one of its training values."""
    x = query.x
    train = training(data, "the fill uniform lies between their extremes").x
    low, high = _extremes(train)

    n_entries = x[0].numel()
    key = uniform("uniform fill", draw, query.sample, n_entries)
    found = torch.lerp(low.to(x), high.to(x), key.to(x).view(x.shape))
    for group in data.groups:
        columns = list(group)
        values = train[:, columns].unique(dim=0)
        drawn = (key[:, columns[0]] * len(values)).long()
        found[:, columns] = values[drawn].to(x)
    return found


def _extremes(train: Float[Tensor, "n *feature"]) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value of each channel, or column."""
    axes = (0, 2, 3) if train.ndim == 4 else (0,)
    low = train.amin(axes, keepdim=True)[0]
    high = train.amax(axes, keepdim=True)[0]
    return low, high


def alike(case: Case, fills: Sequence[CurveFill]) -> dict[str, list[str]]:
    """Return the fills that differ on these samples, each with those that show the same as it.

    The first of several that show the same stands for them. `inpaint` depends on what else is
    removed, and differs from all others on images.
    """
    is_image = case.query.x.ndim == 4
    shown: dict[str, Tensor] = {}
    found: dict[str, list[str]] = {}
    for fill in dict.fromkeys(fills):
        if is_image and fill == "inpaint":
            found[fill] = []
            continue
        try:
            one = stand_in(case, fill)
        except Refused:
            found[fill] = []  # its curves say why there are none
            continue

        same = [other for other, seen in shown.items() if _shows_same(one, seen)]
        if same:
            found[same[0]].append(fill)
        else:
            shown[fill], found[fill] = one, []
    return found


def _shows_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two fills differ by no more than rounding of values of their size."""
    size = torch.maximum(one.abs().max(), other.abs().max()).clamp(min=1.0)
    return bool((one - other).abs().max() <= SAME * size)


def _fill_of_image(
    fill: Fill, x: Float[Tensor, "batch *feature"], cut: Regions | None
) -> Float[Tensor, "batch *feature"]:
    """Return a fill that is made of the image itself."""
    if x.ndim == 2:
        raise Refused(
            f"fill must be baseline, train_mean or middle for tables, got {fill!r}: columns have "
            "no mean colour."
        )
    if fill == "image_mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    if fill == "blur":
        return _blurred(x)

    if fill != "segment_mean":
        raise ValueError(f"fill must be one of {', '.join(get_args(Fill))}, got {fill!r}.")
    if cut is None:
        raise ValueError(
            "fill must not be 'segment_mean' where there are no segments; "
            "choose baseline, image_mean or blur."
        )
    return _segment_means(x, cut)


def _blurred(x: Float[Tensor, "batch channel height width"]) -> Tensor:
    """Return images after a box blur over a quarter of their shorter side."""
    reach = max(1, min(x.shape[2:]) // 8)
    width = 2 * reach + 1
    padded = functional.pad(x, (reach,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, width, stride=1)


def _segment_means(x: Float[Tensor, "batch channel height width"], cut: Regions) -> Tensor:
    """Return images whose segments have their mean colour."""
    # The segment of each pixel, for each channel.
    segment = cut.index.flatten(1)[:, None]
    n_channels = x.shape[1]
    segment = segment.expand(-1, n_channels, -1)
    values = x.flatten(2)

    total = x.new_zeros(len(x), n_channels, cut.most)
    size = torch.zeros_like(total)
    total.scatter_add_(2, segment, values)
    size.scatter_add_(2, segment, torch.ones_like(values))

    means = total / size.clamp(min=1)
    painted = means.gather(2, segment)
    return painted.view(x.shape)


def stand_in(case: Case, fill: CurveFill, draw: int = 0) -> Float[Tensor, "batch *feature"]:
    """Return what each entry of each query is replaced by.

    `blur` and `inpaint` of a table are `train_mean`.

    Raises:
        ValueError: the fill is unknown.
    """
    query = case.query
    if query.x.ndim != 4 and fill in ("blur", "inpaint"):
        fill = "train_mean"
    return make_fill(fill, case.task.data, query, draw=draw)


def filler(case: Case, fill: CurveFill) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function that removes units: (query of each row, which units go) → inputs.

    Args:
        case: what is explained, and the dataset.
        fill: `inpaint` makes removed pixels means of their neighbours, with noise; an image of
            which nothing is left is the baseline. The others, and `inpaint` on tables, show what
            `stand_in` returns.

    Raises:
        ValueError: the fill is unknown.
    """
    x = case.query.x
    if fill != "inpaint" or x.ndim != 4:
        other = stand_in(case, fill)
        unit = units(case.task.data)
        return lambda image, gone: remove_positions(x[image], other[image], gone, unit)

    grain = noise(case.query)
    nothing = stand_in(case, "baseline")

    def paint(
        image: Int[Tensor, "row"], gone: Bool[Tensor, "row position"]
    ) -> Float[Tensor, "row *feature"]:
        smooth = inpainted(x[image], gone, nothing[image])
        # An image of which nothing is left is the plain baseline.
        noisy = gone & ~gone.all(1, keepdim=True)
        return torch.where(noisy.view(len(image), 1, *x.shape[2:]), smooth + grain[image], smooth)

    return paint


def remove_positions(
    x: Float[Tensor, "row *feature"],
    other: Float[Tensor, "#row *feature"],
    gone: Bool[Tensor, "row unit"],
    unit: Int[Tensor, "position"] | None = None,
) -> Float[Tensor, "row *feature"]:
    """Return inputs with the units that are gone replaced by those of other inputs.

    Args:
        x: the inputs.
        other: what is shown in their place.
        gone: which pixels, columns or groups of columns are gone.
        unit: the unit of each column (`masking.units.units`).
    """
    gone = at_positions(gone, unit)
    shape = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
    return torch.where(gone.view(shape), other, x)
