"""Removal curves: the outputs of a network while parts of an input are replaced.

One set of passes gives three outputs at once, and every summary of a curve reads the same ones.
They are stored, so a new summary needs no pass. The order is that of `masking.order.ties_broken`:
equal relevances fall in a random order.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.masking.fills import CURVE_FILLS, CurveFill, filler
from gpex_bench.masking.order import N_STEPS, step_sizes, ties_broken
from gpex_bench.masking.regions import slic
from gpex_bench.measurements.answers import OUTPUTS, answers
from gpex_bench.measurements.answers import output as output_of
from gpex_bench.measurements.maps import means_of, relevance
from gpex_bench.measurements.subsets import cells
from gpex_bench.types import Case, Measurement, Metric, Need, Removal, demands, settings, value

Unit = Literal["position", "patch", "segment"]
UNITS = get_args(Unit)
PATCH = 4  # pixels
# Steps of a curve for which no metric needs finer ones.
STEPS = {"position": N_STEPS, "patch": N_STEPS // 2, "segment": N_STEPS}
N_SEGMENTS = 50
SEGMENT_STEPS = 16
FILL_STEPS = 8  # steps of curves under fills that no score is read from, at most
# Shares of the positions that are taken away or kept (deyoung2020eraser).
ERASED_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
# Both orders of removal: the curves that `Removals` holds.
ORDERS = ("most_first", "least_first")


@value
class Removals:
    """The curves of each output, over the same inputs."""

    fraction: Float[Tensor, "point"]  # share of the units that are gone
    most_first: Float[Tensor, "output batch point"]
    least_first: Float[Tensor, "output batch point"]

    def has(self, output: str) -> bool:
        """Whether the network has this output: a number has the `logit` alone, its value."""
        return not bool(self.most_first[OUTPUTS.index(output)].isnan().all())

    def of(self, output: str) -> Removal:
        """Return the curves of an output: one of OUTPUTS; raises Refused if there is none."""
        return Removal(
            fraction=self.fraction,
            most_first=output_of(self.most_first, output),
            least_first=output_of(self.least_first, output),
        )


@settings
class Curves(Measurement):
    """Removal curves in both orders.

    About twice `n_steps` forward rows per sample, at most CHANGED_ROWS in memory.

    Attributes:
        unit: what goes at once: a `position` (a pixel, a column or a group of columns), a `patch`
            of 4 x 4 pixels (smaller ones at the border) or a `segment` (about 50 by SLIC), by
            their mean relevance; columns of a table in each case.
        fill: what is shown in its place.
        n_steps: steps per curve, equally long up to one unit; see `masking.order.step_sizes` for
            few units.
    """

    unit: Unit = "position"
    fill: CurveFill = "baseline"
    n_steps: int = N_STEPS

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {self.unit!r}.")
        if self.fill not in CURVE_FILLS:
            raise ValueError(f"fill must be one of {', '.join(CURVE_FILLS)}, got {self.fill!r}.")
        step_sizes(1, self.n_steps)

    def under(self, fill: CurveFill) -> Curves:
        """Return the same curves under another fill, in at most FILL_STEPS steps.

        Images have the same number of steps of segments under each.
        """
        n_steps = self.n_steps if self.unit == "segment" else min(self.n_steps, FILL_STEPS)
        return replace(self, fill=fill, n_steps=n_steps)

    def measure(self, case: Case) -> Removals:
        """Return the curves.

        Raises ValueError for another kind of explanation, or a value that is not finite.
        """
        x, device = case.query.x, case.query.x.device
        rank, n_units = self._ranks(case)
        gone, fraction = self._steps(n_units)
        n_points = gone.shape[1]

        # Columns: the whole curve from the top, then the inner points from the bottom, as intervals
        # of ranks.
        inner = gone[:, 1:-1]
        every = n_units[:, None]
        low = torch.cat([torch.zeros_like(gone), every - inner], 1).to(device)
        high = torch.cat([gone, every.expand_as(inner)], 1).to(device)
        fill = filler(case, self.fill)

        def removed(image: Tensor, column: Tensor) -> Tensor:
            at = rank[image]
            is_above = at >= low[image, column, None]
            is_below = at < high[image, column, None]
            return fill(image, is_above & is_below)

        outputs = answers(case, low.shape[1], removed).to(x.dtype)
        most, least = outputs[..., :n_points], outputs[..., n_points:]
        return Removals(
            fraction=fraction.to(device),
            most_first=most.contiguous(),
            least_first=torch.cat([most[..., :1], least, most[..., -1:]], 2),
        )

    def _steps(
        self, n_units: Int[Tensor, "batch"]
    ) -> tuple[Int[Tensor, "batch point"], Float[Tensor, "point"]]:
        """Return how many units of each sample are gone at each point, and the share.

        Images have different numbers of segments: their shares are those of SEGMENT_STEPS, up to
        one segment.
        """
        if self.unit == "segment":
            point = torch.arange(SEGMENT_STEPS + 1)
            share = point.double() / SEGMENT_STEPS
            # A product that is whole but for rounding is not rounded up.
            gone = torch.ceil(n_units[:, None] * share - 1e-9)
            return gone.long(), share

        # Positions and patches: as many for each sample.
        sizes = step_sizes(int(n_units[0]), self.n_steps)
        share = sizes.double() / n_units[0]
        return sizes.expand(len(n_units), -1), share

    def _ranks(self, case: Case) -> tuple[Int[Tensor, "batch position"], Int[Tensor, "batch"]]:
        """Return each position's place in descending order of relevance, and how many units."""
        x, sample = case.query.x, case.query.sample
        values = relevance(case)
        if self.unit == "position" or x.ndim != 4:
            count = torch.full((len(values),), values.shape[1])
            return ties_broken(values, sample), count

        if self.unit == "patch":
            index = cells(case.task.data, PATCH).expand(len(values), -1)
        else:
            index = _segments(x)
        index = index.to(values.device)
        count = index.amax(1) + 1

        # As wide as there are positions: equal units fall in an order that depends on the width.
        mean = means_of(values, index, values.shape[1])
        unit = torch.arange(mean.shape[1], device=mean.device)
        is_missing = unit >= count[:, None]
        rank = ties_broken(mean.masked_fill(is_missing, -torch.inf), sample)
        return rank.gather(1, index), count.cpu()


