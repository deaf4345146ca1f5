"""Nearest neighbours in the network's embedding: the simplest surrogate with training samples.

A prediction is the weighted mean of the network's outputs at the k nearest training samples
(cover1967nearest; weights 1/distance as in scikit-learn). Its variance is that of one more such
output: the weighted sample variance s2 = sum w (y - mean)^2 / (1 - q) with q = sum w^2, times 1 + q
for the error of the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gpex_bench.surrogates.gp import nearest
from gpex_bench.surrogates.gp.embedding import Embedding, embedded
from gpex_bench.types import (
    Dataset,
    Model,
    Posterior,
    Progress,
    Recipe,
    Surrogate,
    demands,
    settings,
)

# squared distance, relative to the squared norms, below which two float32 embeddings are equal
SAME = 1e-12


class KnnSurrogate(Surrogate):
    """Weighted means over neighbours in the embedding; calling it gives the embedding."""

    rows: Tensor  # [n_train, width], embeddings of the training samples
    outputs: Tensor  # [n_train, head], the network's outputs there

    def __init__(self, recipe: Knn, model: Model, rows: Tensor, outputs: Tensor) -> None:
        """Take embeddings and outputs of the training samples."""
        super().__init__()
        self.recipe = recipe
        self.features = Embedding(model)
        self.register_buffer("rows", rows)
        self.register_buffer("outputs", outputs)

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the embeddings."""
        return self.features.vector(x)

    def _blocks(self, x: Float[Tensor, "batch *feature"]) -> Iterator[Float64[Tensor, "batch _"]]:
        """Yield the squared distances to the training samples, block by block.

        They are exactly 0 for equal embeddings.
        """
        a = self._scaled(self(x))
        for rows in self.rows.split(nearest.BLOCK):
            b = self._scaled(rows)
            size = a.square().sum(1)[:, None] + b.square().sum(1)
            squared = size - 2 * a @ b.T
            yield torch.where(squared > SAME * size, squared, 0.0)

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return mean and variance over the neighbours."""
        index, weight = self._nearest(x)
        y = self.outputs.double()[index]
        mean = torch.einsum("nk,nkh->nh", weight, y)

        # with one neighbour q is 1, and there is no variance
        q = weight.square().sum(1, keepdim=True)
        has_variance = q < 1
        divisor = (1 - q).where(has_variance, 1.0)
        rate = (1 + q) / divisor
        rate = torch.where(has_variance, rate, 0.0)

        squares = (y - mean[:, None]).square()
        spread = torch.einsum("nk,nkh->nh", weight, squares)
        variance = spread * rate
        return Posterior(mean=mean.to(x.dtype), variance=variance.to(x.dtype))

    def without(self, index: Int[Tensor, "k"]) -> KnnSurrogate:
        """Return the neighbours among the other samples."""
        is_kept = torch.ones(len(self.rows), dtype=torch.bool)
        is_kept[index] = False
        rows = self.rows[is_kept]
        return KnnSurrogate(self.recipe, self.features.network, rows, self.outputs[is_kept])

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return minus the distance to each training sample; the same for every target."""
        return torch.cat([-part.sqrt().to(x.dtype) for part in self._blocks(x)], 1)

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return w_m (y_m - offset), 0 for all but the neighbours; sums to mean - offset."""
        index, weight = self._nearest(x)
        y = self.outputs.double()[index, target[:, None]]
        shares = weight * (y - self.offset(target).double()[:, None])
        zeros = torch.zeros(len(x), len(self.rows), dtype=torch.float64)
        return zeros.scatter(1, index, shares).to(x.dtype)

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the network's mean output over the training samples."""
        return self.outputs.double().mean(0)[target].float()

    def _scaled(self, u: Float[Tensor, "row width"]) -> Float64[Tensor, "row width"]:
        """Return embeddings as they are compared."""
        u = u.double()
        if self.recipe.metric == "cosine":
            return torch.nn.functional.normalize(u, dim=1)
        return u

    def _nearest(self, x: Tensor) -> tuple[Int[Tensor, "batch k"], Float64[Tensor, "batch k"]]:
        """Return the nearest training samples and their weights, which sum to 1."""
        k = min(self.recipe.k, len(self.rows))
        closeness, index = nearest.largest((-part for part in self._blocks(x)), k)
        squared = -closeness

        weight = torch.ones_like(squared)
        if self.recipe.weights == "distance":
            # samples that equal the query, where there are any, have all the weight
            is_equal = squared == 0
            inverse = squared.where(~is_equal, 1.0).rsqrt()
            weight = torch.where(is_equal.any(1, keepdim=True), is_equal.double(), inverse)
        return index, weight / weight.sum(1, keepdim=True)


@settings
class Knn(Recipe):
    """The k nearest training samples in the network's embedding."""

    k: int = 10
    weights: Literal["uniform", "distance"] = "distance"
    metric: Literal["euclidean", "cosine"] = "euclidean"
    device: str = "cpu"  # where the training samples are embedded

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "k")
        demands.one_of(self, weights=("uniform", "distance"), metric=("euclidean", "cosine"))

    def fit(self, model: Model, data: Dataset, seed: int, progress: Progress) -> KnnSurrogate:
        """Store embeddings and outputs of the training samples; nothing is random.

        Raises:
            ValueError: outputs that are not finite, or fewer than 2 training samples.
        """
        rows, outputs = embedded(model, data.train.x, self.device)
        return KnnSurrogate(self, model, rows, outputs).requires_grad_(False).eval()

    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> KnnSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        rows = demands.entry(state, "rows", self)
        outputs = demands.entry(state, "outputs", self)
        surrogate = KnnSurrogate(self, model, rows.clone(), outputs.clone())
        return demands.loaded(surrogate, state, self)
