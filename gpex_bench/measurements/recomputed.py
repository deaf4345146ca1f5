"""Removes the most relevant patches a few at a time and explains the rest again each time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.fills import filler
from gpex_bench.masking.order import step_sizes, ties_broken
from gpex_bench.measurements.answers import answers
from gpex_bench.measurements.curves import PATCH
from gpex_bench.measurements.maps import explained_again, means_of, of_units, relevance
from gpex_bench.measurements.subsets import cells
from gpex_bench.types import Case, Measurement, settings, value


@value
class Trail:
    """The outputs along a removal whose order follows each new explanation."""

    fraction: Float[Tensor, "point"]  # share of the patches that are gone
    outputs: Float[Tensor, "output batch point"]


@settings
class Recomputed(Measurement):
    """A removal curve whose map is made again after each step.

    It costs n_steps - 1 explanations and n_steps + 1 forward rows.

    Patches of 4 x 4 pixels by their mean relevance, or columns, become the baseline. The target
    stays fixed.

    Attributes:
        n_steps: steps per curve, equally long up to one patch; see `masking.order.step_sizes` for
        few patches.
    """

    n_steps: int = 6
    re_explains = True

    def __post_init__(self) -> None:
        step_sizes(1, self.n_steps)

    def measure(self, case: Case) -> Trail:
        """Return the curve; raises ValueError for another kind of explanation."""
        query = case.query
        device = query.x.device
        n_queries = len(query.x)
        cell = cells(case.task.data, PATCH).to(device)
        n_cells = int(cell.max()) + 1
        sizes = step_sizes(n_cells, self.n_steps)
        fill = filler(case, "baseline")

        every_query = torch.arange(n_queries, device=device)
        gone = torch.zeros(n_queries, n_cells, dtype=torch.bool, device=device)
        by_position = relevance(case)
        states = [query.x]
        for step, size in enumerate(sizes[1:].tolist()):
            # The first step goes by the map that is scored.
            if step > 0:
                again = explained_again(case, x=states[-1])
                by_position = of_units(case, again).to(device)
            by_cell = means_of(by_position, cell.expand(n_queries, -1), n_cells)

            # The cells that are gone stay in front.
            gone_first = by_cell.masked_fill(gone, torch.inf)
            gone = ties_broken(gone_first, query.sample) < size
            states.append(fill(every_query, gone[:, cell]))

        stacked = torch.stack(states)
        outputs = answers(case, len(states), lambda image, point: stacked[point, image])
        return Trail(fraction=sizes.double() / n_cells, outputs=outputs)
