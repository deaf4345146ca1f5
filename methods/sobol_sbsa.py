"""Sobol indices of a few regions: alone, with all others, and in pairs.

Our reconstruction of a variance-based analysis of combinations of regions (anonymous2022sbsa; we
know its abstract only): what a region is, how it is masked and how many masks are drawn are
settings here. Regions: cells of a grid, or SLIC superpixels merged by colour until `n_regions` are
left; they do not use a planted truth. Factors are masks m of the regions, uniform in [0, 1] or fair
coins, and x(m) = m x + (1 - m) absent; design and estimators are those of SALib (iwanaga2022salib).
Few regions, because first-order and pair indices of many are noise at any practical budget.

Unsigned: an index measures how much a region matters, not in which direction. `order` chooses what
the attribution holds: `total`, `first`, or `interaction` (total minus first: what a region does
only together with others). The index of a region is spread evenly over its entries. `decompose`
returns all orders with their intervals. A single region has an index of about 1; a constant
output gives zeros.
"""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gpex_bench.families.masking import Masking
from gpex_bench.families.sobol_indices import (
    Indices,
    base_points,
    decompose,
    rows_each,
    sampled_rows,
)
from gpex_bench.masking.answers import by_region, groups, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import Regions, grid, slic
from gpex_bench.types import Attribution, Need, Query, Task, settings
from gpex_bench.types.demands import one_of

Order = Literal["total", "first", "interaction"]
Cut = Literal["grid", "superpixels"]
Mask = Literal["continuous", "binary"]
MOST_REGIONS = 12
FINER = 4  # superpixels for each region, before they are merged


@settings
class SobolSbsa(Masking):
    """First-order, total or interaction indices of a few regions (reconstruction)."""

    reference = "anonymous2022sbsa"
    kind = "perturbation"
    needs = frozenset({Need.IMAGE})
    cost = (
        "n * (regions + 2) forward rows per sample, n being the largest power of two that "
        "`budget` pays for (default: 128 * 11 = 1408); `decompose` with pairs: n * (2 * "
        "regions + 2)"
    )

    budget: int = 1408  # forward rows per sample, at most
    regions: Cut = "superpixels"
    n_regions: int = 9  # of a grid: the nearest square number
    order: Order = "total"
    mask: Mask = "continuous"
    fill: MethodFill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, budget=2, n_regions=1)
        one_of(self, regions=get_args(Cut), order=get_args(Order), mask=get_args(Mask))
        if self.n_regions > MOST_REGIONS:
            raise ValueError(
                f"n_regions must be at most {MOST_REGIONS}, got {self.n_regions}; "
                "use sobol for more."
            )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, each with a separate design."""
        parts = [self._explain(task, part) for part in groups(query, self.budget)]
        return Attribution(values=torch.cat(parts))

    def _explain(self, task: Task, query: Query) -> Tensor:
        cut = self.cut(query.x)
        indices = self._indices(task, query, cut, has_pairs=False, has_intervals=False)
        if self.order == "first":
            values = indices.first
        elif self.order == "total":
            values = indices.total
        else:
            values = indices.total - indices.first
        return cut.spread(values, query.x)

    def decompose(
        self, task: Task, query: Query, has_pairs: bool = True
    ) -> tuple[Regions, Indices]:
        """Return the regions of the samples and their indices of all orders, with 95 % intervals.

        Regions that a sample lacks (its superpixels were fewer) have zeros.
        """
        cut = self.cut(query.x)
        return cut, self._indices(task, query, cut, has_pairs=has_pairs, has_intervals=True)

    def _indices(
        self, task: Task, query: Query, cut: Regions, *, has_pairs: bool, has_intervals: bool
    ) -> Indices:
        # the same for all samples: a sample must not depend on the others' superpixels
        n_factors = self._n_factors()
        n_points = base_points(self.budget, n_factors, has_pairs)
        each = rows_each(n_factors, has_pairs)
        seeds = [task.seeded(sample) for sample in query.sample.tolist()]

        designs = [sampled_rows(n_factors, n_points, seed, has_pairs) for seed in seeds]
        masks = torch.from_numpy(np.concatenate(designs)).to(query.x)
        if self.mask == "binary":
            masks = (masks < 0.5).to(query.x)

        image = torch.arange(len(query.x), device=query.x.device).repeat_interleave(n_points * each)
        asked = probe(task, query, self.fill, self.output, cut)
        y = asked.answers(image, by_region(cut, image, lambda rows: masks[rows]))
        by_point = y.view(len(query.x), n_points, each)
        return decompose(by_point, has_pairs, seeds if has_intervals else None)

    def _n_factors(self) -> int:
        if self.regions == "grid":
            return self._grid_side() ** 2
        return self.n_regions

    def _grid_side(self) -> int:
        return round(self.n_regions**0.5)

    def cut(self, x: Tensor) -> Regions:
        """Return the regions of images."""
        if self.regions == "grid":
            return grid(x, self._grid_side())
        maps = [merged(image, self.n_regions) for image in x.detach().cpu().double().numpy()]
        index = torch.from_numpy(np.stack(maps)).to(x.device)
        return Regions(index=index, count=index.flatten(1).amax(1).cpu() + 1)


def merged(image: np.ndarray, n_regions: int) -> np.ndarray:
    """Return superpixels; neighbours of similar colour are merged until n_regions are left.

    Ward's criterion decides which.     An image that has fewer superpixels keeps those.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.image import grid_to_graph

    fine = slic(image, FINER * n_regions)
    n_fine = int(fine.max()) + 1
    if n_regions == 1:
        return np.zeros_like(fine)
    if n_fine <= n_regions:
        return fine

    size = np.bincount(fine.ravel(), minlength=n_fine)
    sums = [np.bincount(fine.ravel(), channel.ravel(), n_fine) for channel in image]
    colour = np.stack([of_channel / size for of_channel in sums], 1)

    # superpixels are neighbours where pixels of theirs are
    pixel, neighbour = grid_to_graph(*fine.shape).nonzero()
    touches = np.zeros((n_fine, n_fine), dtype=bool)
    touches[fine.ravel()[pixel], fine.ravel()[neighbour]] = True

    clustering = AgglomerativeClustering(n_regions, connectivity=touches)
    region = clustering.fit_predict(colour)
    # numbered without gaps, in the order of their labels
    return np.unique(region[fine], return_inverse=True)[1].reshape(fine.shape)
