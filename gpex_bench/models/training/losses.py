"""What a network is trained for, by the kind of target.

- classes: cross entropy; of one logit for two classes, the binary one.
- labels: binary cross entropy, mean over the labels.
- a number: squared error. It is learned in standard deviations from the mean of the training
  rows, so that training is the same in any units; the head of the trained network gives the number
  itself.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.types import Dataset, Kind
from gpex_bench.types.outputs import prediction


def loss(
    outputs: Float[Tensor, "batch head"],
    y: Shaped[Tensor, "batch *label"],
    kind: Kind,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    """Return the loss of a batch: its mean over the rows, or their sum."""
    if kind is Kind.NUMBER:
        return functional.mse_loss(outputs[:, 0], y, reduction=reduction)
    if kind is Kind.LABELS:
        return functional.binary_cross_entropy_with_logits(
            outputs, y.to(outputs), reduction=reduction
        )
    if outputs.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(
            outputs[:, 0], y.to(outputs), reduction=reduction
        )
    return functional.cross_entropy(outputs, y, reduction=reduction)


# What the mean of `success` is called, by the kind of target.
SUCCESS = {Kind.CLASSES: "accuracy", Kind.LABELS: "accuracy per label", Kind.NUMBER: "R²"}


def success(
    outputs: Float[Tensor, "batch head"], y: Shaped[Tensor, "batch *label"], kind: Kind
) -> Float[Tensor, "batch"]:
    """Return a number for each row whose mean tells how well training goes: at most 1.

    Whether the class is right, the share of right labels, or 1 - (error / deviation)^2 of a
    standardised number, whose mean is R².
    """
    if kind is Kind.NUMBER:
        return 1 - (outputs[:, 0] - y).square()
    is_right = (prediction(outputs, kind) == y).float()
    return is_right if kind is Kind.CLASSES else is_right.mean(1)


@dataclasses.dataclass(frozen=True)
class Units:
    """Mean and standard deviation of the training targets of a number."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, data: Dataset) -> Units:
        """Return the units of a dataset; raises ValueError if there is nothing to learn."""
        y = data.train.y.double()
        mean = float(y.mean())
        deviation = float(y.std(correction=0))
        if not 0 < deviation < float("inf"):
            raise ValueError(
                f"train.y of {data.name!r} must be finite and vary, for a network to learn it; its "
                f"standard deviation is {deviation:g}."
            )
        return cls(mean, deviation)

    def standardised(self, data: Dataset) -> Dataset:
        """Return the dataset with training targets in standard deviations from their mean."""
        y = (data.train.y.double() - self.mean) / self.deviation
        train = dataclasses.replace(data.train, y=y.to(data.train.x.dtype))
        return dataclasses.replace(data, train=train)

    def restore(self, head: nn.Linear) -> None:
        """Make a head that gives standardised numbers give them in the units of the target.

        Raises:
            ValueError: the head has no bias, which the mean goes into.
        """
        if head.bias is None:
            raise ValueError("head must have a bias where a network learns a number; it has none.")
        with torch.no_grad():
            head.weight.mul_(self.deviation)
            head.bias.mul_(self.deviation).add_(self.mean)
