"""The order in which positions are removed, the steps of a curve, and the area under it.

A position is what is removed at once: a pixel of an image with all its channels, or a column of a
table. Positions are ordered by their relevance, which is the sum over the channels. Equal
relevances are put in a random order that depends on the sample alone, so a constant map behaves
like a random order and not like a scan from the top left.

Both curves come from one ordering and share their first point (nothing removed) and last point (all
removed): bach2015pixel and samek2017evaluating for the order, bluecher2024decoupling for using the
pair.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.types.draws import uniform

N_STEPS = 28


def per_position(values: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch position"]:
    """Return the relevance of each pixel (sum over the channels) or column, in float64.

    Raises ValueError if a value is NaN or infinite: such a map has no order.
    """
    is_finite = torch.isfinite(values)
    if not is_finite.all():
        is_bad = (~is_finite).flatten(1).any(1)
        rows = is_bad.nonzero().flatten().tolist()
        raise ValueError(
            f"values must be finite, but rows {rows[:5]} hold NaN or infinity; fix the explainer."
        )

    relevance = values.double()
    if values.ndim == 4:
        relevance = relevance.sum(1)
    return relevance.flatten(1)


def ties_broken(
    relevance: Float[Tensor, "batch position"], sample: Int[Tensor, "batch"]
) -> Int[Tensor, "batch position"]:
    """Return the place of each position in descending order of relevance: 0 is the most relevant.

    Equal relevances fall in a random order that depends on the sample alone.
    """
    # A random order of the positions of each sample.
    keys = uniform("ties", 0, sample, relevance.shape[1])
    shuffled = keys.argsort(1).to(relevance.device)
    relevance_shuffled = relevance.gather(1, shuffled)

    # A stable sort of shuffled positions leaves equal ones shuffled.
    best_first = relevance_shuffled.argsort(dim=1, descending=True, stable=True)
    order = shuffled.gather(1, best_first)
    return order.argsort(1)


def step_sizes(n_positions: int, n_steps: int) -> Int[Tensor, "point"]:
    """Return how many positions are gone at each point of a curve, from none to all.

    Points are evenly spaced and rounded up.

    Fewer than 2 * n_steps positions go one by one: some steps would be twice as long as others.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}.")
    if n_positions < 2 * n_steps:
        n_steps = n_positions
    point = torch.arange(n_steps + 1)
    return -(-point * n_positions // n_steps)


def area(
    curve: Float[Tensor, "batch point"], fraction: Float[Tensor, "point"]
) -> Float[Tensor, "batch"]:
    """Return the area under each curve over the share that is gone, by the trapezoid rule.

    With shares from 0 to 1 this is a mean; rounding does not take it out of the curve's range.
    """
    curve = curve.double()
    mean = torch.trapezoid(curve, fraction.to(curve))
    lowest = curve.amin(1)
    highest = curve.amax(1)
    return mean.clamp(lowest, highest)


def read_at(
    curve: Float[Tensor, "batch point"], fraction: Float[Tensor, "point"], shares: tuple
) -> Float[Tensor, "batch share"]:
    """Return each curve at some shares in [0, 1], linearly between its points."""
    curve = curve.double()
    fraction = fraction.to(curve)
    at = torch.tensor(shares, dtype=torch.float64, device=curve.device)
    right = torch.searchsorted(fraction, at).clamp(1, len(fraction) - 1)
    left = right - 1

    step = fraction[right] - fraction[left]
    part = (at - fraction[left]) / step
    part = part.expand(len(curve), -1)
    return torch.lerp(curve[:, left], curve[:, right], part)
