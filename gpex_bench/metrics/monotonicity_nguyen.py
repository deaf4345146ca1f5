"""Monotonicity of Nguyen and Martinez: does more relevance, of either sign, mean more change?

Source: nguyen2020quantitative. Spearman's correlation, over chunks of the order of |a|, between the
summed |a| of a chunk and E[(f(x) - f(x'))^2] / f(x)^2, where x' has the chunk replaced at random
and f is the target's probability, of a number its value (the factor 1 / f(x)^2 does not move
ranks). A random replacement is the same part of another training sample (uniform noise in Quantus).
Chunks are equally large up to one position (single features in the paper), so that |a| and change
are taken per position. The defaults are cheap: a correlation over 8 chunks is coarse.
`config/sets/thorough.yaml` has settings to publish.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.answers import OUTPUTS
from gpex_bench.measurements.chunks import Chunks
from gpex_bench.measurements.similarity import pearson, ranks
from gpex_bench.types import Case, Kind, Metric, Need, settings


@settings
class MonotonicityNguyen(Metric):
    """Rank correlation between the relevance of chunks and the squared change without each.

    0 for a constant map.

    Attributes:
        n_chunks: chunks per sample.
        n_draws: random replacements of each chunk.
    """

    title = "monotonicity of Nguyen and Martinez"
    reference = "nguyen2020quantitative"
    measures = "faithfulness"
    higher_is_better = True
    range = (-1.0, 1.0)
    chance = 0.0
    needs = frozenset({Need.TRAINING})  # they stand in for chunks
    caveat = "It reads the size of the relevance: a map and its negation score the same."
    cost = "`n_chunks` x `n_draws` + 1 forward rows per sample"

    n_chunks: int = 8
    n_draws: int = 2

    def measurements(self) -> tuple[Chunks]:
        """Return the replacements of single chunks."""
        return (Chunks(n_chunks=self.n_chunks, by="magnitude", fill="noise", n_draws=self.n_draws),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        replaced = case.read(self.measurements()[0])
        is_number = case.task.data.kind is Kind.NUMBER
        row = OUTPUTS.index("logit" if is_number else "probability")
        change = replaced.without[row] - replaced.intact[row][:, None, None]
        by_position = change.square().mean(2) / replaced.size
        return pearson(ranks(replaced.worth), ranks(by_position))
