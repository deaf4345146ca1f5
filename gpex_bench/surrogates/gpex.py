"""GPEX as good as we can make it; its kernel network starts from the explained network's trunk.

Each default was chosen on held-out training samples; `docs/gpex.md` says why. `gpex_paper` is the
preset of the paper.
"""

from __future__ import annotations

from gpex_bench.surrogates.gpex_fit.recipe import GpexRecipe, Statistics
from gpex_bench.surrogates.gpex_fit.step import Objective
from gpex_bench.surrogates.gpex_fit.trunks import Trunk
from gpex_bench.types import settings


@settings
class Gpex(GpexRecipe):
    """One process per head, matched to the network by the predictive density of mixed inputs."""

    norm: float = 1.0
    slope: float = 1.0
    trunk: Trunk = "network"
    whitening: float | None = 1e-2
    standardise: bool = True
    noise: float | None = None
    ridge: float | None = 3e-3
    input_noise: bool = True
    objective: Objective = "predictive"
    statistics: Statistics = "running"
    n_steps: int = 600
    second_steps: int = 0
    updates: int = 1
    learning_rate: float = 5e-3
    trunk_learning_rate: float = 1e-3
    decay: bool = True
    perturbation: float = 0.0
