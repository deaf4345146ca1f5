"""Sobol indices: the share of the variance of the logit that goes away when one region or feature is held fixed.

Sobol 2001 (sobol2001global); estimators of Jansen 1999 (totals) and Saltelli et al. 2010 (first order) as SALib has
them (iwanaga2022salib; on the same answers ours give its numbers); as an explainer of networks: Fel et al. 2021
(fel2021look). Factors are masks m in [0, 1] and x(m) = m x + (1 - m) baseline, from a scrambled Sobol sequence of each
sample's own. Images: a grid of regions, looked up by pixel without smoothing; the index of a region is spread evenly
over its input entries (both ours). Tables: one factor per feature.

Unsigned: it says how much a region matters, not for or against what. `total` counts interactions
once for each region that takes part, so it sums to 1 or more; `first` leaves them out, may be
slightly negative from noise, and needs many more samples. A constant output gives zeros.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpex_bench.families.sobol_indices import base_points, design, indices, mixed
from gpex_bench.masking.answers import by_region, groups, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import grid
from gpex_bench.types import Attribution, Explainer, Query, Task, settings


@settings
class Sobol(Explainer):
    """Variance-based sensitivity to regions or features."""

    reference = "fel2021look"
    kind = "perturbation"
    cost = (
        "n * (factors + 2) forward rows per sample, n being the largest power of two that "
        "`budget` pays for (default on images: 32 * 51 = 1632)"
    )

    budget: int = 1632  # forward rows per sample, at most
    grid: int = 7  # regions along each side of an image
    order: Literal["total", "first"] = "total"
    fill: MethodFill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, budget=2)
        if self.order not in ("total", "first"):
            raise ValueError(f"order must be 'total' or 'first', got {self.order!r}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, each with a design of its own."""
        return Attribution(
            values=torch.cat([self._part(task, part) for part in groups(query, self.budget)])
        )

    def _part(self, task: Task, query: Query) -> Tensor:
        cut = grid(query.x, self.grid)
        n_factors, n_samples = cut.most, base_points(self.budget, cut.most)
        asked = probe(task, query, self.fill, self.output, cut)
        points = np.stack(
            [design(n_factors, n_samples, task.seeded(sample)) for sample in query.sample.tolist()]
        )
        each = n_samples * (n_factors + 2)
        image = torch.arange(len(query.x), device=query.x.device).repeat_interleave(each)
        rows = mixed(torch.from_numpy(points).to(query.x).flatten(0, 1))
        y = asked.answers(image, by_region(cut, image, rows)).view(
            len(query.x), n_samples, n_factors + 2
        )
        return cut.spread(indices(y, self.order), query.x)
