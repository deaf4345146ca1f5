"""DeepLift: differences of activations from those of the baseline, propagated to the input.

Shrikumar, Greenside, Kundaje 2017 (shrikumar2017learning), with the rescale rule, as captum
computes it (kokhlikyan2020captum), on a copy of the network; the baseline is the dataset's. Captum
knows non-linear modules (activations, max pooling), each used once, and takes everything else as
linear, which products of signals are not: such networks do not offer modules. The values sum to
f(x) - f(baseline), except through max pooling, where captum's rule loses or adds some (shown in the
tests), so that no completeness is claimed; `residual` is what is missing.
"""

from gpex_bench.families.gradients import hooked
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class DeepLift(Explainer):
    """Differences from the baseline, propagated by the rescale rule."""

    reference = "shrikumar2017learning"
    kind = "propagation"
    relative_to = "baseline"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    offers = frozenset({Need.RESIDUAL})
    axioms = frozenset({Axiom.DUMMY})
    cost = "two forward and two backward rows per sample; half are the baseline"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the contributions of the differences."""
        from captum.attr import DeepLift as Captum

        baseline = task.data.baseline.to(query.x).expand_as(query.x)
        with hooked(task.model) as (network, outputs):
            values = (
                Captum(network)
                .attribute(query.x.clone().requires_grad_(), baseline, target=query.target)
                .detach()
            )
        above, below = outputs[0].chunk(2)
        change = (above - below).gather(1, query.target[:, None])[:, 0]
        return Attribution(values=values, residual=change - values.flatten(1).sum(1))
