"""Explains networks of which it is known how their maps must relate to those of the given network."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from gpex_bench.measurements.maps import explained_again
from gpex_bench.measurements.randomised import OtherMaps, OtherTarget
from gpex_bench.measurements.subsets import cells
from gpex_bench.models.altered.for_axioms import Blind, Mirrored, Rewritten, mirrored, summed
from gpex_bench.types import Case, Measurement, settings
from gpex_bench.types.draws import uniform

How = Literal["rewritten", "blind", "mirrored", "summed"]
BLIND_SHARE = 0.25  # of the cells that the blind network does not look at
PATCH = 4  # side of a cell of an image, pixels


@settings
class Altered(Measurement):
    """Maps of one altered network; costs one more explanation (two copies of the network run in `mirrored`).

    Attributes:
        how: `rewritten` has other layers and the same outputs; `blind` does not look at some positions; `mirrored` is
            symmetric, and so are its input and its baseline; `summed` adds the output of the other class of
            `OtherTarget` to that of each class.
    """

    how: How
    re_explains = True
    changes_network = True

    def measure(self, case: Case) -> OtherMaps:
        """Return the maps; raises ValueError for another kind of explanation."""
        model, data, x = case.task.model, case.task.data, case.query.x
        if self.how == "rewritten":
            found = explained_again(case, model=Rewritten(model, x).eval())
        elif self.how == "blind":
            found = explained_again(case, model=Blind(model, ~unseen(case)).eval())
        elif self.how == "summed":
            found = explained_again(case, model=summed(model, OtherTarget.step(case)))
        else:
            symmetric = dataclasses.replace(
                data, baseline=(data.baseline + mirrored(data.baseline)) / 2
            )
            found = explained_again(
                case, x=(x + mirrored(x)) / 2, model=Mirrored(model).eval(), data=symmetric
            )
        return OtherMaps(values=found[:, None])


def unseen(case: Case) -> Bool[Tensor, "*feature"]:
    """Return what the blind network does not look at: a quarter of the cells, at least one, drawn by the cell's seed.

    The same for all samples; cells are squares of 4 x 4 pixels with all their channels, or columns.
    """
    shape = case.query.x.shape[1:]
    cell = cells(shape, PATCH).to(case.query.x.device)
    n_cells = int(cell.max()) + 1
    keys = uniform("blind", case.task.seed, torch.zeros(1, dtype=torch.long), n_cells)[0]
    hidden = (keys.argsort().argsort() < max(1, round(BLIND_SHARE * n_cells))).to(cell.device)
    by_position = hidden[cell]
    return (
        by_position.view(1, *shape[1:]).expand(shape).clone()
        if len(shape) == 3
        else by_position.view(shape)
    )
