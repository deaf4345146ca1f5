"""Removes features and records what the network still says: the passes that the removal metrics share.

A position is what is removed at once: a pixel of an image with all its channels, or a column of a table. Positions are
ordered by their relevance, which is the sum over the channels. Equal relevances are put in a random order that depends
on the sample alone, so a constant map behaves like a random order and not like a scan from the top left.

Both curves come from one ordering and share their first point (nothing removed) and last point (all removed):
bach2015pixel and samek2017evaluating for the order, bluecher2024decoupling for using the pair.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gpex_bench.draws import uniform
from gpex_bench.types import Case, Query, Removal

N_STEPS = 28
CHUNK = 256  # rows per forward pass; larger ones are slower on a CPU and need more memory


def per_position(values: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch position"]:
    """Return the relevance of each pixel (sum over the channels) or column, in float64.

    Raises ValueError if a value is NaN or infinite: such a map has no order.
    """
    if not torch.isfinite(values).all():
        rows = (~torch.isfinite(values.flatten(1))).any(1).nonzero().flatten().tolist()
        raise ValueError(f"values must be finite, but rows {rows[:5]} hold NaN or infinity; mend the explainer.")
    summed = values.double().sum(1) if values.ndim == 4 else values.double()
    return summed.flatten(1)


def fill(
    x: Float[Tensor, "row *feature"], baseline: Float[Tensor, "*feature"], removed: Bool[Tensor, "row position"]
) -> Float[Tensor, "row *feature"]:
    """Return the inputs with the removed positions replaced by the baseline."""
    shape = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
    return torch.where(removed.view(shape), baseline.to(x), x)


def in_chunks(compute: Callable[[Int[Tensor, "row"]], Tensor], n_rows: int, chunk: int) -> Tensor:
    """Return compute(0 ... n_rows - 1), calculated without gradients for at most `chunk` rows at a time."""
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 row, got {chunk}.")
    with torch.no_grad():
        return torch.cat([compute(torch.arange(i, min(i + chunk, n_rows))) for i in range(0, n_rows, chunk)])


def removal_rank(
    values: Float[Tensor, "batch *feature"], sample: Int[Tensor, "batch"]
) -> Int[Tensor, "batch position"]:
    """Return the place of each position in descending order of relevance: 0 is the most relevant."""
    relevance = per_position(values)
    shuffled = uniform("ties", 0, sample, relevance.shape[1]).argsort(1).to(values.device)
    order = shuffled.gather(1, relevance.gather(1, shuffled).argsort(dim=1, descending=True, stable=True))
    return order.argsort(1)


def step_sizes(n_positions: int, n_steps: int) -> Int[Tensor, "point"]:
    """Return how many positions are gone at each point of a curve: evenly spaced, rounded up, both ends included.

    Fewer than 2 * n_steps positions go one by one: some steps would be twice as long as others.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}.")
    n_steps = n_positions if n_positions < 2 * n_steps else n_steps
    return -(-torch.arange(n_steps + 1) * n_positions // n_steps)


def removal_curves(
    model: nn.Module,
    query: Query,
    values: Float[Tensor, "batch *feature"],
    baseline: Float[Tensor, "*feature"],
    n_steps: int = N_STEPS,
) -> Removal:
    """Return the target's probability while positions are replaced by the baseline, in both orders.

    Costs twice the number of steps in forward rows per sample, at most CHUNK of them in memory at a time.

    Args:
        model: network that gives logits.
        query: what is explained.
        values: relevance of each input entry.
        baseline: what an absent feature looks like.
        n_steps: steps per curve, equally long up to one position; see `step_sizes` for few positions.

    Raises:
        ValueError: if n_steps is below 1, or a value is not finite.
    """
    rank = removal_rank(values, query.sample).to(query.x.device)
    n_positions = rank.shape[1]
    gone = step_sizes(n_positions, n_steps).to(rank.device)
    # Columns: the whole curve from the top, then the inner points from the bottom, written as an interval of ranks.
    low = torch.cat([torch.zeros_like(gone), n_positions - gone[1:-1]])
    high = torch.cat([gone, torch.full_like(gone[1:-1], n_positions)])

    def probability(row: Tensor) -> Tensor:
        image, column = (row // len(low)).to(rank.device), (row % len(low)).to(rank.device)
        removed = (rank[image] >= low[column, None]) & (rank[image] < high[column, None])
        logits = model(fill(query.x[image], baseline, removed))
        return logits.double().softmax(1).gather(1, query.target[image, None])[:, 0].to(query.x.dtype)

    curve = in_chunks(probability, len(rank) * len(low), CHUNK).view(len(rank), -1)
    most, inner = curve[:, : len(gone)], curve[:, len(gone) :]
    return Removal(
        fraction=(gone.double() / n_positions).to(most.device),
        most_first=most,
        least_first=torch.cat([most[:, :1], inner, most[:, -1:]], 1),
    )


def area(curve: Float[Tensor, "batch point"], fraction: Float[Tensor, "point"]) -> Float[Tensor, "batch"]:
    """Return the area under each curve over the share of positions that are gone, by the trapezoid rule.

    With shares from 0 to 1 this is a mean; rounding does not take it out of the curve's range.
    """
    curve = curve.double()
    return torch.trapezoid(curve, fraction.to(curve)).clamp(curve.amin(1), curve.amax(1))


def shared_curves(case: Case) -> Removal:
    """Return the removal curves of a case; raises ValueError if nobody computed them."""
    if case.removal is None:
        raise ValueError("case.removal is None, but this metric reads it; fill it with removal_curves(...).")
    return case.removal
