"""Guided Grad-CAM: guided backpropagation times Grad-CAM, fine detail where the class is.

Selvaraju et al. 2017 (selvaraju2017grad): the product of the guided gradient
(springenberg2015striving) and the enlarged Grad-CAM map; methods/guided_backprop.py explains for
which networks, and where the gradient is cut.
"""

from gpex_bench.families.cam import class_activation
from gpex_bench.families.gradients import guided_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class GuidedGradCam(Explainer):
    """Guided gradient times Grad-CAM."""

    reference = "selvaraju2017grad"
    kind = "gradient"
    relative_to = "nothing"
    needs = frozenset({Need.GRADIENT, Need.MODULES, Need.IMAGE})
    axioms = frozenset({Axiom.DUMMY})
    cost = "two forward and two backward rows per sample"

    layer: str = ""  # name of the module whose maps are used; empty: the trunk's output

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the product for each image."""
        found = class_activation(task.model, query.x, query.target, self.layer)
        gradient = guided_gradient(task.model, query.x, query.target)
        return Attribution(values=gradient * found)
