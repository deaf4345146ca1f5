"""The empirical neural tangent kernel: which training samples move the same weights as a query?

k(x, x') = <g(x), g(x')> with g the gradient of an output by all weights of the trained network
(jacot2018neural), here projected to `dim` numbers as TRAK does it (park2023trak; `tangent` says
how, and why it is cheap). A kernel of its own per head, or one kernel of the sum of the heads for
all (mohamadi2023fast). The network is not linearised: the process is conditioned on its outputs at
all training samples, as every weight-space process here.

Cost per sample: a forward pass, a backward pass per group, and per layer about dim_layer / n_out
forward passes through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate, conditioned, restored
from gpex_bench.surrogates.gp.tangent import Entries, Projection, Tangent, layers
from gpex_bench.types import Dataset, Model, Progress, Recipe, demands, settings
from gpex_bench.types.batches import RECORDED_ROWS

OWN = 2018  # keeps the projection's random numbers apart from those of the network's weights
# directions per layer, on RECORDED_ROWS training samples, that measure the layers' shares of the
# trace
PILOT = 16


@settings
class Ntk(Recipe):
    """A Gaussian process on the projected gradients of the network's outputs by its weights."""

    dim: int = 512  # numbers per kernel
    kernel: Literal["per_head", "shared"] = "shared"
    entries: Entries = "rademacher"  # of the random directions
    device: str = "cpu"

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "dim")
        demands.one_of(self, kernel=("per_head", "shared"), entries=("rademacher", "gaussian"))

    def fit(
        self, model: Model, data: Dataset, seed: int, progress: Progress
    ) -> WeightSpaceSurrogate:
        """Project the gradients at all training samples and condition on them.

        Raises:
            ValueError: layers whose gradients we cannot project, no heads, or outputs that are not
                finite.
        """
        network = deepcopy(model).to(self.device).eval().requires_grad_(False)
        start = int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0])
        x = data.train.x[:RECORDED_ROWS].to(self.device)
        demands.has_heads(network.explained(x[:1]))
        n_layers = len(layers(network))
        n_groups = self._n_groups(model, data)

        # a pilot with as many directions for each layer measures the layers' shares of the trace
        counts = torch.full((n_layers,), PILOT)
        pilot = Tangent(network, counts, n_groups, self._how(start)).to(self.device)
        traces = [u.double().square().sum(-1).mean() for u in pilot.by_layer(x)]

        counts = allot(self.dim, torch.stack(traces).cpu())
        features = Tangent(network, counts, n_groups, self._how(start + 1)).to(self.device)
        squares = features(x).double().square().sum(-1)
        size = squares.mean(0).sqrt()
        features.size.copy_(torch.where(size > 0, size, 1.0))
        progress(
            f"gradients of {len(data.train.x)} samples, {n_layers} layers -> {self.dim} numbers"
        )
        fitted = conditioned(features, network, data, device=self.device)
        return self.restore(model, data, fitted.state_dict())

    def restore(
        self, model: Model, data: Dataset, state: Mapping[str, Tensor]
    ) -> WeightSpaceSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        start = int(demands.entry(state, "features.seed", self))
        counts = demands.entry(state, "features.counts", self)
        if len(counts) != len(layers(model)) or counts.sum() != self.dim:
            reason = f"its {int(counts.sum())} numbers are of {len(counts)} layers"
            raise demands.foreign(self, reason)
        features = Tangent(model, counts, self._n_groups(model, data), self._how(start))
        return restored(features, data, state, str(self))

    def _how(self, seed: int) -> Projection:
        """Return how gradients are projected."""
        return Projection(seed, self.entries, self.kernel == "shared")

    def _n_groups(self, model: Model, data: Dataset) -> int:
        """Return the number of kernels."""
        if self.kernel == "shared":
            return 1
        device = next(model.parameters()).device
        with torch.no_grad():
            return model.explained(data.train.x[:1].to(device)).shape[1]


def allot(total: int, shares: Tensor) -> Tensor:
    """Return whole numbers with this sum, in proportion to the shares.

    What rounding down leaves goes to the largest remainders, earlier ones first.
    """
    shares = shares.double()
    if not shares.sum() > 0:
        shares = torch.ones_like(shares)
    exact = total * shares / shares.sum()

    count = exact.floor().long()
    order = (exact - count).argsort(descending=True, stable=True)
    n_left = total - int(count.sum())
    count[order[:n_left]] += 1
    return count
