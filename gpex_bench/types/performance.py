"""How well a network does on rows of a split, by the kind of target.

- classes: `accuracy`, the share of rows of which the right class is predicted.
- labels: `label_accuracy`, the share of right answers over all rows and labels, which is high for
  rare labels whatever the network does; and `macro_f1`, the mean over labels of
  2 TP / (2 TP + FP + FN), which is not (0 for a label that neither is there nor is predicted).
- a number: `r2`, 1 - sum (y - f)^2 / sum (y - mean y)^2, NaN where y is constant; and `mae`, the
  mean of |y - f|, in the units of the target.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from gpex_bench.types.outputs import prediction
from gpex_bench.types.values import Kind


def performance(
    outputs: Float[Tensor, "row head"], y: Shaped[Tensor, "row *label"], kind: Kind
) -> dict[str, float]:
    """Return how well outputs meet their targets, the most telling number first."""
    predicted = prediction(outputs, kind)
    if kind is Kind.NUMBER:
        return _of_numbers(predicted.double(), y.double())

    share_right = (predicted == y).double().mean().item()
    if kind is Kind.CLASSES:
        return {"accuracy": share_right}
    return {"label_accuracy": share_right, "macro_f1": macro_f1(predicted, y)}


def macro_f1(predicted: Int[Tensor, "row label"], y: Int[Tensor, "row label"]) -> float:
    """Return the mean over labels of the harmonic mean of precision and recall."""
    n_found = (predicted & y).sum(0).double()
    n_wrong = (predicted ^ y).sum(0).double()
    divisor = 2 * n_found + n_wrong
    return (2 * n_found / divisor.clamp(min=1)).mean().item()


def _of_numbers(predicted: Float[Tensor, "row"], y: Float[Tensor, "row"]) -> dict[str, float]:
    """Return the share of the variance that is predicted, and the mean absolute error."""
    error = y - predicted
    spread = (y - y.mean()).square().sum()
    unexplained = error.square().sum() / spread if spread > 0 else torch.tensor(torch.nan)
    return {"r2": (1 - unexplained).item(), "mae": error.abs().mean().item()}
