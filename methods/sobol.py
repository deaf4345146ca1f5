"""Sobol indices: the share of the variance of the logit that goes away when one region or feature is held fixed.

Sobol 2001 (sobol2001global); estimators of Saltelli et al. 2010 and Jansen 1999 as SALib computes them
(iwanaga2022salib); as an explainer of networks: Fel et al. 2021 (fel2021look). Factors are masks m in [0, 1] and
x(m) = m x + (1 - m) baseline. Images: a grid of regions, looked up by pixel without smoothing; the index of a region is
spread evenly over its input entries (both ours). Tables: one factor per feature.

Unsigned: it says how much a region matters, not for or against what. `total` counts interactions once for each region
that takes part, so it sums to 1 or more; `first` leaves them out, may be slightly negative from noise, and needs many
more samples. A constant output gives zeros. Cost: n_samples * (factors + 2) forward rows per sample (default on
images: 32 * 51 = 1632).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpex_bench.types import Attribution, Explainer, Query, Task, settings

CHUNK = 256  # rows that go through the network together


@settings
class Sobol(Explainer):
    """Variance-based sensitivity to regions or features."""

    reference = "fel2021look"
    kind = "perturbation"

    grid: int = 7  # regions along each side of an image
    n_samples: int = 32  # base points of the scrambled Sobol sequence; a power of two
    order: Literal["total", "first"] = "total"

    def __post_init__(self) -> None:
        """Refuse designs that SALib would only warn about."""
        if self.n_samples < 2 or self.n_samples & (self.n_samples - 1):
            raise ValueError(f"n_samples must be a power of two of at least 2, got {self.n_samples}.")
        if self.order not in ("total", "first"):
            raise ValueError(f"order must be 'total' or 'first', got {self.order!r}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain the samples one by one, with a design of their own."""
        factor = self._factors(query.x).to(query.x.device)
        size = factor.flatten().bincount().to(query.x)
        baseline = task.data.baseline.to(query.x)
        values = []
        for x, target, sample in zip(query.x, query.target.tolist(), query.sample.tolist(), strict=True):

            def logit(mask: np.ndarray, x: Tensor = x, target: int = target) -> np.ndarray:
                """Return the target's logit for each mask."""
                with torch.no_grad():
                    rows = torch.from_numpy(mask).to(x).split(CHUNK)
                    blends = (baseline + row[:, factor] * (x - baseline) for row in rows)
                    return torch.cat([task.model(blend)[:, target] for blend in blends]).double().cpu().numpy()

            index = indices(logit, len(size), self.n_samples, task.seeded(sample), self.order)
            values.append((torch.from_numpy(index).to(query.x) / size)[factor])
        return Attribution(values=torch.stack(values))

    def _factors(self, x: Tensor) -> Tensor:
        """Return which factor each entry of a sample belongs to."""
        if x.ndim == 2:
            return torch.arange(x.shape[1])
        height, width = x.shape[2:]
        if not 1 <= self.grid <= min(height, width):
            raise ValueError(f"grid must be between 1 and the image's shorter side, got {self.grid}.")
        row, column = (torch.arange(side) * self.grid // side for side in (height, width))
        return (row[:, None] * self.grid + column).expand(x.shape[1:])


def indices(f: Callable[[np.ndarray], np.ndarray], n_factors: int, n_samples: int, seed: int, order: str) -> np.ndarray:
    """Return the first-order or total indices of f on the unit cube; zeros if f is constant on the design."""
    from SALib.analyze import sobol as analysis
    from SALib.sample import sobol as design

    problem = {"num_vars": n_factors, "names": [str(i) for i in range(n_factors)], "bounds": [[0, 1]] * n_factors}
    y = f(design.sample(problem, n_samples, calc_second_order=False, seed=seed))
    if np.ptp(y) == 0:
        return np.zeros(n_factors)
    # two bootstrap resamples are the fewest that SALib can take; its intervals are not used
    found = analysis.analyze(problem, y, calc_second_order=False, num_resamples=2, seed=seed)
    return np.asarray(found["ST" if order == "total" else "S1"])
