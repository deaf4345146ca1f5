"""Faithfulness estimate: do parts with more relevance matter more, each removed alone?

Source: alvarez2018towards. Pearson's correlation, over consecutive chunks of the descending order,
between the summed attribution of a chunk and the fall of the target's logit when that chunk alone
becomes the baseline. The chunks (12, each a twelfth of the pixels, or single columns of a small
table) are Quantus' convention; the paper removes single features. Chunks may differ by one
position, so that relevance and fall are taken per position. With probabilities in place of
logits even an exact map of a linear network falls short of 1.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.answers import OUTPUTS
from gpex_bench.measurements.chunks import Chunks
from gpex_bench.measurements.similarity import pearson
from gpex_bench.types import Case, Metric, settings


@settings
class FaithfulnessEstimate(Metric):
    """Correlation between the relevance of chunks and the fall of the logit without each.

    0 for a constant map.

    Attributes:
        n_chunks: chunks per sample, each one forward row.
    """

    title = "faithfulness estimate"
    reference = "alvarez2018towards"
    measures = "faithfulness"
    higher_is_better = True
    range = (-1.0, 1.0)
    chance = 0.0
    cost = "`n_chunks` + 1 forward rows per sample"

    n_chunks: int = 12

    def measurements(self) -> tuple[Chunks]:
        """Return the removals of single chunks."""
        return (Chunks(n_chunks=self.n_chunks),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the setting

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        removed = case.read(self.measurements()[0])
        logit = OUTPUTS.index("logit")
        drop = removed.intact[logit][:, None] - removed.without[logit, :, :, 0]
        return pearson(removed.worth, drop / removed.size)
