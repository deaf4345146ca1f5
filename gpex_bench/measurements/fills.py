"""What stands where something was removed from an input.

A score that is based on removal is a statement about a network and a fill: `baseline` (the dataset's) is the run's main
one, and the others show how much a ranking hangs on it.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.draws import uniform
from gpex_bench.masking import absent
from gpex_bench.types import Case

Fill = Literal["baseline", "zero", "mean", "blur", "noise"]
FILLS = get_args(Fill)


def stand_in(case: Case, fill: Fill) -> Float[Tensor, "batch *feature"]:
    """Return what each entry of each query is replaced by.

    Args:
        case: what is explained, and the dataset.
        fill: `baseline` is the dataset's; `zero` is 0; `mean` the mean of the training inputs, entry by entry; `blur` a
            box blur of the image over a quarter of its shorter side (the training mean for a table); `noise` another
            training sample, drawn for each query.

    Raises:
        ValueError: the fill is unknown.
    """
    x, train = case.query.x, case.task.data.train.x
    if fill == "baseline":
        return case.task.data.baseline.to(x).expand_as(x)
    if fill == "zero":
        return torch.zeros_like(x)
    if fill == "mean" or (fill == "blur" and x.ndim != 4):
        return train.mean(0).to(x).expand_as(x)
    if fill == "blur":
        return absent(case.task, x, "blur")
    if fill == "noise":
        drawn = (uniform("fill", 0, case.query.sample, 1)[:, 0] * len(train)).long()
        return train[drawn].to(x)
    raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}.")


def replaced(
    x: Float[Tensor, "batch *feature"],
    other: Float[Tensor, "batch *feature"],
    image: Int[Tensor, "row"],
    gone: Bool[Tensor, "row position"],
) -> Float[Tensor, "row *feature"]:
    """Return inputs with positions replaced by those of another input.

    Args:
        x: inputs.
        other: what stands where something is gone.
        image: which input each row is made of.
        gone: which positions of each row are replaced.
    """
    shape = (len(image), 1, *x.shape[2:]) if x.ndim == 4 else (len(image), *x.shape[1:])
    return torch.where(gone.view(shape), other[image], x[image])
