"""Monotonicity of Arya et al.: does the output never fall while features are added in order?

Source: arya2019one. Start from the baseline and add features in ascending order of relevance; the
share of the steps at which the target's probability does not fall (`every`: 1 if none does, else 0,
as defined and as in AIX360). Read from the removal curve of the most relevant first, backwards:
both pass through the same inputs. A step adds 1/28 of the pixels (single features there). Quantus
adds baseline values to a baseline and gives 1 to every map.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.curves import ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class MonotonicityArya(ScaledCurveMetric):
    """Share of the steps at which adding more relevant positions does not lower the probability.

    Attributes:
        every: score 1 if no step lowers it, else 0.
    """

    title = "monotonicity of Arya et al."
    reference = "arya2019one"
    measures = "faithfulness"
    higher_is_better = True
    of_probability = (0.0, 1.0)
    of_logit = (0.0, 1.0)
    chance = None
    caveat = (
        "On a linear network each feature moves the logit by the same amount whenever it is added, "
        "so that no order of single features beats another."
    )
    cost = "none of its own, reads the removal curve of pixels"

    every: bool = False

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        kept = removal.most_first.diff(dim=1) <= 0
        return kept.all(1).double() if self.every else kept.double().mean(1)
