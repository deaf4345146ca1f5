"""Sobol indices: the share of the variance of the logit that goes away when one region or feature is held fixed.

Sobol 2001 (sobol2001global); estimators of Jansen 1999 (totals) and Saltelli et al. 2010 (first order) as SALib has
them (iwanaga2022salib; on the same answers ours give its numbers); as an explainer of networks: Fel et al. 2021
(fel2021look). Factors are masks m in [0, 1] and x(m) = m x + (1 - m) baseline, from a scrambled Sobol sequence of each
sample's own. Images: a grid of regions, looked up by pixel without smoothing; the index of a region is spread evenly
over its input entries (both ours). Tables: one factor per feature.

Unsigned: it says how much a region matters, not for or against what. `total` counts interactions once for each region
that takes part, so it sums to 1 or more; `first` leaves them out, may be slightly negative from noise, and needs many
more samples. A constant output gives zeros. Cost: n * (factors + 2) forward rows per sample, n being the largest power
of two that `budget` pays for (default on images: 32 * 51 = 1632).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpex_bench.masking import Fill, Output, by_region, check_budget, check_settings, grid, groups, probe
from gpex_bench.types import Attribution, Explainer, Query, Task, settings


@settings
class Sobol(Explainer):
    """Variance-based sensitivity to regions or features."""

    reference = "fel2021look"
    kind = "perturbation"

    budget: int = 1632  # forward rows per sample, at most
    grid: int = 7  # regions along each side of an image
    order: Literal["total", "first"] = "total"
    fill: Fill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, budget=2)
        if self.order not in ("total", "first"):
            raise ValueError(f"order must be 'total' or 'first', got {self.order!r}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, each with a design of its own."""
        return Attribution(values=torch.cat([self._part(task, part) for part in groups(query, self.budget)]))

    def _part(self, task: Task, query: Query) -> Tensor:
        cut = grid(query.x, self.grid)
        n_factors, n_samples = cut.most, base_points(self.budget, cut.most)
        asked = probe(task, query, self.fill, self.output, cut)
        points = np.stack([design(n_factors, n_samples, task.seeded(sample)) for sample in query.sample.tolist()])
        each = n_samples * (n_factors + 2)
        image = torch.arange(len(query.x), device=query.x.device).repeat_interleave(each)
        rows = mixed(torch.from_numpy(points).to(query.x).flatten(0, 1))
        y = asked.answers(image, by_region(cut, image, rows)).view(len(query.x), n_samples, n_factors + 2)
        return cut.spread(indices(y, self.order), query.x)


def base_points(budget: int, n_factors: int) -> int:
    """Return the largest power of two, of at least 2, whose design the budget pays for."""
    check_budget(budget, 2 * (n_factors + 2), f"{n_factors} factors")
    return int(2 ** ((budget // (n_factors + 2)).bit_length() - 1))


def design(n_factors: int, n_samples: int, seed: int) -> np.ndarray:
    """Return scrambled Sobol points [n_samples, 2 * n_factors]: the matrices A and B side by side."""
    from scipy.stats import qmc

    return qmc.Sobol(2 * n_factors, scramble=True, rng=seed).random(n_samples)


def mixed(points: Tensor) -> Callable[[slice], Tensor]:
    """Return the function that makes rows of the design as they are needed.

    Each base point gives A, then A with each of its columns in turn taken from B, then B: the order of SALib.
    """
    n_factors = points.shape[1] // 2
    column = torch.arange(n_factors, device=points.device)

    def rows(part: slice) -> Tensor:
        row = torch.arange(part.start, part.stop, device=points.device)
        point, kind = row // (n_factors + 2), (row % (n_factors + 2))[:, None]
        a, b = points[point].split(n_factors, dim=1)
        return torch.where((column == kind - 1) | (kind == n_factors + 1), b, a)

    return rows


def indices(y: Tensor, order: str) -> Tensor:
    """Return the indices [sample, factor] from answers [sample, base point, A AB_1 ... AB_d B]; 0 if y is constant."""
    a, mixes, b = y[..., :1], y[..., 1:-1], y[..., -1:]
    spread = torch.cat([a, b], 1).flatten(1).var(1, correction=0)[:, None]
    if order == "total":
        part = (a - mixes).square().mean(1) / 2
    else:
        centre = y.flatten(1).mean(1)[:, None, None]  # without it the estimate explodes
        part = ((b - centre) * (mixes - a)).mean(1)
    return torch.where(spread > 0, part / torch.where(spread > 0, spread, 1), 0)
