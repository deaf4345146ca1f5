"""Reads the map of a case."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.removal import per_position
from gpex_bench.types import Attribution, Case, Explanation


def values(explanation: Explanation) -> Float[Tensor, "batch *feature"]:
    """Return the map of an attribution; raises ValueError for another kind of explanation."""
    if not isinstance(explanation, Attribution):
        raise ValueError(f"This metric scores an Attribution, got {type(explanation).__name__}; see Metric.scores.")
    return explanation.values


def relevance(case: Case) -> Float[Tensor, "batch position"]:
    """Return the relevance of each pixel (all channels together) or column, in float64, where the queries are."""
    return per_position(values(case.explanation)).to(case.query.x.device)