def _segments(x: Float[Tensor, "batch channel height width"]) -> Int[Tensor, "batch position"]:
    """Return the segment of each position of images."""
    images = x.cpu().double().numpy()
    segments = [_segments_of(image.tobytes(), image.shape) for image in images]
    return torch.stack(segments)


@lru_cache(maxsize=1024)
def _segments_of(image: bytes, shape: tuple[int, ...]) -> Int[Tensor, "position"]:
    """Return the segment of each position of an image; training seeds and fills share it."""
    values = np.frombuffer(image).reshape(shape)
    return torch.from_numpy(slic(values, N_SEGMENTS)).flatten()


class CurveMetric(Metric):
    """A summary of stored removal curves.

    It needs no pass through a network, so adding one re-computes no cell.

    The fill `baseline` gives the score. Where `fill` is None, the run's other fills and both
    outputs give variants of it, whose rankings are compared.
    """

    unit: Unit = "position"  # a class attribute or a hyperparameter, like the next two
    fill: CurveFill | None = None
    n_steps: int | None = None  # None: that of the unit
    output: str = "probability"  # one of OUTPUTS; a class attribute or a hyperparameter
    needs = frozenset({Need.PROBABILITY})

    def measurements(self) -> tuple[Curves]:
        """Return the curves that the score is read from."""
        n_steps = self.n_steps or STEPS[self.unit]
        return (Curves(unit=self.unit, fill=self.fill or "baseline", n_steps=n_steps),)

    @abstractmethod
    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return one number per sample."""

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the summary of a case's curves."""
        return self.summarise(case.read(self.measurements()[0]).of(self.output))


@settings
class ScaledCurveMetric(CurveMetric):
    """A summary of curves of the probability, or of the output as it is.

    Attributes:
        output: `probability`, or `logit`: the output as it is, in its own units and without bounds.
            Networks that give a number have this one alone, its value.
    """

    of_probability: ClassVar[tuple[float, float]]  # the range of a summary of probabilities
    of_logit: ClassVar[tuple[float, float]] = (float("-inf"), float("inf"))

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
        """Probabilities, if it summarises them."""
        is_of_logit = self.output == "logit"
        return frozenset() if is_of_logit else frozenset({Need.PROBABILITY})
