"""The arc-cosine kernel on the network's embedding: that of a wide random ReLU layer on top.

It grows with the norm of the embedding as the outputs of a ReLU network do (cho2009kernel). Through
Nystrom features of landmarks, or through random ReLU units, which are the process of a random layer
of `dim` units exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate, restored
from gpex_bench.surrogates.gp.expansions import Expansion, Landmarks, RandomUnits
from gpex_bench.surrogates.gp.kernel_features import KernelFeatures, fitted
from gpex_bench.types import Dataset, Model, Progress, Recipe, demands, settings

OWN = 2009  # keeps the draw of landmarks or units apart from other draws with the same seed


@settings
class ArcCosine(Recipe):
    """A Gaussian process with the arc-cosine kernel on the embedding."""

    dim: int = 256  # landmarks or units
    expansion: Literal["nystrom", "random"] = "nystrom"
    device: str = "cpu"  # where the training samples are embedded

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "dim")
        demands.one_of(self, expansion=("nystrom", "random"))

    def fit(
        self, model: Model, data: Dataset, seed: int, progress: Progress
    ) -> WeightSpaceSurrogate:
        """Draw landmarks or units, choose the amplitude by evidence, condition on all samples.

        Raises:
            ValueError: outputs or embeddings that are not finite, or fewer than 2 training samples.
        """
        start = int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0])

        def candidates(z: Tensor) -> Iterator[Expansion]:
            if self.expansion == "random":
                yield RandomUnits(z.shape[1], self.dim, start)
            else:
                generator = torch.Generator().manual_seed(start)
                order = torch.randperm(len(z), generator=generator)
                yield Landmarks("arc_cosine", z[order[: self.dim]], 1.0)

        return self.restore(model, data, fitted(model, data, candidates, self.device))

    def restore(
        self, model: Model, data: Dataset, state: Mapping[str, Tensor]
    ) -> WeightSpaceSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        width = len(demands.entry(state, "features.centre", self))
        n_heads = len(demands.entry(state, "offsets", self))
        features = KernelFeatures(model, self._empty(data, state, width), width, n_heads)
        return restored(features, data, state, str(self))

    def _empty(self, data: Dataset, state: Mapping[str, Tensor], width: int) -> Expansion:
        """Return an expansion that is ready to take the state."""
        if self.expansion == "random":
            seed = demands.entry(state, "features.expansion.seed", self)
            return RandomUnits(width, self.dim, int(seed))

        points = torch.zeros_like(demands.entry(state, "features.expansion.points", self))
        if len(points) != min(self.dim, len(data.train.x)):
            raise demands.foreign(self, f"it has {len(points)} landmarks")
        return Landmarks("arc_cosine", points, 1.0)
