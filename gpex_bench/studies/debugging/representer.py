"""Representer points: an output of the last layer as a sum over the training samples.

Yeh et al. 2018 (yeh2018representer): where the mean loss plus penalty * |theta|^2 is stationary in
the last layer theta, theta = sum_i alpha_i f_i with alpha_i = -1 / (2 penalty n) dL_i/dphi_i, where
phi_i = theta . f_i is the pre-activation. Our reconstruction: the last layer is fitted again to the
training labels on the frozen embeddings, in float64, with a constant feature in place of the bias.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

# of the optimiser
MAX_STEPS = 500
# largest entry of the gradient at the end
TOLERANCE = 1e-9


def with_constant(embedding: Float[Tensor, "n width"]) -> Float64[Tensor, "n width1"]:
    """Return embeddings with a last feature that is 1, in float64."""
    return nn.functional.pad(embedding.double(), (0, 1), value=1.0)


def last_layer(
    f: Float64[Tensor, "n width"], y: Int[Tensor, "n"], n_classes: int, penalty: float
) -> Float64[Tensor, "n_classes width"]:
    """Return the layer that minimises the mean cross-entropy plus penalty * its squared norm.

    The problem is convex.

    Raises:
        ValueError: a penalty that is not positive.
        FloatingPointError: no minimum was reached.
    """
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}.")

    theta = torch.zeros(n_classes, f.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [theta],
        max_iter=MAX_STEPS,
        tolerance_grad=TOLERANCE,
        tolerance_change=0.0,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        entropy = nn.functional.cross_entropy(f @ theta.T, y)
        total = entropy + penalty * theta.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimiser.step(loss)
        # once more, for the gradient at the end
        loss()

    slope = float("nan") if theta.grad is None else theta.grad.abs().max().item()
    if not slope <= 1e3 * TOLERANCE:
        raise FloatingPointError(
            f"The last layer did not reach a minimum (gradient {slope:.1e}); raise penalty."
        )
    return theta.detach()


def representer_values(
    f: Float64[Tensor, "n width"],
    y: Int[Tensor, "n"],
    theta: Float64[Tensor, "n_classes width"],
    penalty: float,
) -> Float64[Tensor, "n n_classes"]:
    """Return alpha: sum_i alpha_i f_i . f is the pre-activation theta . f of any f."""
    probability = (f @ theta.T).softmax(1)
    label = nn.functional.one_hot(y, len(theta))
    slope = probability - label.double()
    return -slope / (2 * penalty * len(f))
