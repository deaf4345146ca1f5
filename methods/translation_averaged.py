"""Translation-averaged: the mean of another explainer's maps of shifted images.

The translation trick of Montavon, Samek, Mueller 2018 (montavon2018methods), against noise from
strides and pooling; shifts in {-reach ... reach} on both axes are ours. What comes into the image
is the baseline; what left it has no relevance for that shift. Explainers that draw random numbers
draw the same ones for every shift, so that their noise stays.
"""

from itertools import product

import torch
from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import Attribution, Need, Query, Task, settings


@settings
class TranslationAveraged(Wrapper):
    """Mean of another explainer's attributions over small shifts."""

    reference = "montavon2018methods"
    asks = frozenset({Need.IMAGE})
    asks_again = True
    cost = "(2 reach / step + 1)^2 times that of the other explainer (default: 25)"

    reach: int = 4  # largest shift in pixels
    step: int = 2  # pixels between shifts; must divide reach

    def __post_init__(self) -> None:
        """Refuse shifts that do not include none."""
        super().__post_init__()
        if self.reach < 0 or self.step < 1 or self.reach % self.step:
            raise ValueError(
                f"step must be at least 1 and divide reach, got step {self.step} and "
                f"reach {self.reach}."
            )

    def change(self, values: Tensor) -> Tensor:
        """Return the map of one shift; it is not changed."""
        return values

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean over the shifts."""
        side = min(query.x.shape[2:])
        if self.reach >= side:
            raise ValueError(
                f"reach must be smaller than the {side} pixels of an image's side, "
                f"got {self.reach}."
            )
        baseline = task.data.baseline.to(query.x)
        shifts = range(-self.reach, self.reach + 1, self.step)

        total = torch.zeros_like(query.x)
        nothing = torch.zeros_like(total[0])
        for down, right in product(shifts, shifts):
            x = shifted(query.x, down, right, baseline)
            moved = Query(x=x, target=query.target, sample=query.sample)
            values = self.inner(task, moved).values
            total += shifted(values, -down, -right, nothing)
        return Attribution(values=total / len(shifts) ** 2)


def shifted(x: Tensor, down: int, right: int, fill: Tensor) -> Tensor:
    """Return images moved down and right; what comes in from outside is `fill`."""
    height, width = x.shape[2:]
    from_rows, to_rows = _overlap(height, down)
    from_columns, to_columns = _overlap(width, right)
    result = fill.expand_as(x).clone()
    result[:, :, to_rows, to_columns] = x[:, :, from_rows, from_columns]
    return result


def _overlap(side: int, shift: int) -> tuple[slice, slice]:
    """Return which pixels of a side stay inside when they are shifted, before and after."""
    before = slice(max(0, -shift), side + min(0, -shift))
    after = slice(max(0, shift), side + min(0, shift))
    return before, after
