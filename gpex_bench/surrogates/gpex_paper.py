"""GPEX as in the paper (Akbarnejad et al. 2023), with the faults of its released code repaired.

Faithful: norm 0.1 and leaky ReLU, noise 1 in the units of the raw outputs, squared error over the
clamped and detached latent variance, stored rows, mixed inputs with noise, a kernel network trained
from scratch, two phases. Not: hundreds of steps instead of hundreds of epochs, with a higher
learning rate, and a trunk like the network's instead of a ResNet-50 (`trunk: resnet18` is there);
`docs/gpex.md` lists every difference.
"""

from __future__ import annotations

from gpex_bench.surrogates.gp.conditioning import Rows
from gpex_bench.surrogates.gpex_fit.recipe import GpexRecipe, Statistics
from gpex_bench.surrogates.gpex_fit.step import Objective
from gpex_bench.surrogates.gpex_fit.trunks import Trunk
from gpex_bench.types import settings


@settings
class GpexPaper(GpexRecipe):
    """One process per head, matched to the network by the paper's objective."""

    norm: float = 0.1
    slope: float = 0.01
    trunk: Trunk = "reset"
    whitening: float | None = None
    standardise: bool = False
    noise: float | None = 1.0
    ridge: float | None = None
    input_noise: bool = False
    objective: Objective = "latent"
    statistics: Statistics = "stored"
    rows: Rows = "int16"
    n_steps: int = 400
    second_steps: int = 200
    updates: int = 10
    learning_rate: float = 1e-3
    trunk_learning_rate: float = 1e-3
    decay: bool = False
    perturbation: float = 0.1
