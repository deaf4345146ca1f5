"""Saliency: the size of the gradient of the target's logit, |df/dx_i|.

Simonyan, Vedaldi, Zisserman 2014 (simonyan2014deep). They show the maximum over the channels;
values are kept per input entry here.
"""

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class Saliency(Explainer):
    """Absolute gradient of the logit; never negative."""

    reference = "simonyan2014deep"
    kind = "gradient"
    relative_to = "nothing"
    needs = frozenset({Need.GRADIENT})
    axioms = frozenset({Axiom.DUMMY})
    cost = "one forward and one backward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the size of the partial derivatives at the input."""
        return Attribution(values=logit_gradient(task.model, query.x, query.target).abs())
