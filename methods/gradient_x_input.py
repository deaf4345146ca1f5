"""Gradient x input: (x_i - b_i) df/dx_i of the target's logit, b being the dataset's baseline.

The first-order Taylor term from x towards the baseline. Shrikumar, Greenside, Shcherbina, Kundaje
2016 (shrikumar2016not) multiply by x_i, which is `relative_to: zero`: zero in the units of the
data. For a bias-free ReLU network that sums to the logit exactly, but where zero is no absence (the
background of an image is grey, a column is not standardised) it rates the background. So the
default is the input that shows nothing, as for integrated gradients.
"""

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.masking.fills import REFERENCES, Reference, make_fill
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, demands, settings


@settings
class GradientXInput(Explainer):
    """Gradient of the logit times the input's difference from the baseline."""

    reference = "shrikumar2016not"
    kind = "gradient"
    needs = frozenset({Need.GRADIENT})
    axioms = frozenset({Axiom.DUMMY})
    cost = "one forward and one backward row per sample"

    relative_to: Reference = "baseline"

    def __post_init__(self) -> None:
        """Refuse other references."""
        demands.one_of(self, relative_to=REFERENCES)

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the partial derivatives times the difference."""
        difference = query.x - make_fill(self.relative_to, task.data, query)
        return Attribution(values=logit_gradient(task.model, query.x, query.target) * difference)
