"""Compares the maps of a method on networks that were trained from different seeds."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.measurements.maps import of_units, relevance, values
from gpex_bench.measurements.similarity import spearman
from gpex_bench.types import Case
from gpex_bench.types.demands import Refused


def distance(correlation: Float[Tensor, "..."], absolute: bool) -> Float[Tensor, "..."]:
    """Return sqrt(1 - |r|), or with its sign sqrt((1 - r) / 2): 0 for the same order, at most 1."""
    closeness = correlation.abs() if absolute else (1 + correlation) / 2
    return (1 - closeness).clamp(min=0).sqrt()


def distances(case: Case, absolute: bool) -> Float[Tensor, "batch network"]:
    """Return how far each map is from that of the same sample on each other network.

    Raises Refused where there is no other network, or not the same samples.
    """
    own = relevance(case)
    others = [one for one in case.retrained if torch.equal(one.sample, case.query.sample)]
    if not others:
        raise Refused(
            "This metric compares the maps of the same samples on networks of at least two "
            "training seeds, which only a run of the workflow has; name several in `seeds`."
        )
    maps = [of_units(case, values(one.explanation)).to(own.device) for one in others]
    return torch.stack([distance(spearman(own, one), absolute) for one in maps], 1)


def has_same_target(case: Case) -> Bool[Tensor, "batch network"]:
    """Return on which other networks the sample was explained for the same output.

    All of them where there is none.
    """
    target = case.query.target
    others = [one for one in case.retrained if torch.equal(one.sample, case.query.sample)]
    same = torch.stack([one.target.to(target.device) == target for one in others], 1)
    return same | ~same.any(1, keepdim=True)
