"""Input itself: how far each entry is from the baseline, a control that ignores the network.

Maps that multiply by the input show the input, whatever the network does: Adebayo et al. 2018
(adebayo2018sanity).
"""

from gpex_bench.types import Attribution, Explainer, Query, Role, Task, settings


@settings
class InputItself(Explainer):
    """Input minus baseline."""

    reference = "adebayo2018sanity"
    kind = "control"
    relative_to = "baseline"
    role = Role.INPUT
    cost = "none"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the differences."""
        return Attribution(values=query.x - task.data.baseline.to(query.x))
