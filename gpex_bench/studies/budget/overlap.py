"""How much a method's maps depend on its seed: overlap of the top, and rank correlation.

For each sample every pair of runs is compared.

- `jaccard`: |A and B| / |A or B| of the k most relevant positions, k being a share of all
  positions, rounded up. Equal relevances are ordered at random, in the same way in all runs, as the
  removal metrics do. Two random sets of a share q of many positions have q / (2 - q).
- `spearman`: correlation of the ranks of all positions, equal relevances sharing their mean rank; 0
  where a map is constant, which has no order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.masking.order import per_position, ties_broken
from gpex_bench.measurements.similarity import unit_ranks
from gpex_bench.types import Query


def agreement(maps: Sequence[Tensor], query: Query, top: float) -> pd.DataFrame:
    """Return the mean over all pairs of runs for each sample: sample, jaccard, spearman, n_seeds.

    Args:
        maps: relevance of the same samples from each run [batch *feature].
        query: what was explained.
        top: share of the positions that count as the top.
    """
    if len(maps) < 2:
        raise ValueError(f"maps must hold at least 2 runs to compare, got {len(maps)}.")

    # [sample, run, position]
    relevance = torch.stack([per_position(values) for values in maps], 1)
    ranks = torch.stack([ties_broken(run, query.sample) for run in relevance.unbind(1)], 1)
    k = int(np.ceil(top * ranks.shape[2]))

    rows = []
    for sample, rank, values in zip(query.sample.tolist(), ranks, relevance, strict=True):
        overlap = _of_pairs(jaccard(rank < k))
        correlation = _of_pairs(spearman(values.numpy()))
        rows.append((int(sample), overlap, correlation, len(maps)))
    return pd.DataFrame(rows, columns=["sample", "jaccard", "spearman", "n_seeds"])


def jaccard(sets: Bool[Tensor, "run position"]) -> Float[np.ndarray, "run run"]:
    """Return the overlap of every two sets; they must not be empty."""
    inside = sets.double().numpy()
    common = inside @ inside.T
    size = inside.sum(1)
    return common / (size[:, None] + size - common)


def spearman(values: Float[np.ndarray, "run position"]) -> Float[np.ndarray, "run run"]:
    """Return the rank correlation of every two maps; 0 where one of them is constant."""
    unit = unit_ranks(values)
    return unit @ unit.T


def _of_pairs(matrix: np.ndarray) -> float:
    """Return the mean over the pairs of different runs."""
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())
