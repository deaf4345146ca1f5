"""Win rate: which share of random explanations of the same size does the explanation beat?

Source: basu2026ice (ICE). The explanation is the most relevant `share` of the positions, its rivals
are random choices of as many. It beats a rival if the target's probability is lower without its
positions than without the rival's, and once more if it is higher with its positions alone; ties
count one half. The score is the mean of both shares, so that chance is 0.5 for every network, fill
and size. ICE reports the second share (its sufficiency), over text and several ways to remove a
word, with 100 rivals; the rank among rivals does not depend on its normalisation. Deviations:
positions are pixels or columns, and what is gone becomes the `fill`. The default of 12 rivals is
cheap and gives a coarse score a sample; `config/sets/thorough.yaml` has settings to publish.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.answers import output
from gpex_bench.measurements.erased import ErasureMetric
from gpex_bench.measurements.rivals import Rivals
from gpex_bench.types import Case, settings


def share_beaten(values: Float[Tensor, "batch choice"]) -> Float[Tensor, "batch"]:
    """Return which share of the other numbers of each row the first one is above; ties are half."""
    own, others = values[:, :1], values[:, 1:]
    wins = (own > others).double() + 0.5 * (own == others).double()
    return wins.mean(1)


@settings
class WinRate(ErasureMetric):
    """Share of random explanations of the same size that the explanation beats.

    Attributes:
        n_rivals: random explanations.
        share: of the positions that an explanation consists of, in (0, 1).
    """

    title = "win rate against random explanations"
    reference = "basu2026ice"
    higher_is_better = True
    of_probability = (0.0, 1.0)
    of_logit = (0.0, 1.0)
    chance = 0.5
    cost = "2 x (`n_rivals` + 1) forward rows per sample"

    n_rivals: int = 12
    share: float = 0.2

    def measurements(self) -> tuple[Rivals]:
        """Return the outputs for the explanation and its rivals."""
        return (Rivals(n_rivals=self.n_rivals, share=self.share, fill=self.fill),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        contest = case.read(self.measurements()[0])
        removed = share_beaten(-output(contest.without, self.output))
        kept = share_beaten(output(contest.alone, self.output))
        return (removed + kept) / 2
