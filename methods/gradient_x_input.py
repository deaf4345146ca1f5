"""Gradient x input: x_i * df/dx_i of the target's logit.

The first-order Taylor term towards the root at zero; for a bias-free ReLU network it sums to the
logit exactly. Shrikumar, Greenside, Shcherbina, Kundaje 2016 (shrikumar2016not). Zero means zero in
the units of the data, whatever the baseline of the dataset is.
"""

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class GradientXInput(Explainer):
    """Input times gradient of the logit."""

    reference = "shrikumar2016not"
    kind = "gradient"
    needs = frozenset({Need.GRADIENT})
    axioms = frozenset({Axiom.DUMMY})
    cost = "one forward and one backward row per sample"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the partial derivatives times the input."""
        return Attribution(values=logit_gradient(task.model, query.x, query.target) * query.x)
