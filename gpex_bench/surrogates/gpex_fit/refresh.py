"""How the statistics of the inducing points follow the feature map while it is trained.

A step embeds a mini-batch of inducing points again and lets the gradient pass through these rows.
A policy decides what they are joined with:

    Running   an exponentially weighted mean of the mini-batches; no row is kept
    Stored    every row is kept, and the sums are patched, A - O'O + N'N: the paper's way; rows are
              up to a sweep old
    Batch     nothing but the mini-batch

For all three the statistics of a step are

    rest + sum_m weight_m (n_m n_m', n_m t_m, t_m^2, 1)

over the new rows n_m and their targets t_m, and `step` takes the two parts. No step costs anything
that grows with the number of inducing points. Mini-batches are visited in order (`drawn`): shuffle
the samples once, before the fit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gpex_bench.surrogates.gp.posterior import Statistics, added
from gpex_bench.surrogates.gp.row_store import RowStore

NAMES = ("a", "b", "c", "count")


class Refresh(ABC):
    """Statistics of `n` inducing points, some of whose rows are new."""

    def __init__(self, sums: Statistics) -> None:
        """Start from the statistics of all points."""
        self.sums = sums
        self.n = round(sums.count.item())
        self._next = 0

    def drawn(self, n_rows: int) -> Int[Tensor, "row"]:
        """Return the next `n_rows` points in order and cyclically; all points if there are fewer.

        They are made where the sums are, so that taking samples by them does not wait.
        """
        n_rows = min(n_rows, self.n)
        steps = torch.arange(n_rows, device=self.sums.a.device)
        index = (self._next + steps) % self.n
        self._next = (self._next + n_rows) % self.n
        return index

    @abstractmethod
    def rest(
        self, index: Int[Tensor, "row"], targets: Float[Tensor, "row group out"]
    ) -> tuple[Statistics, Float64[Tensor, "row"]]:
        """Return the statistics of all but these points, and the weight of each new row.

        No autograd history is built. Only where rows are stored does this wait for the device.
        """

    def rounded(self, u: Float[Tensor, "row group dim"]) -> Float[Tensor, "row group dim"]:
        """Return the new rows as they are kept: rounded, if a policy stores them."""
        return u

    def keep(
        self, index: Int[Tensor, "row"], rows: Float[Tensor, "row group dim"], sums: Statistics
    ) -> None:
        """Take the (rounded) new rows and the statistics with them, for the next step."""
        self.sums = sums

    def refresh(
        self,
        index: Int[Tensor, "row"],
        u: Float[Tensor, "row group dim"],
        targets: Float[Tensor, "row group out"],
    ) -> Statistics:
        """Join new rows and keep the result: the step without a loss.

        The gradient of the returned statistics reaches `u`.
        """
        kept = self.rounded(u.detach())
        rest, weight = self.rest(index, targets)
        sums = joined(rest, weight, u + (kept - u.detach()), targets)

        detached = {name: getattr(sums, name).detach() for name in NAMES}
        self.keep(index, kept, Statistics(**detached))
        return sums

    def state(self) -> dict[str, Tensor]:
        """Return all that a fit needs to go on from here."""
        state = {name: getattr(self.sums, name) for name in NAMES}
        state["next"] = torch.tensor(self._next)
        return state

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        device = self.sums.a.device
        self.sums = Statistics(**{name: state[name].to(device) for name in NAMES})
        self._next = int(state["next"])


class Running(Refresh):
    """An exponentially weighted mean over mini-batches, scaled to the number of inducing points."""

    def __init__(self, sums: Statistics, window: int) -> None:
        """Start from the statistics of all points; `window` is the memory in mini-batches."""
        if window < 1:
            raise ValueError(f"window must be at least 1 mini-batch, got {window}.")
        super().__init__(sums)
        self._share = 1 / window

    def rest(
        self, index: Int[Tensor, "row"], targets: Float[Tensor, "row group out"]
    ) -> tuple[Statistics, Float64[Tensor, "row"]]:
        """Return (1 - 1/window) of the kept sums, and the weight 1/window * n/row of each row.

        Repeated rows count repeatedly.
        """
        a = self.sums.a
        share = self._share * self.n / len(index)
        weight = torch.full((len(index),), share, dtype=a.dtype, device=a.device)
        return added(self.sums, self.sums, -self._share), weight


class Batch(Running):
    """The mini-batch alone, scaled to the number of inducing points."""

    def __init__(self, sums: Statistics) -> None:
        super().__init__(sums, window=1)


class Stored(Refresh):
    """Every row is stored in memory or on disk; the sums are patched by the rows that change.

    On an accelerator each step therefore copies its rows to the host and back, and waits for them.
    """

    def __init__(self, sums: Statistics, rows: RowStore) -> None:
        """Take all rows and their statistics, which must be of the rows as the store holds them."""
        super().__init__(sums)
        if len(rows) != self.n:
            raise ValueError(
                f"rows must be those of the {self.n} points that the statistics count, "
                f"got {len(rows)}."
            )
        self._rows = rows

    def rest(
        self, index: Int[Tensor, "row"], targets: Float[Tensor, "row group out"]
    ) -> tuple[Statistics, Float64[Tensor, "row"]]:
        """Return A - O'O and likewise b, c and the count.

        A repeated point is subtracted and added once, in its first place.
        """
        place = torch.arange(len(index), device=index.device)
        weight = (_first(index) == place).to(self.sums.a)
        old = self._rows[index].to(self.sums.a)
        return joined(self.sums, -weight, old, targets), weight

    def rounded(self, u: Float[Tensor, "row group dim"]) -> Float[Tensor, "row group dim"]:
        """Return the rows as the store will hold them.

        Raises:
            FloatingPointError: an embedding that is not finite.
        """
        rows = u.cpu()
        if not rows.isfinite().all():
            raise FloatingPointError(
                "The embeddings of inducing points are not finite; lower the learning rates."
            )
        return self._rows.rounded(rows).to(u)

    def keep(
        self, index: Int[Tensor, "row"], rows: Float[Tensor, "row group dim"], sums: Statistics
    ) -> None:
        """Write the rows."""
        self._rows[index] = rows[_first(index)]
        self.sums = sums

    def state(self) -> dict[str, Tensor]:
        """Return all that a fit needs to go on from here, with every row."""
        return super().state() | {"rows": self._rows.raw}

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        super().resume(state)
        self._rows.raw.copy_(state["rows"])


def joined(
    rest: Statistics,
    weight: Float64[Tensor, "row"],
    u: Float[Tensor, "row group dim"],
    targets: Float[Tensor, "row group out"],
) -> Statistics:
    """Return rest + sum_m weight_m (u_m u_m', u_m t_m, t_m^2, 1).

    Differentiable; does not wait for the device.
    """
    u = u.double().transpose(0, 1).contiguous()
    targets = targets.double()
    heavy = weight[:, None] * u
    return Statistics(
        a=rest.a + heavy.mT @ u,
        b=rest.b + (targets.permute(1, 2, 0) @ heavy).mT,
        c=rest.c + (weight[:, None, None] * targets.square()).sum(0),
        count=rest.count + weight.sum(),
    )


def _first(index: Int[Tensor, "row"]) -> Int[Tensor, "row"]:
    """Return the place where each entry occurs first."""
    is_equal = index[:, None] == index
    return is_equal.int().argmax(1)
