"""GPEX: one Gaussian process per head on a learned kernel map, with every training sample as an inducing point.

Reference: Akbarnejad, Bigras, Ray (2023), "GPEX, A Framework For Interpreting Artificial Neural Networks";
`docs/gpex.md` has the equations and what differs from the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpex_bench.surrogates import matching, posterior, refresh
from gpex_bench.surrogates.kernel_map import Init, KernelMap, Sizes, kernel_map
from gpex_bench.surrogates.matching import Schedule, Targets, in_chunks
from gpex_bench.surrogates.row_store import RowStore
from gpex_bench.surrogates.weight_space import WeightSpaceSurrogate, conditioned, restored
from gpex_bench.types import Dataset, Model, Progress, Recipe, settings

OWN = 2023  # keeps GPEX's random numbers apart from those that the network's weights came from, also with equal seeds


@settings
class Gpex(Recipe):
    """Gaussian processes on a kernel network that is trained to match the explained network."""

    dim: int = 20  # of each head's kernel space (paper: 20)
    width: int = 256  # channels of the hidden layer(s) added to the trunk, or of a table's perceptron
    norm: float = 1.0  # of an embedding (the paper's text; its code has 0.1)
    init: Init = "network"  # the trunk of an image kernel map: a copy of the network's, or the same with new weights
    statistics: Literal["running", "stored"] = "running"  # see `refresh`
    window: int = 20  # memory of the running statistics, mini-batches
    n_steps: int = 600
    batch_size: int = 64  # mixed inputs per step
    n_refreshed: int = 64  # inducing points embedded anew per step; at least 3 * dim avoids over-fitting the batch
    learning_rate: float = 5e-3
    trunk_learning_rate: float = 1e-3  # 0 freezes the trunk
    perturbation: float = 0.0  # s.d. of noise added to mixed inputs, in units of the inputs
    held_out: float = 0.1  # share of the training samples kept from the gradient, to judge the progress
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("dim", "width", "n_steps", "batch_size", "n_refreshed", "window"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("norm", "learning_rate"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "positive")
        for name in ("trunk_learning_rate", "perturbation"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or positive")
        _check("held_out", self.held_out, 0 < self.held_out < 1, "a share in (0, 1)")
        _check("statistics", self.statistics, self.statistics in ("running", "stored"), "'running' or 'stored'")
        _check("init", self.init, self.init in ("network", "random"), "'network' or 'random'")

    def fit(self, model: Model, data: Dataset, seed: int, progress: Progress) -> WeightSpaceSurrogate:
        """Train the kernel map, then condition the processes on all training samples exactly.

        Raises:
            ValueError: the network's outputs are not finite, or there are fewer than 2 training samples.
            FloatingPointError: training diverged.
        """
        x = data.train.x.to(self.device)
        if len(x) < 2:
            raise ValueError(f"data.train must have at least 2 samples, got {len(x)}.")
        network = deepcopy(model).to(self.device).eval().requires_grad_(False)
        y = in_chunks(network.explained, x)
        offset, scale = posterior.target_units(y)
        targets = Targets(network.explained, offset, scale)
        seeds = np.random.SeedSequence([seed, OWN]).generate_state(2).tolist()
        f = self._kernel_map(model, data, y.shape[1], seeds[0]).to(self.device)
        generator = torch.Generator().manual_seed(seeds[1])
        order = torch.randperm(len(x), generator=generator)
        n_held_out = max(1, round(self.held_out * len(x)))
        noise = matching.match(
            f,
            targets,
            x[order[n_held_out:]],
            self._schedule(),
            start=self._refresh,
            held_out=x[order[:n_held_out]],
            generator=generator,
            progress=progress,
        )
        return conditioned(f, network, data, noise, device=self.device)

    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> WeightSpaceSurrogate:
        """Return the fitted surrogate whose state_dict this is.

        Raises:
            ValueError: the state belongs to another network, dataset or recipe.
        """
        n_heads = len(state["offsets"]) if "offsets" in state else model.head.out_features
        features = self._kernel_map(model, data, n_heads, seed=0)
        return restored(features, data, state, f"a {self} for {type(model).__name__}")

    def _kernel_map(self, model: Model, data: Dataset, n_heads: int, seed: int) -> KernelMap:
        """Return an untrained kernel map."""
        return kernel_map(model, data, Sizes(n_heads, self.dim, self.width, self.norm), self.init, seed)

    def _refresh(self, u: Tensor, v: Tensor) -> refresh.Refresh:
        """Return the policy that keeps the statistics up to date."""
        sums = posterior.statistics(u, v)
        if self.statistics == "running":
            return refresh.Running(sums, self.window)
        rows = RowStore((u.shape[0], u.shape[1], u.shape[2]))
        rows[:] = u
        return refresh.Stored(sums, rows)

    def _schedule(self) -> Schedule:
        """Return how long and how fast to train."""
        return Schedule(
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            n_refreshed=self.n_refreshed,
            learning_rate=self.learning_rate,
            trunk_learning_rate=self.trunk_learning_rate,
            perturbation=self.perturbation,
        )


def _check(name: str, setting: object, is_good: bool, expected: str) -> None:
    """Raise ValueError unless a setting is good."""
    if not is_good:
        raise ValueError(f"{name} must be {expected}, got {setting!r}.")
