"""Guided backpropagation: the logit's gradient, with negative ones cut at every ReLU.

Springenberg, Dosovitskiy, Brox, Riedmiller 2015 (springenberg2015striving). A ReLU is one however
it is written (module, function, method, clamp), clipped from above or not; everything else keeps
its exact gradient. Networks without a ReLU, and those with another activation in its place, are
refused; a sigmoid that multiplies a signal is a gate and may stay.
"""

from gpex_bench.families.gradients import guided_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class GuidedBackprop(Explainer):
    """Gradient of the logit along paths whose gradients are positive at every ReLU."""

    reference = "springenberg2015striving"
    kind = "gradient"
    relative_to = "nothing"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    axioms = frozenset({Axiom.DUMMY})
    cost = "one forward and one backward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the guided gradient."""
        return Attribution(values=guided_gradient(task.model, query.x, query.target))
