"""Reads the map of a case, and computes other maps of its explainer."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.masking.order import per_position
from gpex_bench.masking.units import per_unit, units
from gpex_bench.types import Attribution, Case, Explanation, Query
from gpex_bench.types.batches import explained_in_parts

# Size that a difference is taken to have at least, as a share of what it is the difference of: the
# rounding of float32 sums.
SMALLEST = 1e-6
# What the mean relevances of groups are rounded to, as a share of the largest of a map: the mean of
# equal numbers depends on how many they are, in the last bit.
GRAIN = 2.0**-40


def values(explanation: Explanation) -> Float[Tensor, "batch *feature"]:
    """Return the map of an attribution.

    Raises:
        ValueError: it is another kind of explanation, or a value is NaN or infinite: no metric
        scores such a map.
    """
    if not isinstance(explanation, Attribution):
        got = type(explanation).__name__
        raise ValueError(f"This metric scores an Attribution, got {got}; see Metric.scores.")
    if not explanation.values.isfinite().all():
        per_position(explanation.values)  # raises, naming the rows
    return explanation.values


def relevance(case: Case) -> Float[Tensor, "batch unit"]:
    """Return the relevance of each unit, in float64, on the device of the queries.

    A unit is a pixel, a column or a group of columns: see `masking.units`.
    """
    return of_units(case, values(case.explanation)).to(case.query.x.device)


def of_units(case: Case, maps: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch unit"]:
    """Return the relevance of each unit of some maps, in float64; they must be finite."""
    return per_unit(per_position(maps), units(case.task.data))


def means_of(
    by_unit: Float[Tensor, "batch unit"], group: Int[Tensor, "batch unit"], n_groups: int
) -> Float[Tensor, "batch group"]:
    """Return the mean relevance of the units of each group; 0 for a group without units.

    A sum would measure the size of groups that are not equally large: of a constant map all means
    are the same, to the last bit.
    """
    total = by_unit.new_zeros(len(by_unit), n_groups).scatter_add_(1, group, by_unit)
    size = torch.zeros_like(total).scatter_add_(1, group, torch.ones_like(by_unit))
    return rounded(total / size.clamp(min=1))


def rounded(means: Float[Tensor, "batch group"]) -> Float[Tensor, "batch group"]:
    """Return means without the last bits, in which those of equal numbers differ."""
    largest = means.abs().amax(1, keepdim=True)
    grain = GRAIN * torch.where(largest > 0, largest, 1.0)
    return (means / grain).round() * grain


def of_draws(
    case: Case, maps: Float[Tensor, "batch draw *feature"]
) -> Float[Tensor, "batch draw unit"]:
    """Return the relevance of each unit of several maps of each sample, in float64."""
    return of_units(case, maps.flatten(0, 1)).unflatten(0, maps.shape[:2])


def explained_again(
    case: Case, *, x: Tensor | None = None, target: Tensor | None = None, **changed: Any
) -> Float[Tensor, "batch *feature"]:
    """Return the explainer's maps after something has changed.

    Args:
        case: what was explained.
        x: other inputs.
        target: other heads.
        changed: other parts of the task, such as `model` or `seed`.

    Raises:
        ValueError: the case holds another kind of explanation, or a value is NaN or infinite.
    """
    values(case.explanation)
    query = Query(
        x=case.query.x if x is None else x.contiguous(),
        target=case.query.target if target is None else target,
        sample=case.query.sample,
    )
    task = dataclasses.replace(case.task, **changed)
    return values(explained_in_parts(case.explainer, task, query)).detach().to(torch.float32)
