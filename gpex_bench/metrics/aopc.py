"""Area over the perturbation curve: how far the output falls, on average, along a removal.

AOPC = mean over k = 0 ... L of f(x) - f(x_k), where x_k lacks the k most relevant units
(samek2017evaluating). The units are patches of 4 x 4 pixels ordered by their summed relevance (9 x
9 on large images in the paper); `position` takes pixels. Deviations: f is the target's probability,
removal goes on until nothing is left (the paper stops after 100 patches, 16 % of the image), and
what is removed becomes the dataset's baseline (uniform noise there). Quantus gives the list of
differences and declares that lower is better; with most relevant first, higher is. Patches go in 14
steps of three or four (28 or more patches).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.curves import ScaledCurveMetric, Unit
from gpex_bench.types import Removal, settings


@settings
class AOPC(ScaledCurveMetric):
    """Mean fall of the probability while the most relevant patches are replaced first.

    Attributes:
        unit: what goes at once: `position`, `patch` or `segment`.
    """

    title = "area over the perturbation curve"
    reference = "samek2017evaluating"
    measures = "faithfulness"
    higher_is_better = True
    of_probability = (-1.0, 1.0)
    chance = None
    cost = (
        "none of its own, reads the removal curve of its unit (28 forward rows for patches, 56"
        " for pixels)"
    )

    unit: Unit = "patch"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the mean fall of each sample."""
        curve = removal.most_first.double()
        return (curve[:, :1] - curve).mean(1)
