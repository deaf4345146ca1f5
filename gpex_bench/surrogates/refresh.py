"""How the statistics of the inducing points follow the kernel map while it is trained.

A step embeds a mini-batch of inducing points anew and lets the gradient pass through these rows. Two ways to join them
with the rest: `Stored` keeps every row and patches the sums, A - O'O + N'N (the paper's way; rows are stale by up to
a sweep); `Running` keeps no row but an exponentially weighted mean, which is fresher when there are many points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.surrogates.posterior import Statistics, added, statistics


class Refresh(ABC):
    """Statistics of all inducing points, some of whose rows are new."""

    @abstractmethod
    def refresh(
        self, index: Int[Tensor, "row"], u: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
    ) -> Statistics:
        """Return statistics through which the gradient reaches `u`; the values are kept for the next step.

        Indices must be unique.
        """


class Stored(Refresh):
    """Every row is stored, and the sums are patched by the rows that change."""

    def __init__(self, u: Float[Tensor, "n group dim"], v: Float[Tensor, "n group out"]) -> None:
        self._rows = u.detach().clone()
        self._sums = statistics(self._rows, v)

    def refresh(
        self, index: Int[Tensor, "row"], u: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
    ) -> Statistics:
        """Return A - O'O + N'N and its like; raise ValueError if an index is repeated."""
        if len(index.unique()) < len(index):
            raise ValueError("index must not repeat a row: its old value would be subtracted twice.")
        sums = added(added(self._sums, statistics(self._rows[index], v), -1.0), statistics(u, v))
        self._rows[index] = u.detach()
        self._sums = _detached(sums)
        return sums


class Running(Refresh):
    """An exponentially weighted mean over mini-batches, scaled to the number of inducing points."""

    def __init__(self, u: Float[Tensor, "n group dim"], v: Float[Tensor, "n group out"], window: int) -> None:
        """Start from the rows of all points; `window` is the memory in mini-batches, at least 1."""
        if window < 1:
            raise ValueError(f"window must be at least 1 mini-batch, got {window}.")
        self._share = 1 / window
        self._n = len(u)
        self._sums = statistics(u.detach(), v)

    def refresh(
        self, index: Int[Tensor, "row"], u: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
    ) -> Statistics:
        """Return (1 - 1/window) * kept + 1/window * n/row * the sums of the new rows."""
        kept = added(self._sums, self._sums, -self._share)
        sums = added(kept, statistics(u, v), self._share * self._n / len(index))
        self._sums = _detached(sums)
        return sums


def _detached(sums: Statistics) -> Statistics:
    """Return the same numbers without their history."""
    return Statistics(a=sums.a.detach(), b=sums.b.detach(), c=sums.c.detach(), count=sums.count.detach())
