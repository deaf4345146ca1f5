"""Random logit test: does the map change with the explained class? (sixt2020explanations).

Spearman's correlation between the maps for the target and for another class, over whole pixels; the
paper takes SSIM (a deviation: ranks do not depend on windows and constants). The other class is the
target plus a step that the seed of the cell draws, the same for all samples. Maps keep their sign
unless `absolute`. A map that does not look at the class scores 1, and so does a map that is
constant for both (0 if constant for one). With two classes the logits are nearly opposite and so
should the maps be: compare methods, not numbers.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import OtherTarget
from gpex_bench.measurements.similarity import likeness
from gpex_bench.types import Case, Metric, Need, settings


@settings
class RandomLogit(Metric):
    """Rank correlation with the map for another class.

    Attributes:
        absolute: compare the sizes of the relevances.
    """

    title = "random logit test"
    reference = "sixt2020explanations"
    measures = "randomisation"
    higher_is_better = False
    range = (-1.0, 1.0)
    chance = 1.0  # a random map that does not look at the class stays the same
    needs = frozenset({Need.OUTPUTS})
    cost = "1 explanation, shared with `linearity_error`"

    absolute: bool = False

    def measurements(self) -> tuple[OtherTarget]:
        """Return the maps for the other class."""
        return (OtherTarget(),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        other = case.read(self.measurements()[0]).values
        return likeness(relevance(case), of_draws(case, other), self.absolute)
