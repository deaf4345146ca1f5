"""Deep Taylor decomposition: Taylor expansions of all ReLU units, composed down to the input.

Montavon, Lapuschkin, Binder, Samek, Mueller 2017 (montavon2017explaining). Hidden layers and the
head: z+, the expansion within non-negative inputs. First layer: zB for inputs in a box, w2 for
inputs without bounds. Sums (of a residual network) and averages share by positive summands, which
is z+ for them, so that relevance keeps one sign (our reading; the paper has no residual networks).
Biases take nothing, so that the relevance sums to the logit; the paper asks for biases that are
never positive, which guarantees the roots.

What the paper does not have, so that one sign and the sum are kept (our reading): gates and the
weights of attention are constants and take nothing; other products give half to each factor; norms
by the sample's own statistics share by positive summands, their deviation a constant. A softmax
that is neither, and what `lrp` has no rule for, is refused.

`auto`: images are boxed by the range of the training data (per channel), tables are unbounded.
Start value: the logit; where it is negative, so is the map. `residual` is the logit minus the sum.
"""

from typing import Literal

from gpex_bench.families.lrp import rules
from gpex_bench.families.lrp.network import propagate
from gpex_bench.families.lrp.reading import Composite
from gpex_bench.types import Attribution, Explainer, Need, Query, Task, settings


@settings
class DeepTaylor(Explainer):
    """Deep Taylor decomposition; one sign per sample."""

    reference = "montavon2017explaining"
    kind = "propagation"
    relative_to = "root"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    offers = frozenset({Need.RESIDUAL})
    sum_tolerance = 1e-3
    cost = (
        "one forward and one backward row per sample are counted; the passes inside the rules "
        "are not"
    )

    domain: Literal["auto", "box", "unbounded", "positive"] = "auto"  # of the input

    def __post_init__(self) -> None:
        """Refuse unknown domains."""
        if self.domain not in ("auto", "box", "unbounded", "positive"):
            raise ValueError(
                f"domain must be auto, box, unbounded or positive, got {self.domain!r}."
            )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Decompose the target's logit."""
        z_plus = rules.signed(rules.alpha_beta(1.0), "ignored")
        domain = self._domain(task)
        first = {"positive": z_plus, "unbounded": rules.squared, "box": rules.box}
        composite = Composite(
            first=first[domain],
            lower=z_plus,
            dense=z_plus,
            sums=z_plus,
            norms=z_plus,
            statistics=z_plus,
            products=z_plus,
            softmax=None,
            bounds=rules.training_range(task.data) if domain == "box" else None,
        )
        values, residual = propagate(task.model, query.x, query.target, composite)
        return Attribution(values=values, residual=residual)

    def _domain(self, task: Task) -> str:
        """Return the domain of the input."""
        if self.domain != "auto":
            return self.domain
        return "box" if task.data.is_image else "unbounded"
