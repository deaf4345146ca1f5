"""Groups: columns of a table that are shown, absent and ranked together (`Dataset.groups`)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

Groups = Sequence[Sequence[int]]


def check_groups(groups: Groups, n_columns: int) -> None:
    """Raise ValueError unless groups are of at least 2 of the columns, each in one at most."""
    seen: set[int] = set()
    for group in groups:
        columns = set(group)
        is_known = all(0 <= column < n_columns for column in columns)
        if len(group) < 2 or len(columns) < len(group) or not is_known:
            raise ValueError(
                f"groups must be of at least 2 different columns from 0 to {n_columns - 1}, got "
                f"{tuple(group)}; a column in no group is a group of its own."
            )
        if seen & columns:
            raise ValueError(
                f"A column must be in one group at most, and columns {sorted(seen & columns)} are "
                "in several; join or correct the groups."
            )
        seen |= columns


def typical(x: Float[Tensor, "n *feature"], groups: Groups) -> Float[Tensor, "*feature"]:
    """Return the mean of each entry, and of groups of columns the most frequent values."""
    found = x.mean(0)
    for group in groups:
        columns = list(group)
        values, counts = x[:, columns].unique(dim=0, return_counts=True)
        found[columns] = values[counts.argmax()]
    return found
