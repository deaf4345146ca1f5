"""Gradient x input: x_i * df/dx_i of the target's logit.

The first-order Taylor term towards the root at zero; for a bias-free ReLU network it sums to the logit exactly.
Shrikumar, Greenside, Shcherbina, Kundaje 2016 (shrikumar2016not). Cost: one forward and one backward row per sample.
Zero means zero in the units of the data, whatever the baseline of the dataset is.
"""

import torch

from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class GradientXInput(Explainer):
    """Input times gradient of the logit."""

    reference = "shrikumar2016not"
    kind = "gradient"
    needs = frozenset({Need.GRADIENT})
    axioms = frozenset({Axiom.DUMMY})

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the partial derivatives times the input."""
        x = query.x.clone().requires_grad_()
        with torch.enable_grad():
            logit = task.model(x).gather(1, query.target[:, None]).sum()
            (gradient,) = torch.autograd.grad(logit, x)
        return Attribution(values=gradient * query.x)
