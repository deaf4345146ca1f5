"""Explains altered networks, whose maps relate to those of the given one in a known way."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.masking.units import at_positions, units
from gpex_bench.measurements.maps import explained_again
from gpex_bench.measurements.randomised import OtherMaps, OtherTarget
from gpex_bench.measurements.subsets import cells
from gpex_bench.models.altered.for_axioms import Blind, Mirrored, Rewritten, mirrored, summed
from gpex_bench.types import Case, Measurement, settings
from gpex_bench.types.demands import Refused
from gpex_bench.types.draws import uniform

How = Literal["rewritten", "blind", "mirrored", "summed"]
BLIND_SHARE = 0.25  # of the cells that the blind network does not look at
PATCH = 4  # side of a cell of an image, pixels


@settings
class Altered(Measurement):
    """Maps of one altered network.

    Costs one more explanation (two copies of the network run in `mirrored`).

    Attributes:
        how: `rewritten` has other layers and the same outputs; `blind` does not look at some
            positions; `mirrored` is symmetric, and so are its input and its baseline; `summed` adds
            the output of the other class of `OtherTarget` to that of each class.
    """

    how: How
    re_explains = True
    changes_network = True

    def measure(self, case: Case) -> OtherMaps:
        """Return the maps; raises ValueError for another kind of explanation."""
        model, x = case.task.model, case.query.x
        if self.how == "rewritten":
            maps = explained_again(case, model=Rewritten(model, x).eval())
        elif self.how == "blind":
            maps = explained_again(case, model=Blind(model, ~unseen(case)).eval())
        elif self.how == "summed":
            maps = explained_again(case, model=summed(model, OtherTarget.step(case)))
        else:
            maps = self._of_mirrored(case)
        return OtherMaps(values=maps[:, None])

    def _of_mirrored(self, case: Case) -> Float[Tensor, "batch *feature"]:
        """Return the maps of a symmetric network at symmetric inputs, with a symmetric baseline."""
        x, data = case.query.x, case.task.data
        if data.groups:
            raise Refused(
                f"A mirrored table mixes columns, and {data.name} has groups of columns that "
                "belong together (groups), of which a mixture is no input; leave the symmetry out."
            )
        baseline = (data.baseline + mirrored(data.baseline)) / 2
        symmetric = dataclasses.replace(data, baseline=baseline)
        network = Mirrored(case.task.model).eval()
        return explained_again(case, x=(x + mirrored(x)) / 2, model=network, data=symmetric)


def unseen(case: Case) -> Bool[Tensor, "*feature"]:
    """Return which entries the blind network ignores.

    A quarter of the cells, at least one, drawn by the seed of the cell of the run.

    The same for all samples; cells are squares of 4 x 4 pixels with all their channels, or columns.
    """
    data, shape = case.task.data, case.query.x.shape[1:]
    cell = cells(data, PATCH).to(case.query.x.device)
    n_cells = int(cell.max()) + 1
    n_hidden = max(1, round(BLIND_SHARE * n_cells))

    # All samples share the draws of sample 0.
    sample = torch.zeros(1, dtype=torch.long)
    keys = uniform("blind", case.task.seed, sample, n_cells)[0]
    place = keys.argsort().argsort()
    is_hidden = (place < n_hidden).to(cell.device)

    by_position = is_hidden[cell]
    if len(shape) != 3:
        return at_positions(by_position[None], units(data))[0]
    by_pixel = by_position.view(1, *shape[1:])
    return by_pixel.expand(shape).clone()
