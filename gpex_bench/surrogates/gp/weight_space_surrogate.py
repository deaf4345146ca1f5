"""What a weight-space recipe leaves behind: predictions, and the training samples and places they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from gpex_bench.surrogates.gp import nearest, posterior, row_effects
from gpex_bench.surrogates.gp.effective_rank import centred, effective_rank
from gpex_bench.surrogates.gp.features import FeatureMap, spread
from gpex_bench.surrogates.gp.posterior import State, Statistics
from gpex_bench.types import Examples, Posterior, Surrogate

SUMS = ("a", "b", "c", "count")
BUFFERS = (
    "rows",
    "unit",
    "targets",
    *SUMS,
    "noise",
    "offsets",
    "scale",
    "centre",
    "index",
    "n_train",
)


class WeightSpaceSurrogate(Surrogate):
    """Gaussian processes conditioned on all training samples, or on some; one kernel per group of heads.

    Calling it asks its feature map, so that a hook on it counts every row. Explanations go over the
    training samples in blocks: nothing but their result grows with the number of samples.

    `similarity` is the cosine between embeddings centred on their mean over the training samples.
    Learned kernels nearly have rank one: all raw inner products are alike, and what tells
    neighbours apart is the rest.
    """

    features: FeatureMap
    # [point, group, dim], f of the inducing points in steps of `unit`: int16, or floating-point
    # numbers
    rows: Tensor
    unit: Tensor  # [group, dim], float64; 1 where rows are floating-point numbers
    targets: Tensor  # [point, head], standardised outputs of the network there, float64
    # to `scale`: the fields of `posterior.State`, float64; the sums are those of the rows as they
    # are stored
    a: Tensor
    b: Tensor
    c: Tensor
    count: Tensor
    noise: Tensor
    offsets: Tensor  # prior means; the method `offset` has the name
    scale: Tensor
    centre: Tensor  # [group, dim, place], mean over the inducing points of each location's term
    index: Tensor  # [point], row of each inducing point in data.train
    n_train: Tensor  # [], how many rows data.train has

    def __init__(self, features: FeatureMap, buffers: Mapping[str, Tensor]) -> None:
        """Take a feature map and everything that conditioning gave (the fields above)."""
        super().__init__()
        self.features = features
        for name in BUFFERS:
            self.register_buffer(name, buffers[name])

    @property
    def state(self) -> State:
        """The conditioned process."""
        sums = Statistics(a=self.a, b=self.b, c=self.c, count=self.count)
        return State(statistics=sums, noise=self.noise, offset=self.offsets, scale=self.scale)

    def forward(self, x: Tensor, ask: str = "forward"):  # type: ignore[no-untyped-def]
        """Return what a method of the feature map (forward, locations or observe) says of x."""
        return getattr(self.features, ask)(x)

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head, with the observation noise in the variance; differentiable in x."""
        u, noise = self(x, "observe")
        mean, latent = posterior.predict(self.state, u)
        noise = self._per_head(self.noise) if noise is None else noise.double()
        variance = latent + self.scale.square() * noise
        return Posterior(mean=mean.to(x.dtype), variance=variance.to(x.dtype))

    def covariance(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "head batch batch"]:
        """Return the joint covariance of the noise-free functions at these inputs, in the units of the outputs."""
        return posterior.covariance(self.state, self(x))

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the centred cosine with each training sample in the kernel space of the target's head, in [-1, 1].

        Minus infinity for samples that are no inducing points.
        """
        return self._on_all(self._scored(x, target, "similarity"), -torch.inf, x)

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return alpha_m k(x, x_m) in the units of the network's output; with `offset` it sums to the mean.

        0 for samples that are no inducing points.
        """
        return self._on_all(self._scored(x, target, "contribution"), 0.0, x)

    def neighbours(
        self,
        x: Float[Tensor, "batch *feature"],
        target: Int[Tensor, "batch"],
        k: int,
        by: str = "similarity",
    ) -> Examples:
        """Return the k inducing points with the largest similarity or contribution; memory does not grow with n_train.

        Raises:
            ValueError: there are no k inducing points, or `by` is neither "similarity" nor
                "contribution".
        """
        if by not in ("similarity", "contribution"):
            raise ValueError(f"by must be 'similarity' or 'contribution', got {by!r}.")
        if not 1 <= k <= len(self.rows):
            raise ValueError(
                f"k must be between 1 and the {len(self.rows)} inducing points, got {k}."
            )
        weight, index = nearest.largest(self._scored(x, target, by), k)
        return Examples(index=self.index[index], weight=weight.to(x.dtype))

    def deletion(
        self,
        x: Float[Tensor, "batch *feature"],
        target: Int[Tensor, "batch"],
        index: Int[Tensor, "batch k"],
    ) -> Float[Tensor, "batch k"]:
        """Return how the posterior mean of each target changes when one training sample is deleted.

        Each of the k samples of a query is deleted alone; the embeddings of the others stay. In
        units of the output.

        Raises:
            ValueError: a sample that is no inducing point.
        """
        index = self.positions(index)
        lower, w, u = posterior.factor(self.state), posterior.weights(self.state), self(x).double()
        effect = torch.zeros(index.shape, dtype=torch.float64, device=index.device)
        for group, asked in self._groups(target):
            output, heads = target[asked] % self._n_out, target[asked]
            rows = self.decoded(index[asked], group)
            fitted = torch.einsum("nkd,dn->nk", rows, w[group][:, output])
            residual = self.targets[index[asked], heads[:, None]] - fitted
            solved, rate = row_effects.solved_and_rate(
                lower[group], rows.flatten(0, 1), residual.reshape(-1, 1)
            )
            shift = torch.einsum(
                "nd,nkd->nk", u[asked, group], solved.view_as(rows)
            ) * rate.view_as(residual)
            effect[asked] = self.scale[heads, None] * shift
        return effect.to(x.dtype)

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean of each target's head: the network's mean output over the training samples."""
        return self.offsets[target].float()

    def relevance(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch height width"] | None:
        """Return where in an image the posterior mean comes from; sums to mean - offset. None without a grid."""
        grid = self.features.grid(x)
        if grid is None:
            return None
        read = posterior.weights(self.state).transpose(1, 2).flatten(0, 1)[target]
        terms = torch.einsum("ndp,nd->np", self._places(x, target), self.scale[target, None] * read)
        return self._enlarged(terms, grid, x)

    def pair(
        self,
        x: Float[Tensor, "1 channel height width"],
        neighbour: Float[Tensor, "k channel height width"],
        target: int,
    ) -> tuple[Float[Tensor, "k height width"], Float[Tensor, "k height width"]]:
        """Return where the similarity of an image to its neighbours comes from: on the image, and on each neighbour.

        Each map sums to the similarity. A location counts by how its term differs from the mean
        term of the training samples at that location, so the maps are centred like the similarity
        is.

        Raises:
            ValueError: the embeddings do not split into locations.
        """
        grid = self.features.grid(x)
        if grid is None:
            raise ValueError(
                "pair needs images and a feature map with locations; use similarity for the others."
            )
        head = torch.full((1,), target)
        centre = self.centre[target // self._n_out].double()
        query = self._places(x, head) - centre
        other = self._places(neighbour, head.expand(len(neighbour))) - centre
        a, b = query.sum(-1), other.sum(-1)
        size = a.norm(dim=-1) * b.norm(dim=-1)
        rate = torch.where(size > 0, 1 / size.where(size > 0, 1.0), 0.0)[:, None]
        on_query = torch.einsum("dp,kd->kp", query[0], b) * rate
        on_other = torch.einsum("kdp,d->kp", other, a[0]) * rate
        return self._enlarged(on_query, grid, x), self._enlarged(on_other, grid, x)

    def effective_rank(self, is_centred: bool = False) -> Float64[Tensor, "group"]:
        """Return how many directions each kernel uses on the (centred) training samples, in [1, dim]."""
        return effective_rank(
            centred(self.a, self.centre.sum(-1), self.count) if is_centred else self.a
        )

    def decoded(
        self, where: Int[Tensor, "*which"] | slice, group: int
    ) -> Float64[Tensor, "*which dim"]:
        """Return the embeddings of some inducing points, by their positions, in the kernel space of a group."""
        return self.rows[where, group].double() * self.unit[group]

    def positions(self, index: Int[Tensor, "*which"]) -> Int[Tensor, "*which"]:
        """Return where training samples stand among the inducing points, which may be fewer and in another order.

        Raises:
            ValueError: a sample that is no inducing point.
        """
        order = self.index.argsort()
        where = order[torch.searchsorted(self.index[order], index).clamp(max=len(order) - 1)]
        if not torch.equal(self.index[where], index):
            foreign = index[self.index[where] != index][0].item()
            raise ValueError(
                f"index must be of inducing points, got {foreign}, which is none of the {len(order)}."
            )
        return where

    @property
    def _n_out(self) -> int:
        """How many heads share a kernel."""
        return int(self.c.shape[1])

    def _per_head(self, per_group: Tensor) -> Tensor:
        """Return numbers per group as numbers per head."""
        return per_group.repeat_interleave(self._n_out, -1)

    def _groups(self, target: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield each group that is asked about, with the positions of its queries."""
        group = target // self._n_out
        for which in group.unique().tolist():
            yield which, (group == which).nonzero()[:, 0]

    def _scored(
        self, x: Tensor, target: Tensor, by: str
    ) -> Iterator[Float64[Tensor, "batch block"]]:
        """Yield the similarity or contribution of one block of training samples after the other."""
        u = self(x)[torch.arange(len(x)), target // self._n_out].double()
        groups, centre = [*self._groups(target)], self.centre.double().sum(-1)
        w = posterior.weights(self.state) if by == "contribution" else None
        for start in range(0, len(self.rows), nearest.BLOCK):
            part = slice(start, start + nearest.BLOCK)
            v = self.targets[part]
            scores = torch.empty(len(u), len(v), dtype=torch.float64, device=u.device)
            for group, asked in groups:
                block, query = self.decoded(part, group), u[asked]
                if w is None:
                    scores[asked] = _unit(query - centre[group]) @ _unit(block - centre[group]).T
                else:
                    residual = (
                        v[:, target[asked]] - block @ w[group][:, target[asked] % self._n_out]
                    )
                    alpha = self.scale[target[asked]] * residual / self.noise[group]
                    scores[asked] = alpha.T * (query @ block.T)
            yield scores

    def _on_all(
        self, blocks: Iterator[Tensor], elsewhere: float, x: Tensor
    ) -> Float[Tensor, "batch n_train"]:
        """Return blocks of numbers per inducing point as numbers per training sample, in the type of x."""
        every = torch.full((len(x), int(self.n_train)), elsewhere, dtype=x.dtype, device=x.device)
        start = 0
        for block in blocks:
            every.index_copy_(1, self.index[start : start + block.shape[1]], block.to(x.dtype))
            start += block.shape[1]
        return every

    def _places(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the terms of each location, [batch, dim, place], float64."""
        return self(x, "locations")[torch.arange(len(x)), target // self._n_out].double()

    def _enlarged(self, terms: Tensor, grid: tuple[int, int], x: Tensor) -> Tensor:
        """Return terms [batch, place] as maps with the height and width of x."""
        height, width = x.shape[-2:]
        return spread(terms.unflatten(-1, grid), (height, width)).to(x.dtype)


def _unit(u: Tensor) -> Tensor:
    """Return vectors with norm 1 along the last dimension; a zero vector stays zero."""
    return nn.functional.normalize(u, dim=-1, eps=1e-12)
