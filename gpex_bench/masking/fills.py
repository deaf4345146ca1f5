"""What stands where something was removed from an input.

A score that is based on removal is a statement about a network and a fill: `baseline` (the dataset's) is the run's main
one, and the others show how much a ranking hangs on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gpex_bench.masking import choices
from gpex_bench.masking.inpainting import inpainted, noise
from gpex_bench.masking.regions import Regions
from gpex_bench.types import Case, Task
from gpex_bench.types.draws import uniform

Fill = Literal["baseline", "zero", "mean", "blur", "noise", "inpaint"]
FILLS = get_args(Fill)


def filler(case: Case, fill: Fill) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function that removes positions: (query of each row, which positions go) → inputs.

    Args:
        case: what is explained, and the dataset.
        fill: `inpaint` makes removed pixels means of their neighbours, with noise; an image of which nothing is left is
            the baseline. The others, and `inpaint` on tables, show what `stand_in` says.

    Raises:
        ValueError: the fill is unknown.
    """
    x = case.query.x
    if fill != "inpaint" or x.ndim != 4:
        other = stand_in(case, fill)
        return lambda image, gone: replaced(x[image], other[image], gone)
    grain, nothing = noise(case.query), case.task.data.baseline.to(x).expand_as(x)

    def paint(
        image: Int[Tensor, "row"], gone: Bool[Tensor, "row position"]
    ) -> Float[Tensor, "row *feature"]:
        smooth = inpainted(x[image], gone, nothing[image])
        noisy = (gone & ~gone.all(1, keepdim=True)).view(len(image), 1, *x.shape[2:])
        return torch.where(noisy, smooth + grain[image], smooth)

    return paint


def stand_in(case: Case, fill: Fill, draw: int = 0) -> Float[Tensor, "batch *feature"]:
    """Return what each entry of each query is replaced by.

    Args:
        case: what is explained, and the dataset.
        fill: `baseline` is the dataset's; `zero` is 0; `mean` the mean of the training inputs, entry by entry; `blur` a
            box blur of the image over a quarter of its shorter side; `noise` another training sample, drawn for each
            query; `blur` and `inpaint` of a table are its mean.
        draw: which of the drawn training samples.

    Raises:
        ValueError: the fill is unknown.
    """
    x, train = case.query.x, case.task.data.train.x
    if fill == "baseline":
        return case.task.data.baseline.to(x).expand_as(x)
    if fill == "zero":
        return torch.zeros_like(x)
    if fill == "mean" or (fill in ("blur", "inpaint") and x.ndim != 4):
        return train.mean(0).to(x).expand_as(x)
    if fill == "blur":
        return absent(case.task, x, "blur")
    if fill == "noise":
        drawn = (uniform("fill", 0, case.query.sample, draw + 1)[:, draw] * len(train)).long()
        return train[drawn].to(x)
    raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}.")


def replaced(
    x: Float[Tensor, "row *feature"],
    other: Float[Tensor, "row *feature"],
    gone: Bool[Tensor, "row position"],
) -> Float[Tensor, "row *feature"]:
    """Return inputs with the positions that are gone replaced by those of other inputs."""
    shape = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
    return torch.where(gone.view(shape), other, x)


def absent(
    task: Task, x: Float[Tensor, "batch *feature"], how: choices.Fill, cut: Regions | None = None
) -> Tensor:
    """Return what every entry of x looks like when it is absent.

    `baseline` is the dataset's; `mean` the mean colour of the image; `segment_mean` that of the segment; `blur` a box
    blur over a quarter of the shorter side.

    Raises:
        ValueError: for tables, if it is not the baseline; for `segment_mean`, if there are no segments.
    """
    if how == "baseline":
        return task.data.baseline.to(x).expand_as(x)
    if x.ndim == 2:
        raise ValueError(
            f"fill must be 'baseline' for tables, got {how!r}: columns have no mean colour."
        )
    if how == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    if how == "blur":
        reach = max(1, min(x.shape[2:]) // 8)
        padded = functional.pad(x, (reach,) * 4, mode="replicate")
        return functional.avg_pool2d(padded, 2 * reach + 1, stride=1)
    if cut is None:
        raise ValueError(
            "fill must not be 'segment_mean' where there are no segments; choose baseline, mean or blur."
        )
    index = cut.index.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    total = x.new_zeros(*x.shape[:2], cut.most).scatter_add_(2, index, x.flatten(2))
    size = x.new_zeros(total.shape).scatter_add_(2, index, torch.ones_like(x).flatten(2))
    return (total / size.clamp(min=1)).gather(2, index).view(x.shape)
