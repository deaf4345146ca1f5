"""Explanation continuity: the largest change of a map while its image slides over the baseline.

montavon2018methods: max over pairs of ||R(x) - R(x')||_1 / ||x - x'||_2, estimated where an image
is moved pixel by pixel and its relevance should move along: the pairs are the neighbouring stops.
Deviation: R is divided by ||R(x)||_1 of the first stop, so that units do not count. In units of 1 /
input. A stop that is equal to the one before is left out; an image without any other stop, a map
that is zero everywhere and one that ignores x score 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import values
from gpex_bench.measurements.shifted import Shifted
from gpex_bench.types import Case, Metric, Need, settings


@settings
class Continuity(Metric):
    """Largest change of the map between neighbouring stops per change of the image.

    Attributes:
        n_steps: steps of one pixel to the right; each costs one more explanation.
    """

    title = "explanation continuity"
    reference = "montavon2018methods"
    measures = "robustness"
    blind_can_be_perfect = True  # a constant map never changes
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = 0.0  # a random map that does not look at x never changes
    needs = frozenset({Need.IMAGE})
    cost = "n_steps explanations (2)"

    n_steps: int = 2

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Shifted]:
        """Return the maps of the shifted images."""
        return (Shifted(n_steps=self.n_steps),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the largest quotient of each sample."""
        own = values(case.explanation).double()
        size = own.flatten(1).norm(p=1, dim=1)
        unit = torch.where(size > 0, size, 1.0)

        # From each stop to the next one.
        slide = case.read(self.measurements()[0])
        image_change = slide.x.double().diff(dim=1)
        map_change = slide.values.double().diff(dim=1)
        moved = image_change.flatten(2).norm(dim=2)
        change = map_change.flatten(2).norm(p=1, dim=2)

        # An image that stays as it is has no quotient.
        distance = torch.where(moved > 0, moved, 1.0)
        quotient = change / distance / unit[:, None]
        return torch.where(moved > 0, quotient, 0.0).amax(1)
