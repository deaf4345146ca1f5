"""Translation-averaged: the mean of another explainer's maps of shifted copies of the image, each shifted back.

The translation trick of Montavon, Samek, Mueller 2018 (montavon2018methods), against noise from
strides and pooling; shifts in {-reach ... reach} on both axes are ours. What comes into the image
is the baseline; what left it has no relevance for that shift. Explainers that draw at random draw
alike for every shift, so that their noise stays.
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
    cost = "(2 reach / step + 1)^2 times that of the other explainer (default: 25)"

    reach: int = 4  # largest shift in pixels
    step: int = 2  # pixels between shifts; must divide reach

    def __post_init__(self) -> None:
        """Refuse shifts that do not include none."""
        super().__post_init__()
        if self.reach < 0 or self.step < 1 or self.reach % self.step:
            raise ValueError(
                f"step must be at least 1 and divide reach, got step {self.step} and reach {self.reach}."
            )

    def change(self, values: Tensor) -> Tensor:
        """Return the map of one shift; it is not changed."""
        return values

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean over the shifts."""
        if self.reach >= min(query.x.shape[2:]):
            side = min(query.x.shape[2:])
            raise ValueError(
                f"reach must be smaller than the {side} pixels of an image's side, got {self.reach}."
            )
        shifts = range(-self.reach, self.reach + 1, self.step)
        total = torch.zeros_like(query.x)
        for down, right in product(shifts, shifts):
            x = shifted(query.x, down, right, task.data.baseline.to(query.x))
            there = self.inner(task, Query(x=x, target=query.target, sample=query.sample)).values
            total += shifted(there, -down, -right, torch.zeros_like(total[0]))
        return Attribution(values=total / len(shifts) ** 2)


def shifted(x: Tensor, down: int, right: int, fill: Tensor) -> Tensor:
    """Return images moved down and right; what comes in from outside is `fill`."""
    height, width = x.shape[2:]
    result = fill.expand_as(x).clone()
    rows, columns = (
        slice(max(0, down), height + min(0, down)),
        slice(max(0, right), width + min(0, right)),
    )
    result[:, :, rows, columns] = x[
        :, :, max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)
    ]
    return result
