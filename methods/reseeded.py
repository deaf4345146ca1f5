"""Reseeded: another explainer's map when it draws other random numbers; all else is equal.

Perturbation explainers give another map each time (visani2022statistical measures how different).
Each draw is a run id of its own and is scored like every method, so that the study `variance` can
estimate how much of a score's variance is due to the explainer's seed. An explainer without random
numbers gives the same map.
"""

import dataclasses

from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import Attribution, Query, Task, settings


@settings
class Reseeded(Wrapper):
    """Another explainer's attribution under another seed."""

    reference = "visani2022statistical"
    keeps_sum = True
    asks_again = True
    cost = "that of the other explainer"

    draw: int = 1  # which other seed; the explainer by itself is draw 0

    def __post_init__(self) -> None:
        """Refuse the seed that the explainer has by itself."""
        super().__post_init__()
        if self.draw < 1:
            raise ValueError(
                f"draw must be at least 1 (0 is the explainer by itself), got {self.draw}."
            )

    def change(self, values: Tensor) -> Tensor:
        """Return the map as it is."""
        return values

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the map under a seed that depends on (seed, draw) alone."""
        return super().explain(dataclasses.replace(task, seed=task.seeded(self.draw)), query)
