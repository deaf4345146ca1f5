"""Max-sensitivity: how much a map can change when the input hardly does (yeh2019fidelity).

The largest ||a(x') - a(x)|| / ||a(x)|| over random x' in an L-infinity ball around x, which estimates the maximum over
the ball from below. Dividing by ||a(x)|| is captum's addition (kokhlikyan2020captum): with it, units do not count. The
target stays fixed and the explainer keeps its seed, so its own randomness does not count. x' may leave the range of the
data. A map that ignores x scores 0, and so does a map that is zero everywhere: stable, not faithful.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import values
from gpex_bench.measurements.noisy import Noisy
from gpex_bench.types import Case, Metric, settings


def relative_change(
    before: Float[Tensor, "batch *feature"], after: Float[Tensor, "batch *feature"]
) -> Float[Tensor, "batch"]:
    """Return ||after - before|| / ||before||, Euclidean over all entries; only the numerator if before is all zero."""
    before, after = before.flatten(1).double(), after.flatten(1).double()
    size = before.norm(dim=1)
    return (after - before).norm(dim=1) / torch.where(size > 0, size, 1.0)


@settings
class MaxSensitivity(Metric):
    """Largest relative change of the map under small changes of the input.

    Attributes:
        n_draws: neighbours per sample; each costs one more explanation.
        radius: largest change of an input entry, in units of the input.
    """

    reference = "yeh2019fidelity"
    measures = "robustness"
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = 0.0  # a random map that does not look at x never changes

    n_draws: int = 4
    radius: float = 0.02

    def measurements(self) -> tuple[Noisy, ...]:
        """Return the maps of the neighbours, which the other robustness metrics share."""
        return (Noisy(n_draws=self.n_draws, radius=self.radius),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the largest relative change of each sample."""
        before, after = values(case.explanation), case.read(self.measurements()[0]).values
        return torch.stack([relative_change(before, draw) for draw in after.unbind(1)]).amax(0)
