"""DeepLift: differences of activations from those of the baseline, propagated to the input.

Shrikumar, Greenside, Kundaje 2017 (shrikumar2017learning), with the rescale rule for activations;
the baseline is the dataset's. Maxima, products of signals, quotients and softmax have rules that
account for their whole change (`gpex_bench/families/rescale.py`), so that the values sum to
f(x) - f(baseline); `residual` is what is missing, which is rounding. A network with anything else
that is not affine, such as a layer norm or an LSTM, is refused.
"""

from gpex_bench.families.rescale import DeepLift as Rules
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings


@settings
class DeepLift(Explainer):
    """Differences from the baseline, propagated by the rescale rule."""

    reference = "shrikumar2017learning"
    kind = "propagation"
    relative_to = "baseline"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    offers = frozenset({Need.RESIDUAL})
    axioms = frozenset({Axiom.COMPLETENESS, Axiom.DUMMY})
    cost = "two forward rows per sample, one of the baseline, and one backward row"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the contributions of the differences."""
        baseline = task.data.baseline.to(query.x).expand_as(query.x)
        rules = Rules(task.model, query.x)
        values, change = rules(query.x, baseline, query.target)
        total = values.flatten(1).sum(1)
        return Attribution(values=values, residual=change - total)
