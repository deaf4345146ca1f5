"""Tables with groups of columns, as regressions on units see them: a number for each category.

A category is a combination of values that the columns of a group have in some row.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.masking.units import unit_of_column
from gpex_bench.types import Dataset, value
from gpex_bench.types.demands import training


@value
class Categories:
    """The categories of the groups of a table, and which unit each group is."""

    groups: tuple[tuple[int, ...], ...]
    unit: Tensor  # of each column
    found: tuple[Tensor, ...]  # the categories of each group, [category, column]

    @property
    def places(self) -> list[int]:
        """Return the unit of each group."""
        return [int(self.unit[group[0]]) for group in self.groups]

    @property
    def is_category(self) -> Bool[Tensor, "unit"]:
        """Return which units are groups."""
        n_units = int(self.unit.max()) + 1
        return torch.isin(torch.arange(n_units), torch.tensor(self.places, dtype=torch.int64))

    def numbered(self, x: Float[Tensor, "row column"]) -> Float[Tensor, "row unit"]:
        """Return rows with a column for each unit: of groups the number of their category."""
        n_units = int(self.unit.max()) + 1
        rows = x.new_zeros(len(x), n_units)
        rows[:, self.unit.to(x.device)] = x
        for place, group, found in zip(self.places, self.groups, self.found, strict=True):
            own = x[:, None, list(group)]
            is_same = (own == found.to(x)).all(2)
            number = is_same.int().argmax(1)
            rows[:, place] = number.to(x)
        return rows

    def columns(self, rows: Float[Tensor, "row unit"]) -> Float[Tensor, "row column"]:
        """Return rows as the network takes them; the inverse of `numbered`."""
        x = rows[:, self.unit.to(rows.device)]
        for place, group, found in zip(self.places, self.groups, self.found, strict=True):
            x[:, list(group)] = found.to(x)[rows[:, place].long()]
        return x


def categories(data: Dataset, x: Float[Tensor, "batch column"]) -> Categories:
    """Return the categories that the training samples, the baseline and some rows have.

    Raises:
        Refused: there are no training samples.
    """
    train = training(data, "regressions on tables measure steps of a column by its spread").x
    every = torch.cat([train.to(x), data.baseline[None].to(x), x])
    return Categories(
        groups=data.groups,
        unit=unit_of_column(data.groups, x.shape[1]),
        found=tuple(every[:, list(group)].unique(dim=0) for group in data.groups),
    )
