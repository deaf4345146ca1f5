"""Shows an input through its own map: relevant positions stay, others fade to the baseline."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.fills import stand_in
from gpex_bench.masking.units import at_positions, in_groups, units, whole
from gpex_bench.measurements.answers import answers, output
from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Measurement, Metric, Need, settings, value


@value
class Seen:
    """The target's probability for the input, and for the input seen through its map."""

    intact: Float[Tensor, "batch"]
    masked: Float[Tensor, "batch"]


@settings
class Masked(Measurement):
    """The input times its map, which is the positive relevance over its maximum.

    A group of columns is shown if it has half of the maximum, and absent otherwise.

    2 forward rows per sample.
    """

    def measure(self, case: Case) -> Seen:
        """Return both probabilities; raises ValueError for another kind of explanation."""
        x = case.query.x
        positive = relevance(case).clamp(min=0)
        most = positive.amax(1, keepdim=True)
        # A map without positive relevance hides everything.
        divisor = torch.where(most > 0, most, 1.0)
        data = case.task.data
        mask = at_positions((positive / divisor).to(x), units(data))
        mask = whole(mask, in_groups(data) if data.groups else None)

        # All channels of a pixel fade together.
        shape = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
        baseline = stand_in(case, "baseline")
        blend = torch.lerp(baseline, x, mask.view(shape))

        both = torch.stack([x, blend])
        outputs = answers(case, 2, lambda image, number: both[number, image])
        intact, masked = output(outputs, "probability").unbind(1)
        return Seen(intact=intact, masked=masked)


class MaskedMetric(Metric):
    """What becomes of the probability when the input is seen through its map."""

    measures = "faithfulness"
    range = (0.0, 1.0)
    chance = None
    needs = frozenset({Need.PROBABILITY})

    def measurements(self) -> tuple[Masked]:
        """Return the input seen through its map."""
        return (Masked(),)

    @abstractmethod
    def compare(self, seen: Seen) -> Float[Tensor, "batch"]:
        """Return one number per sample."""

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the comparison of each sample."""
        return self.compare(case.read(Masked()))
