"""Remove and debias: is the network still right when the most relevant pixels are painted over?

Source: rong2022consistent. Accuracy over the inputs x_p that lack the most relevant p = 10, 20, ...
90 % of the pixels, averaged over p; a pixel that is gone is the weighted mean of its eight
neighbours plus noise (`masking/inpainting.py`), which tells the network less about where it was
than a constant does. Per sample it is the share of p at which the network still names the target,
which is the predicted class (the label in the paper).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.types import Need, Removal, settings


@settings
class ROAD(CurveMetric):
    """Accuracy while the most relevant pixels are painted over first."""

    title = "remove and debias"
    reference = "rong2022consistent"
    measures = "faithfulness"
    higher_is_better = False
    range = (0.0, 1.0)
    chance = None
    needs = frozenset({Need.IMAGE, Need.PROBABILITY})
    fill = "inpaint"
    n_steps = 10
    output = "correct"
    cost = (
        "none of its own, reads the in-painted removal curve of ten steps (20 forward rows, "
        "and 18 banded linear systems)"
    )

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the mean over the inner points of each sample."""
        return removal.most_first[:, 1:-1].double().mean(1)
