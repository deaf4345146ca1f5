"""Constant: the same relevance everywhere, the control without any ranking.

It shows the score of a map without information, in which all values are tied. Compare the random
map of Samek et al. 2017 (samek2017evaluating). It depends on the shape of the input only.
"""

import torch

from gpex_bench.masking.units import units
from gpex_bench.types import Attribution, Explainer, Query, Role, Task, settings


@settings
class Constant(Explainer):
    """One everywhere; columns of a group share one."""

    reference = "samek2017evaluating"
    kind = "control"
    relative_to = "nothing"
    role = Role.CONSTANT
    cost = "none"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return ones."""
        unit = units(task.data)
        if unit is None:
            return Attribution(values=torch.ones_like(query.x))

        # Columns that belong together share the relevance of one.
        size = torch.bincount(unit)[unit].to(query.x)
        return Attribution(values=(1 / size).expand_as(query.x).clone())
