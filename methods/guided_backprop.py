"""Guided backpropagation: the logit's gradient, with negative ones cut at every ReLU.

Springenberg, Dosovitskiy, Brox, Riedmiller 2015 (springenberg2015striving), as captum computes it
(kokhlikyan2020captum), on a copy of the network. It cuts at modules of type ReLU; other
activations, and calls of functional.relu, keep their gradient, so that a network without ReLU
modules gets the plain gradient.
"""

from gpex_bench.families.gradients import hooked
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
        from captum.attr import GuidedBackprop as Captum

        with hooked(task.model) as (network, _):
            values = Captum(network).attribute(
                query.x.clone().requires_grad_(), target=query.target
            )
        return Attribution(values=values.detach())
