"""Removes the most relevant few per cent of an input, and all but those."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.masking.fills import CURVE_FILLS, CurveFill, filler
from gpex_bench.masking.order import ties_broken
from gpex_bench.measurements.answers import answers, output
from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Measurement, Metric, Need, demands, settings, value

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of the positions (deyoung2020eraser)


@value
class Erased:
    """The network's outputs for what is left of an input."""

    intact: Float[Tensor, "output batch"]
    without: Float[Tensor, "output batch share"]  # the most relevant positions are gone
    alone: Float[Tensor, "output batch share"]  # all other positions are gone


@settings
class Erasures(Measurement):
    """Outputs without the most relevant positions, and with those alone.

    2 * len(shares) + 1 forward rows per sample.

    Attributes:
        shares: of the positions, each in (0, 1); rounded up, so that one position is the least.
        fill: what is shown in place of what is gone.
    """

    shares: tuple[float, ...] = SHARES
    fill: CurveFill = "baseline"

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"shares must lie between 0 and 1, both excluded, got {self.shares}.")
        demands.one_of(self, fill=CURVE_FILLS)

    def measure(self, case: Case) -> Erased:
        """Return the outputs; raises ValueError for another kind of explanation."""
        by_position = relevance(case)
        rank = ties_broken(by_position, case.query.sample)
        counts = self.counts(by_position.shape[1]).to(rank.device)
        n_shares = len(counts)
        fill = filler(case, self.fill)

        # Inputs of a sample: without each share, with each share alone, and intact.
        def erased(image: Tensor, number: Tensor) -> Tensor:
            count = counts[number % n_shares]
            is_strongest = rank[image] < count[:, None]
            is_alone = (number >= n_shares)[:, None]
            is_changed = (number < 2 * n_shares)[:, None]
            return fill(image, (is_strongest ^ is_alone) & is_changed)

        outputs = answers(case, 2 * n_shares + 1, erased)
        without, alone, intact = outputs.split([n_shares, n_shares, 1], dim=2)
        return Erased(intact=intact[..., 0], without=without, alone=alone)

    def counts(self, n_positions: int) -> Int[Tensor, "share"]:
        """Return how many positions each share is."""
        # A product that is whole but for rounding is not rounded up.
        exact = [share * n_positions - 1e-9 for share in self.shares]
        return torch.tensor([max(1, math.ceil(number)) for number in exact])


@settings
class ErasureMetric(Metric):
    """What the most relevant positions do to an output of the network.

    Attributes:
        fill: what is shown in place of what is gone.
        output: `probability`, or `logit`: the output as it is, in its own units and without bounds.
            Networks that give a number have this one alone, its value.
    """

    of_probability: ClassVar[tuple[float, float]]
    of_logit: ClassVar[tuple[float, float]]
    measures = "faithfulness"

    fill: CurveFill = "baseline"
    output: Literal["probability", "logit"] = "probability"

    def __post_init__(self) -> None:
        demands.one_of(self, output=("probability", "logit"))
        self.measurements()  # checks the other settings

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """The interval of possible scores."""
        return self.of_probability if self.output == "probability" else self.of_logit

    @property
    def needs(self) -> frozenset[Need]:  # type: ignore[override]
        """Probabilities, if it reads them, and training samples, if the fill is made of them."""
        found = {Need.PROBABILITY} if self.output == "probability" else set()
        if self.fill in ("train_mean", "noise"):
            found.add(Need.TRAINING)
        return frozenset(found)


@settings
class FallMetric(ErasureMetric):
    """A mean fall of the output over shares of the positions."""

    of_probability = (-1.0, 1.0)
    of_logit = (float("-inf"), float("inf"))
    chance = None
    cost = "11 forward rows per sample, shared by `comprehensiveness` and `sufficiency`"

    def measurements(self) -> tuple[Erasures]:
        """Return the outputs without the most relevant positions and with those alone."""
        return (Erasures(fill=self.fill),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the mean fall of each sample."""
        erased = case.read(self.measurements()[0])
        left = output(self.left(erased), self.output)
        return output(erased.intact, self.output) - left.mean(1)

    @abstractmethod
    def left(self, erased: Erased) -> Float[Tensor, "output batch share"]:
        """Return the outputs that the fall ends at."""
