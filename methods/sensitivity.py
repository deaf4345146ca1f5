"""Sensitivity analysis: the squared gradient of the target's logit, (df/dx_i)^2.

It shows what would change the score, not what contributes to it: the values sum to the squared
gradient norm. Montavon, Samek, Mueller 2018 (montavon2018methods), section on sensitivity analysis.
Values are kept per input entry; they are not summed over channels here.
"""

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class Sensitivity(Explainer):
    """Squared gradient of the logit; never negative."""

    reference = "montavon2018methods"
    kind = "gradient"
    relative_to = "nothing"
    needs = frozenset({Need.GRADIENT})
    axioms = frozenset({Axiom.DUMMY})
    cost = "one forward and one backward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the squared partial derivatives at the input."""
        return Attribution(values=logit_gradient(task.model, query.x, query.target).square())
