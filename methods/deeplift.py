"""DeepLift: differences of activations from those of the baseline, propagated to the input.

Shrikumar, Greenside, Kundaje 2017 (shrikumar2017learning), with the rescale rule for activations;
the baseline is the dataset's, or another reference (`relative_to`). Maxima, products of signals,
quotients and softmax have rules that account for their whole change
(`gpex_bench/families/rescale.py`), so that the values sum to f(x) - f(baseline); `residual` is what
is missing, which is rounding. A network with anything else that is not affine, such as a layer norm
or an LSTM, is refused.
"""

from gpex_bench.families.rescale import DeepLift as Rules
from gpex_bench.masking.fills import REFERENCES, Reference, make_fill
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, demands, settings


@settings
class DeepLift(Explainer):
    """Differences from the baseline, propagated by the rescale rule."""

    reference = "shrikumar2017learning"
    kind = "propagation"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    offers = frozenset({Need.RESIDUAL})
    cost = "two forward rows per sample, one of the baseline, and one backward row"

    relative_to: Reference = "baseline"

    def __post_init__(self) -> None:
        """Refuse other references."""
        demands.one_of(self, relative_to=REFERENCES)

    @property
    def axioms(self) -> frozenset[Axiom]:  # type: ignore[override]
        """Completeness, for the change of the logit from the dataset's baseline."""
        is_from_baseline = self.relative_to == "baseline"
        return frozenset({Axiom.DUMMY, *([Axiom.COMPLETENESS] if is_from_baseline else [])})

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the contributions of the differences."""
        baseline = make_fill(self.relative_to, task.data, query)
        rules = Rules(task.model, query.x)
        values, change = rules(query.x, baseline, query.target)
        total = values.flatten(1).sum(1)
        return Attribution(values=values, residual=change - total)
