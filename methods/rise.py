"""RISE: the mean of random smooth masks, weighted by the target's output on the masked image.

Petsiuk, Das, Saenko 2018 (petsiuk2018rise): coin flips on a coarse grid, enlarged bilinearly and
shifted at random; the value of a pixel is sum_n f(x_n) m_n / (N p). Differences: the absent part
shows the dataset's baseline (the paper's is black), channels share a pixel's value evenly, and
`centre` (ours, off) weighs by f(x_n) minus its mean over the masks, which has the same order in
expectation, a sign, and less noise.
"""

import torch
from torch import Tensor
from torch.nn import functional

from gpex_bench.masking.answers import groups, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class Rise(Explainer):
    """Expected output given that a pixel is shown."""

    reference = "petsiuk2018rise"
    kind = "perturbation"
    needs = frozenset({Need.IMAGE})
    cost = "`budget` forward rows per sample"

    budget: int = 2000  # masks, one forward row each (paper: 4000 to 8000)
    grid: int = 7  # cells along a side of the coarse mask
    probability: float = 0.5  # that a cell is shown
    centre: bool = False  # subtract the mean answer first
    fill: MethodFill = "baseline"
    output: Output = "probability"

    def __post_init__(self) -> None:
        """Refuse masks that show all or nothing."""
        check_settings(self, budget=1, grid=1)
        if not 0 < self.probability < 1:
            raise ValueError(f"probability must lie between 0 and 1, got {self.probability}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the weighted mean of the masks of a bounded number of samples at a time."""
        side = min(query.x.shape[2:])
        if self.grid > side:
            raise ValueError(
                f"grid must be at most the image's shorter side {side}, got {self.grid}."
            )
        return Attribution(
            values=torch.cat([self._part(task, part) for part in groups(query, self.budget)])
        )

    def _part(self, task: Task, query: Query) -> Tensor:
        """Enlarge the masks a chunk at a time; only the coarse ones are kept."""
        x = query.x
        asked = probe(task, query, self.fill, self.output)
        draws = [self._draw(task.generator(sample), x) for sample in query.sample.tolist()]
        cells, down, right = (torch.cat(part).to(x.device) for part in zip(*draws, strict=True))
        rows, columns = (bilinear(self.grid, side).to(x) for side in x.shape[2:])
        image = torch.arange(len(x), device=x.device).repeat_interleave(self.budget)

        def masks(part: slice) -> Tensor:
            above = rows[down[part, None] + torch.arange(x.shape[2], device=x.device)]
            beside = columns[right[part, None] + torch.arange(x.shape[3], device=x.device)]
            return above @ cells[part].to(x) @ beside.mT

        weighted, plain, total = (
            torch.zeros(len(x), *x.shape[2:], dtype=torch.float64, device=x.device) for _ in "abc"
        )
        for part, mask, y in asked.chunks(image, masks):
            weighted.index_add_(0, image[part], mask * y[:, None, None])
            if self.centre:
                plain.index_add_(0, image[part], mask.double())
                total.index_add_(0, image[part], y[:, None, None].expand(mask.shape))
        values = (weighted - plain * total / self.budget) / (self.budget * self.probability)
        return (values / x.shape[1])[:, None].expand_as(x).to(x).clone()

    def _draw(self, generator: torch.Generator, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the coarse masks of one image and their shifts."""
        shape = (self.budget, self.grid, self.grid)
        cells = torch.rand(shape, generator=generator) < self.probability
        down, right = (
            torch.randint(0, -(-side // self.grid), (self.budget,), generator=generator)
            for side in x.shape[2:]
        )
        return cells, down, right


def bilinear(grid: int, side: int) -> Tensor:
    """Return the matrix that enlarges a side of the grid to one cell more than a side of the image."""
    n_pixels = (grid + 1) * -(-side // grid)
    return functional.interpolate(
        torch.eye(grid)[None], n_pixels, mode="linear", align_corners=False
    )[0].T
