"""The last layer as a Gaussian process: a linear kernel on the features that it reads.

The network *is* linear there, so this process reproduces it up to the noise floor: the baseline
that a trained kernel has to justify itself against, by better or differently grounded explanations
and not by the match. As representer points (yeh2018representer), it names training samples through
the last layer alone; it needs no regularised retraining for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate, conditioned, restored
from gpex_bench.surrogates.gp.embedding import Embedding
from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.types import Dataset, Model, Progress, Recipe, demands, settings
from gpex_bench.types.batches import in_chunks


class Affine(FeatureMap):
    """The embedding over its root mean square norm in training, and a constant 1 for the bias."""

    size: Tensor  # [group], root mean square norm

    def __init__(self, network: Model, n_groups: int) -> None:
        super().__init__()
        self.embedding = Embedding(network)
        self.register_buffer("size", torch.ones(n_groups))

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch group dim"]:
        """Return [embedding / size, 1] per group."""
        u = self.embedding(x) / self.size[:, None]
        return torch.cat([u, torch.ones_like(u[..., :1])], -1)


@settings
class LastLayer(Recipe):
    """A Gaussian process with a linear kernel on the network's embedding; exact by construction."""

    exact: ClassVar[bool] = True

    # variance in units of the outputs' variance; None: with the largest evidence
    noise: float | None = None
    device: str = "cpu"  # where the training samples are embedded

    def __post_init__(self) -> None:
        if self.noise is not None:
            demands.positive(self, "noise")

    def fit(
        self, model: Model, data: Dataset, seed: int, progress: Progress
    ) -> WeightSpaceSurrogate:
        """Condition on all training samples; nothing is random.

        Raises:
            ValueError: embeddings or outputs that are not finite.
        """
        network = deepcopy(model).to(self.device).eval()
        features = self._features(network, data).to(self.device)

        def squared_norm(x: Tensor) -> Tensor:
            return features.embedding(x).double().square().sum(-1)

        squares = in_chunks(squared_norm, data.train.x, self.device)
        size = squares.mean(0).sqrt()
        features.size.copy_(torch.where(size > 0, size, 1.0))

        noise = None if self.noise is None else torch.full((len(size),), self.noise)
        fitted = conditioned(features, network, data, noise, device=self.device)
        return self.restore(model, data, fitted.state_dict())

    def restore(
        self, model: Model, data: Dataset, state: Mapping[str, Tensor]
    ) -> WeightSpaceSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        return restored(self._features(model, data), data, state, str(self))

    def _features(self, model: Model, data: Dataset) -> Affine:
        """Return the feature map, not scaled yet."""
        device = next(model.parameters()).device
        with torch.no_grad():
            n_groups = model.explained_features(data.train.x[:1].to(device)).shape[1]
        return Affine(model, n_groups)
