"""RISE: the mean output over random smooth masks, weighted by how far each shows a pixel.

Petsiuk, Das, Saenko 2018 (petsiuk2018rise): coin flips on a coarse grid, enlarged bilinearly and
shifted at random; the value of a pixel is sum_n f(x_n) m_n / sum_n m_n. Differences: the paper
divides by N p, the expectation of sum_n m_n, which leaves the noise of the masks where the output
hardly changes (a constant output has a constant map here); the absent part shows the dataset's
baseline (the paper's is black); channels share a pixel's value evenly; and `centre` (ours, off)
subtracts the mean answer, so that the values have a sign. A number is always centred: its zero is
where its unit puts it.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import groups, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.types import Attribution, Kind, Need, Query, Task, settings
from gpex_bench.types.demands import Refused

SHOWN = 1e-300  # keeps a quotient finite that is not used


@settings
class Rise(Masking):
    """Expected output given that a pixel is shown."""

    reference = "petsiuk2018rise"
    kind = "perturbation"
    needs = frozenset({Need.IMAGE})
    cost = "`budget` forward rows per sample"

    budget: int = 2000  # masks, one forward row each (paper: 4000 to 8000)
    grid: int = 7  # cells along a side of the coarse mask
    probability: float = 0.5  # that a cell is shown
    centre: bool = False  # subtract the mean answer first, as is always done with a number
    fill: MethodFill = "baseline"
    output: Output | None = None  # None: the probability, of a number its value

    def __post_init__(self) -> None:
        """Refuse masks that show all or nothing."""
        # one mask less its own mean is nothing
        check_settings(self, budget=2 if self.centre else 1, grid=1)
        if not 0 < self.probability < 1:
            raise ValueError(f"probability must lie between 0 and 1, got {self.probability}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the weighted mean of the masks of a bounded number of samples at a time."""
        side = min(query.x.shape[2:])
        if self.grid > side:
            raise Refused(
                f"grid must be at most the image's shorter side {side}, got {self.grid}; set a "
                "smaller grid."
            )
        parts = [self._explain(task, part) for part in groups(query, self.budget)]
        return Attribution(values=torch.cat(parts))

    def _explain(self, task: Task, query: Query) -> Tensor:
        x = query.x
        asked = probe(task, query, self.fill, self.output)
        masks = self._masks(task, query)
        image = torch.arange(len(x), device=x.device).repeat_interleave(self.budget)

        is_centred = self.centre or task.data.kind is Kind.NUMBER
        shape = (len(x), *x.shape[2:])
        weighted = torch.zeros(shape, dtype=torch.float64, device=x.device)
        shown = torch.zeros_like(weighted)
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for part, mask, y in asked.chunks(image, masks):
            weighted.index_add_(0, image[part], mask * y[:, None, None])
            shown.index_add_(0, image[part], mask.double())
            total.index_add_(0, image[part], y)

        # a pixel that no mask shows gets the mean answer
        mean = (total / self.budget)[:, None, None]
        values = torch.where(shown > 0, weighted / shown.clamp(min=SHOWN), mean)
        if is_centred:
            values = values - mean
        share = values / x.shape[1]
        return share[:, None].expand_as(x).to(x).clone()

    def _masks(self, task: Task, query: Query) -> Callable[[slice], Tensor]:
        """Return the function that enlarges a chunk of the masks; only the coarse ones are kept."""
        x = query.x
        draws = [self._draw(task.generator(sample), x) for sample in query.sample.tolist()]
        cells, down, right = (torch.cat(part).to(x.device) for part in zip(*draws, strict=True))
        height, width = x.shape[2:]
        rows = bilinear(self.grid, height).to(x)
        columns = bilinear(self.grid, width).to(x)
        row = torch.arange(height, device=x.device)
        column = torch.arange(width, device=x.device)

        def masks(part: slice) -> Tensor:
            vertical = rows[down[part, None] + row]
            horizontal = columns[right[part, None] + column]
            return vertical @ cells[part].to(x) @ horizontal.mT

        return masks

    def _draw(self, generator: torch.Generator, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the coarse masks of one image and their shifts down and to the right."""
        shape = (self.budget, self.grid, self.grid)
        draws = torch.rand(shape, generator=generator)
        cells = draws < self.probability

        # by less than a cell, whose size is rounded up
        height, width = x.shape[2:]
        cell_height = -(-height // self.grid)
        cell_width = -(-width // self.grid)
        down = torch.randint(0, cell_height, (self.budget,), generator=generator)
        right = torch.randint(0, cell_width, (self.budget,), generator=generator)
        return cells, down, right


def bilinear(grid: int, side: int) -> Tensor:
    """Return the matrix that enlarges a side of the grid to a cell more than the image's side."""
    n_pixels = (grid + 1) * -(-side // grid)
    identity = torch.eye(grid)[None]
    enlarged = functional.interpolate(identity, n_pixels, mode="linear", align_corners=False)
    return enlarged[0].T
