"""Sobol indices of a few regions of an image: alone (first order), with all others (total), and in pairs.

Our reconstruction of a variance-based analysis of combinations of regions (anonymous2022sbsa; we know its abstract
only): what a region is, how it is masked and how many masks are drawn are settings here. Regions: cells of a grid, or
SLIC superpixels merged by colour until `n_regions` are left; they know nothing of a planted truth. Factors are masks m
of the regions, uniform in [0, 1] or fair coins, and x(m) = m x + (1 - m) absent; design and estimators are those of
SALib (iwanaga2022salib). Few regions, because first-order and pair indices of many are noise at any budget of use.

Unsigned: an index says how much a region matters, not for or against what. `order` chooses what the
attribution holds: `total`, `first`, or `interaction` (total minus first: what a region does only
together with others). The index of a region is spread evenly over its entries. `decompose` returns
all orders with their intervals. A single region has an index of about 1; an output that is constant
up to rounding gives zeros.
"""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gpex_bench.families.sobol_indices import (
    Indices,
    base_points,
    decompose,
    design,
    mixed,
    rows_each,
)
from gpex_bench.masking.answers import by_region, groups, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import Regions, grid, slic
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings

Order = Literal["total", "first", "interaction"]
Cut = Literal["grid", "superpixels"]
Mask = Literal["continuous", "binary"]
MOST_REGIONS = 12
FINER = 4  # superpixels for each region, before they are merged


@settings
class SobolSbsa(Explainer):
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
        for name, known in (("regions", Cut), ("order", Order), ("mask", Mask)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(known))}, got {getattr(self, name)!r}."
                )
        if self.n_regions > MOST_REGIONS:
            raise ValueError(
                f"n_regions must be at most {MOST_REGIONS}, got {self.n_regions}; use sobol for more."
            )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, each with a design of its own."""
        return Attribution(
            values=torch.cat([self._part(task, part) for part in groups(query, self.budget)])
        )

    def _part(self, task: Task, query: Query) -> Tensor:
        cut = self.cut(query.x)
        found = self._indices(task, query, cut, has_pairs=False, has_intervals=False)
        values = {
            "first": found.first,
            "total": found.total,
            "interaction": found.total - found.first,
        }
        return cut.spread(values[self.order], query.x)

    def decompose(
        self, task: Task, query: Query, has_pairs: bool = True
    ) -> tuple[Regions, Indices]:
        """Return the regions of the samples and their indices of all orders, with half-widths of 95 % intervals.

        Regions that a sample lacks (its superpixels were fewer) have zeros.
        """
        cut = self.cut(query.x)
        return cut, self._indices(task, query, cut, has_pairs=has_pairs, has_intervals=True)

    def _indices(
        self, task: Task, query: Query, cut: Regions, *, has_pairs: bool, has_intervals: bool
    ) -> Indices:
        n_factors = (
            self._n_factors()
        )  # of all samples alike: a sample must not depend on the others' superpixels
        n_points, each = (
            base_points(self.budget, n_factors, has_pairs),
            rows_each(n_factors, has_pairs),
        )
        seeds = [task.seeded(sample) for sample in query.sample.tolist()]
        points = torch.from_numpy(
            np.stack([design(n_factors, n_points, seed) for seed in seeds])
        ).to(query.x)
        if self.mask == "binary":
            points = (points < 0.5).to(query.x)
        image = torch.arange(len(query.x), device=query.x.device).repeat_interleave(n_points * each)
        asked = probe(task, query, self.fill, self.output, cut)
        y = asked.answers(image, by_region(cut, image, mixed(points.flatten(0, 1), has_pairs)))
        return decompose(
            y.view(len(query.x), n_points, each), has_pairs, seeds if has_intervals else None
        )

    def _n_factors(self) -> int:
        return round(self.n_regions**0.5) ** 2 if self.regions == "grid" else self.n_regions

    def cut(self, x: Tensor) -> Regions:
        """Return the regions of images."""
        if self.regions == "grid":
            return grid(x, round(self.n_regions**0.5))
        maps = [merged(image, self.n_regions) for image in x.detach().cpu().double().numpy()]
        index = torch.from_numpy(np.stack(maps)).to(x.device)
        return Regions(index=index, count=index.flatten(1).amax(1).cpu() + 1)


def merged(image: np.ndarray, n_regions: int) -> np.ndarray:
    """Return superpixels of an image, neighbours of like colour merged until n_regions are left (Ward's criterion).

    An image that has fewer superpixels keeps those.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.image import grid_to_graph

    fine = slic(image, FINER * n_regions)
    n_fine = int(fine.max()) + 1
    if n_regions == 1 or n_fine <= n_regions:
        return np.zeros_like(fine) if n_regions == 1 else fine
    size = np.bincount(fine.ravel(), minlength=n_fine)
    colour = np.stack(
        [np.bincount(fine.ravel(), channel.ravel(), n_fine) / size for channel in image], 1
    )
    one, other = grid_to_graph(*fine.shape).nonzero()
    touches = np.zeros((n_fine, n_fine), dtype=bool)
    touches[fine.ravel()[one], fine.ravel()[other]] = True
    joined = AgglomerativeClustering(n_regions, connectivity=touches).fit_predict(colour)
    return np.unique(joined[fine], return_inverse=True)[1].reshape(fine.shape)
