"""Removes random subsets of an input: the relevance of each, and its effect on the network.

Images are cut into square cells, since single pixels rarely matter; every column of a table, or
group of columns, is a cell. Which cells go depends on (purpose, seed, sample) only.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.masking.fills import filler
from gpex_bench.masking.units import units
from gpex_bench.measurements.answers import OUTPUTS, answers
from gpex_bench.measurements.maps import relevance, rounded
from gpex_bench.types import Case, Dataset, Measurement, Metric, demands, settings, value
from gpex_bench.types.demands import Refused
from gpex_bench.types.draws import uniform

GROUP = 64  # samples whose random numbers are in memory together


@value
class Effects:
    """Two opinions on what each subset contributes to the target's logit.

    Cells at the border of an image are smaller, so that subsets of as many cells differ in size.
    """

    relevance: Float[Tensor, "batch subset"]  # sum of the attribution over the subset
    drop: Float[Tensor, "batch subset"]  # fall of the logit when the subset becomes the baseline
    size: Float[Tensor, "batch subset"]  # positions in the subset

    @property
    def by_position(self) -> tuple[Tensor, Tensor]:
        """Relevance and drop per position, of which those of a constant map are all alike."""
        return rounded(self.relevance / self.size), self.drop / self.size


def cells(data: Dataset, patch: int) -> Int[Tensor, "unit"]:
    """Return the cell of each pixel; cells at the border may be smaller.

    A unit of a table is a cell.
    """
    shape = data.baseline.shape
    if len(shape) != 3:
        unit = units(data)
        n_units = shape.numel() if unit is None else int(unit.max()) + 1
        return torch.arange(n_units)
    rows = torch.arange(shape[1]) // patch
    columns = torch.arange(shape[2]) // patch
    n_columns = int(columns[-1]) + 1
    cell = rows[:, None] * n_columns + columns
    return cell.flatten()


def count_of(share: float, n: int) -> int:
    """Return how many of n things a share is: at least one, and not all of several."""
    return min(max(1, round(share * n)), max(1, n - 1))


def draw(
    seed: int, sample: Int[Tensor, "batch"], n_cells: int, *, n_subsets: int, share: float
) -> Bool[Tensor, "batch subset cell"]:
    """Return random subsets of a share of the cells; no cell is twice in a subset."""
    n_removed = count_of(share, n_cells)
    parts = []
    for part in sample.split(GROUP):
        keys = uniform("subsets", seed, part, n_subsets * n_cells)
        keys = keys.view(len(part), n_subsets, n_cells)
        largest = keys.kthvalue(n_removed, dim=2, keepdim=True).values
        parts.append(keys <= largest)
    return torch.cat(parts)


@settings
class Subsets(Measurement):
    """Relevance and effect of random subsets of cells; n_subsets + 1 forward rows per sample.

    Attributes:
        n_subsets: subsets per sample.
        share: part of the cells in each subset, in (0, 1).
        patch: side of a cell of an image, pixels.
    """

    n_subsets: int = 24
    share: float = 0.25
    patch: int = 4

    def __post_init__(self) -> None:
        demands.at_least(self, 2, "n_subsets")
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, both excluded, got {self.share}.")
        if self.patch < 1:
            raise ValueError(f"patch must be at least 1 pixel, got {self.patch}.")

    def measure(self, case: Case) -> Effects:
        """Return the worth of each subset to the map and to the network.

        Raises ValueError for another kind.
        """
        query, device = case.query, case.query.x.device
        cell = cells(case.task.data, self.patch).to(device)
        n_cells = int(cell.max()) + 1
        if n_cells < 2:
            raise Refused(
                f"Subsets need at least 2 cells to differ, and inputs of shape "
                f"{tuple(query.x.shape[1:])} have 1; choose a smaller patch than {self.patch}, or "
                "another metric."
            )
        removed = draw(
            case.task.seed, query.sample, n_cells, n_subsets=self.n_subsets, share=self.share
        ).to(device)

        by_position = relevance(case)
        by_cell = by_position.new_zeros(len(by_position), n_cells)
        by_cell.index_add_(1, cell, by_position)
        worth = torch.einsum("bsc,bc->bs", removed.double(), by_cell)
        n_positions = torch.bincount(cell, minlength=n_cells).to(by_cell)
        size = removed.to(by_cell) @ n_positions

        # The intact input is one more subset: the empty one.
        choices = torch.cat([torch.zeros_like(removed[:, :1]), removed], 1)
        fill = filler(case, "baseline")

        def without(image: Tensor, subset: Tensor) -> Tensor:
            return fill(image, choices[image, subset][:, cell])

        logits = answers(case, choices.shape[1], without)[OUTPUTS.index("logit")]
        return Effects(relevance=worth, drop=logits[:, :1] - logits[:, 1:], size=size)


@settings
class SubsetsMetric(Metric):
    """How well the relevance of subsets predicts the effect of their removal on the network.

    Attributes:
        n_subsets: random subsets per sample, each one forward row.
        share: part of the cells in a subset, in (0, 1).
        patch: side of a cell of an image, pixels.
    """

    measures = "faithfulness"

    n_subsets: int = 24
    share: float = 0.25
    patch: int = 4

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Subsets]:
        """Return the removals, which all metrics with the same settings share."""
        return (Subsets(n_subsets=self.n_subsets, share=self.share, patch=self.patch),)

    @abstractmethod
    def compare(
        self, relevance: Float[Tensor, "batch subset"], drop: Float[Tensor, "batch subset"]
    ) -> Float[Tensor, "batch"]:
        """Return one number per sample from the worth of subsets and the fall of the logit."""

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the comparison of each sample."""
        effects = case.read(self.measurements()[0])
        return self.compare(effects.relevance, effects.drop)


def squared_error(
    relevance: Float[Tensor, "batch n"],
    drop: Float[Tensor, "batch n"],
    scale: Float[Tensor, "batch"],
) -> Float[Tensor, "batch"]:
    """Return the mean of (scale * relevance - drop)^2.

    Scale 1 is the definition of yeh2019fidelity.
    """
    return (scale[:, None] * relevance - drop).pow(2).mean(1)
