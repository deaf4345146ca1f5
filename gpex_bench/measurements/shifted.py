"""Explains an image that is slid over its baseline, pixel by pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import explained_again, values
from gpex_bench.types import Case, Measurement, demands, settings, value
from gpex_bench.types.demands import Refused


@value
class Slide:
    """The stops of each image on its way; the first one is the image itself."""

    x: Float[Tensor, "batch stop channel height width"]
    values: Float[Tensor, "batch stop channel height width"]


@settings
class Shifted(Measurement):
    """Maps of an image that moves to the right; each step costs one more explanation.

    The target stays fixed and the explainer keeps its seed.

    Attributes:
        n_steps: steps of one pixel.
    """

    n_steps: int = 2
    re_explains = True

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "n_steps")

    def stops(self, case: Case) -> Float[Tensor, "stop batch channel height width"]:
        """Return the image at each stop; what comes in at the left is the baseline."""
        x = case.query.x
        baseline = case.task.data.baseline.to(x)
        if x.ndim != 4 or self.n_steps >= x.shape[3]:
            shape = tuple(x.shape[1:])
            raise Refused(
                "n_steps must be smaller than the width of an image, "
                f"got {self.n_steps} for {shape}."
            )

        moved = [x]
        for steps in range(1, self.n_steps + 1):
            left = baseline[..., :steps].expand_as(x[..., :steps])
            moved.append(torch.cat([left, x[..., :-steps]], 3))
        return torch.stack(moved)

    def measure(self, case: Case) -> Slide:
        """Return the stops and their maps.

        Raises ValueError for another kind of explanation, or of input.
        """
        stops = self.stops(case)
        maps = [values(case.explanation)]
        for x in stops[1:]:
            maps.append(explained_again(case, x=x))
        return Slide(x=stops.transpose(0, 1), values=torch.stack(maps, 1))
