"""Smooth MPRT: the randomisation test on maps that are averaged over noisy inputs first.

Source: hedstroem2023sanity. Spearman's correlation between mean_i a(x + noise_i) of the network and
of the fully random one, with the same noise: averaging takes noise out of both maps that would make
them look different. Deviations: uniform noise, that of the robustness metrics, and as few draws as
they have, where the paper takes 50; only the fully random network. Degenerate maps as in `mprt`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, values
from gpex_bench.measurements.noisy import Noisy
from gpex_bench.measurements.randomised import NoisyRandomised
from gpex_bench.measurements.similarity import likeness
from gpex_bench.types import Case, Metric, settings


@settings
class MPRTSmooth(Metric):
    """Rank correlation of the denoised maps of the network and of the fully random one.

    Attributes:
        n_draws: noisy inputs per sample; each costs two more explanations, of which one is shared.
        radius: largest change of an input entry, in units of the input.
        absolute: compare the sizes of the relevances.
    """

    title = "smooth MPRT"
    reference = "hedstroem2023sanity"
    measures = "randomisation"
    higher_is_better = False
    range = (-1.0, 1.0)
    chance = 1.0  # a random map that does not look at the network stays the same
    cost = "2 n_draws explanations (8), half of them shared with `max_sensitivity`"

    n_draws: int = 4
    radius: float = 0.02
    absolute: bool = False

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Noisy, NoisyRandomised]:
        """Return the maps of the same noisy inputs on both networks."""
        noise = NoisyRandomised(n_draws=self.n_draws, radius=self.radius)
        return noise.noise(), noise

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        values(case.explanation)  # refuses other kinds
        of_trained, of_random = self.measurements()
        before = of_draws(case, case.read(of_trained).values).mean(1)
        after = of_draws(case, case.read(of_random).values).mean(1)
        return likeness(before, after[:, None], self.absolute)
