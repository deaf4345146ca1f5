"""An RBF kernel on the network's embedding, through Nystrom features of landmarks.

The landmarks are training samples drawn at random. With all of them as landmarks this is the exact
Gaussian process with an RBF kernel; the tests compare. The kernel falls off with the distance, so
that it cannot reproduce the network far from the training samples, where the network's outputs go
on growing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate, restored
from gpex_bench.surrogates.gp.expansions import Landmarks
from gpex_bench.surrogates.gp.kernel_features import KernelFeatures, fitted
from gpex_bench.types import Dataset, Model, Progress, Recipe, demands, settings

OWN = 2001  # keeps the draw of the landmarks apart from other draws with the same seed
LENGTHS = tuple(
    2.0**power for power in range(-2, 6)
)  # tried, in units of the spread of the embeddings


@settings
class Nystrom(Recipe):
    """A Gaussian process with an RBF kernel on the embedding, by Nystrom features."""

    n_landmarks: int = 256
    # in units of the embeddings' spread; None: with the largest evidence
    length: float | None = None
    device: str = "cpu"  # where the training samples are embedded

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "n_landmarks")
        if self.length is not None:
            demands.positive(self, "length")

    def fit(
        self, model: Model, data: Dataset, seed: int, progress: Progress
    ) -> WeightSpaceSurrogate:
        """Draw landmarks, choose the kernel by evidence and condition on all training samples.

        Raises:
            ValueError: outputs or embeddings that are not finite, or fewer than 2 training samples.
        """
        draw = int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(draw)
        chosen = torch.randperm(len(data.train.x), generator=generator)[: self.n_landmarks]
        lengths = LENGTHS if self.length is None else (self.length,)

        def candidates(z: Tensor) -> Iterator[Landmarks]:
            for length in lengths:
                progress(f"length scale {length:g}")
                yield Landmarks("rbf", z[chosen], length)

        return self.restore(model, data, fitted(model, data, candidates, self.device))

    def restore(
        self, model: Model, data: Dataset, state: Mapping[str, Tensor]
    ) -> WeightSpaceSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        points = demands.entry(state, "features.expansion.points", self)
        n_heads = len(demands.entry(state, "offsets", self))
        if len(points) != min(self.n_landmarks, len(data.train.x)):
            raise demands.foreign(self, f"it has {len(points)} landmarks")

        empty = Landmarks("rbf", torch.zeros_like(points), 1.0)
        features = KernelFeatures(model, empty, points.shape[1], n_heads)
        return restored(features, data, state, str(self))
