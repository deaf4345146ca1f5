"""Gaussian processes with a fixed kernel on the embedding vector, by features of the kernel.

The embedding is centred and divided by the root mean square distance from the centre, so that
length scales have one meaning everywhere. Length scale, amplitude and noise are those with the
largest evidence of the training samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.conditioning import conditioned
from gpex_bench.surrogates.gp.embedding import Embedding, embedded
from gpex_bench.surrogates.gp.evidence import evidence, evidence_noise
from gpex_bench.surrogates.gp.expansions import Expansion
from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.surrogates.gp.posterior import Statistics
from gpex_bench.types import Dataset, Model

AMPLITUDES = tuple(
    10.0**power for power in range(-2, 4)
)  # of the kernel (variances); targets have variance 1


class KernelFeatures(FeatureMap):
    """x -> sqrt(amplitude) * phi(z), one kernel for all heads, with z the scaled embedding of x.

    The noise is larger where phi leaves something of the kernel out: by amplitude * (k(z, z) -
        |phi(z)|^2).
    """

    centre: Tensor  # [width]
    size: Tensor  # root mean square distance from the centre
    amplitude: Tensor
    noise: Tensor  # [head], that of the process, in units of the standardised outputs squared

    def __init__(self, network: Model, expansion: Expansion, width: int, n_heads: int) -> None:
        super().__init__()
        self.embedding, self.expansion = Embedding(network), expansion
        zeros = partial(torch.zeros, dtype=torch.float64)
        self.register_buffer("centre", zeros(width))
        self.register_buffer("size", zeros(()) + 1)
        self.register_buffer("amplitude", zeros(()) + 1)
        self.register_buffer("noise", zeros(n_heads))

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch 1 dim"]:
        """Return the features."""
        return self._features(self._scaled(x)).to(x.dtype)

    def observe(
        self, x: Float[Tensor, "batch *feature"]
    ) -> tuple[Float[Tensor, "batch 1 dim"], Float[Tensor, "batch head"]]:
        """Return the features, and the noise of the process plus what they leave out."""
        z = self._scaled(x)
        u = self._features(z)
        prior = self.amplitude * self.expansion.prior(z)
        rest = (prior - u[:, 0].square().sum(1)).clamp(min=0)
        return u.to(x.dtype), self.noise + rest[:, None]

    def _scaled(self, x: Tensor) -> Float64[Tensor, "batch width"]:
        """Return the scaled embedding."""
        return (self.embedding.vector(x).double() - self.centre) / self.size

    def _features(self, z: Tensor) -> Float64[Tensor, "batch 1 dim"]:
        """Return sqrt(amplitude) * phi."""
        return (self.amplitude.sqrt() * self.expansion(z))[:, None]


def fitted(
    model: Model,
    data: Dataset,
    candidates: Callable[[Float64[Tensor, "n width"]], Iterable[Expansion]],
    device: str,
) -> dict[str, Tensor]:
    """Return the state of the process whose expansion, amplitude and noise have most evidence.

    `candidates` gives the expansions to choose from, made of the scaled embeddings of the training
    samples.

    Raises:
        ValueError: outputs or embeddings that are not finite, or fewer than 2 training samples.
    """
    u, y = embedded(model, data.train.x, device)
    centre = u.double().mean(0)
    size = (u - centre).square().sum(1).mean().sqrt()
    size = torch.where(size > 0, size, 1.0)
    z = (u - centre) / size
    v = posterior.standardised(y, *posterior.target_units(y))[:, None]

    trials = []
    for expansion in candidates(z):
        sums = posterior.statistics(expansion(z)[:, None], v)
        for amplitude in AMPLITUDES:
            trials.append((_evidence(_times(sums, amplitude)), amplitude, expansion))
    _, amplitude, expansion = max(trials, key=lambda trial: trial[0])

    network = deepcopy(model).to(device).eval()
    features = KernelFeatures(network, expansion, len(centre), y.shape[1])
    features.centre.copy_(centre)
    features.size.copy_(size)
    features.amplitude.copy_(torch.tensor(amplitude))

    state = conditioned(features.to(device), network, data, device=device).state_dict()
    return state | {"features.noise": state["noise"].expand_as(features.noise)}


def _times(sums: Statistics, amplitude: float) -> Statistics:
    """Return the sums of features times the root of an amplitude."""
    return Statistics(a=amplitude * sums.a, b=amplitude**0.5 * sums.b, c=sums.c, count=sums.count)


def _evidence(sums: Statistics) -> float:
    """Return the largest evidence over the noise, summed over heads that vary."""
    scale = torch.ones(sums.c.numel(), dtype=torch.float64)
    noise = evidence_noise(sums)
    state = posterior.condition(sums, noise, torch.zeros_like(scale), scale)
    is_varying = sums.c.flatten() > 0
    return float(evidence(state)[is_varying].sum())
