"""The mean of one number per sample: its 95 % interval and its p values, from one procedure.

Student's t and Hall's transformed t (hall1992removal), which removes the effect of skewness. A
one-sided p value is the larger of the two, so that an interval is the hull of both. The degrees of
freedom allow for heavy tails: 2 n / (kurtosis - 1), as many as the variance of normal samples with
that precision has (satterthwaite1946approximate), and n - 1 at most. docs/statistics.md has the
coverage of this and of other procedures on real scores.

Every p value is that of an interval's end: a mean is significant at 5 % where its interval leaves 0
out, and within a margin at 5 % where its interval is. No p value is below 2^(1 - n): with fewer
than six samples nothing is significant, and there is no interval.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from gpex_bench.tables.columns import CONFIDENCE, LEVEL
from gpex_bench.types import value

# With fewer, not even samples that all agree have a p value below the level.
FEWEST = int(np.ceil(np.log2(2 / LEVEL)))


Rows = Float[np.ndarray, "row sample"]
Numbers = Float[np.ndarray, "row"]


@value
class Means:
    """Means of rows of samples, and what their distribution is like."""

    mean: Numbers
    error: Numbers  # standard errors
    lean: Numbers  # skewness of the samples over the root of their number
    degrees: Numbers  # of freedom
    n: Numbers
    n_moved: Numbers  # samples that are not 0
    # How far the share of samples that none was seen of can move the mean; mostly 0.
    unseen: Numbers

    @property
    def interval(self) -> tuple[Numbers, Numbers]:
        """The ends of the 95 % intervals; NaN with fewer than `FEWEST` samples."""
        quantile = stats.t.ppf((1 + CONFIDENCE) / 2, self.degrees)

        # The hull of Student's interval and Hall's, in standard errors.
        hall_high = unbend(quantile, self.lean)
        hall_low = unbend(-quantile, self.lean)
        farthest = np.maximum(quantile, hall_high)
        nearest = np.minimum(-quantile, hall_low)

        low = self.mean - self.error * farthest - self.unseen
        high = self.mean - self.error * nearest + self.unseen
        is_known = self.n >= FEWEST
        return np.where(is_known, low, np.nan), np.where(is_known, high, np.nan)

    @property
    def test(self) -> tuple[Numbers, Numbers, Numbers]:
        """The ends of the intervals, and two-sided p values of "the mean is 0".

        Of samples that are 0, all but a few, no sign can be told: the interval then holds 0.
        """
        above, _ = self.tails(self.unseen)
        _, below = self.tails(-self.unseen)
        smallest = 0.5 ** (self.n_moved - 1)
        p_value = np.maximum(2 * np.minimum(above, below), smallest)

        low, high = self.interval
        is_open = smallest >= LEVEL
        low = np.where(is_open, np.minimum(low, 0.0), low)
        high = np.where(is_open, np.maximum(high, 0.0), high)
        return low, high, np.minimum(p_value, 1.0)

    def within(self, margin: Numbers) -> Numbers:
        """Return p values of "the mean is not within the margin".

        Two one-sided tests (schuirmann1987comparison), each at half the level, so that a mean that
        is within the margin at 5 % has its 95 % interval within it.
        """
        return np.maximum(*self.beyond(margin))

    def beyond(self, margin: Numbers) -> tuple[Numbers, Numbers]:
        """Return p values of "the mean is minus the margin or less", and of "the margin or more".

        Twice one-sided ones: at 5 %, the 95 % interval of the mean leaves that out.
        """
        above, _ = self.tails(-(margin - self.unseen))
        _, below = self.tails(margin - self.unseen)
        smallest = 0.5 ** (self.n - 1)
        return np.clip(2 * above, smallest, 1.0), np.clip(2 * below, smallest, 1.0)

    def tails(self, at: Numbers | float) -> tuple[Numbers, Numbers]:
        """Return one-sided p values of "the mean is at most this", and of "it is at least this"."""
        gap = self.mean - at
        is_exact = self.error == 0
        plain = gap / np.where(is_exact, 1.0, self.error)
        bent = bend(plain, self.lean)

        above = stats.t.sf(np.minimum(plain, bent), self.degrees)
        below = stats.t.cdf(np.maximum(plain, bent), self.degrees)
        return (
            np.where(is_exact, (gap <= 0).astype(float), above),
            np.where(is_exact, (gap >= 0).astype(float), below),
        )


def bend(t: Numbers, lean: Numbers) -> Numbers:
    """Return Hall's transformation of t values: t + l t² / 3 + l² t³ / 27 + l / 6.

    It never falls as t rises.
    """
    return t + lean * t**2 / 3 + lean**2 * t**3 / 27 + lean / 6


def unbend(bent: Numbers, lean: Numbers) -> Numbers:
    """Return the t values that `bend` turns into these."""
    is_straight = np.abs(lean) < 1e-9
    slope = np.where(is_straight, 1e-9, lean)
    cube = 1 + slope * (bent - slope / 6)
    return np.where(is_straight, bent, 3 / slope * (np.cbrt(cube) - 1))


def means(rows: Rows, width: float = np.inf) -> Means:
    """Return the means of rows of samples; NaN where a sample has no number.

    Args:
        rows: one row for each mean.
        width: how far two of its samples can be apart at most.
    """
    # Sums of one row run along its memory, so that no other row changes a bit.
    rows = np.ascontiguousarray(rows, dtype=float)
    known = np.isfinite(rows)
    n = known.sum(-1).astype(float)
    some = np.maximum(n, 1)

    mean = np.where(known, rows, 0.0).sum(-1) / some
    away = np.where(known, rows - mean[:, None], 0.0)
    is_equal = _all_equal(rows, known)
    away[is_equal] = 0.0

    squares = (away**2).sum(-1)
    has_spread = squares > 0
    variance = np.where(has_spread, squares / some, 1.0)
    skewness = (away**3).sum(-1) / some / variance**1.5
    kurtosis = (away**4).sum(-1) / some / variance**2

    degrees = 2 * n / np.maximum(kurtosis - 1, 1e-9)
    return Means(
        mean=np.where(n > 0, mean, np.nan),
        error=np.sqrt(squares / np.maximum(n - 1, 1) / some),
        lean=skewness / np.sqrt(some),
        degrees=np.clip(degrees, 1.0, np.maximum(n - 1, 1.0)),
        n=n,
        n_moved=(known & (rows != 0)).sum(-1).astype(float),
        unseen=_unseen(rows, known, width),
    )


def _all_equal(rows: Rows, known: Bool[np.ndarray, "row sample"]) -> Bool[np.ndarray, "row"]:
    """Return which rows hold one number only: their mean may be rounded."""
    low = np.where(known, rows, np.inf).min(-1, initial=np.inf)
    high = np.where(known, rows, -np.inf).max(-1, initial=-np.inf)
    return low >= high


def _unseen(rows: Rows, known: Bool[np.ndarray, "row sample"], width: float) -> Numbers:
    """Return how far samples of a kind that was not seen can move a mean.

    Where all samples are equal, their standard error is 0, and yet 3 % of others can be missing
    among 100. Their share is at most 1 - 0.025^(1/n) (clopper1934use), and each is off by no more
    than the width. 0 where samples differ, or where they can be apart without an end.
    """
    n = np.maximum(known.sum(-1), 1)
    share = 1 - ((1 - CONFIDENCE) / 2) ** (1 / n)
    can_be_missed = _all_equal(rows, known) & np.isfinite(width)
    return np.where(can_be_missed, share * (width if np.isfinite(width) else 0.0), 0.0)


def interval(values: Float[np.ndarray, "sample"]) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the mean of one number per sample."""
    low, high = means(values[None]).interval
    return float(low[0]), float(high[0])
