"""The surrogate of every weight-space recipe: predictions, and what they come from."""

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
    """Gaussian processes on all or some training samples; one kernel per group of heads.

    Calling it calls its feature map, so that a hook on it counts every row. Explanations go over
    the training samples in blocks: nothing but their result grows with the number of samples.

    `similarity` is the cosine between embeddings centred on their mean over the training samples.
    Learned kernels nearly have rank one: all raw inner products are alike, and neighbours differ in
    the rest only.
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

    def forward(self, x: Tensor, method: str = "forward"):  # type: ignore[no-untyped-def]
        """Return what a method of the feature map (forward, locations or observe) returns for x."""
        return getattr(self.features, method)(x)

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head, with the observation noise in the variance.

        Differentiable in x.
        """
        u, noise = self(x, "observe")
        mean, latent = posterior.predict(self.state, u)
        noise = self._per_head(self.noise) if noise is None else noise.double()
        variance = latent + self.scale.square() * noise
        return Posterior(mean=mean.to(x.dtype), variance=variance.to(x.dtype))

    def without(self, index: Int[Tensor, "k"]) -> WeightSpaceSurrogate:
        """Return the processes conditioned on the other samples, with the same kernel and noise.

        Exact, and without a pass: the sums of the rows left out are subtracted.
        """
        is_gone = torch.isin(self.index, index)
        gone = is_gone.nonzero()[:, 0]
        n_groups = self.rows.shape[1]

        buffers = dict(self.named_buffers(recurse=False))
        for name in ("rows", "targets", "index"):
            buffers[name] = buffers[name][~is_gone]
        if len(gone):
            u = torch.stack([self.decoded(gone, group) for group in range(n_groups)], 1)
            targets = posterior.grouped(self.targets[gone], n_groups)
            lost = posterior.statistics(u, targets)
            rest = posterior.added(self.state.statistics, lost, -1.0)
            buffers |= {name: getattr(rest, name) for name in SUMS}
        return WeightSpaceSurrogate(self.features, buffers).eval()

    def covariance(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "head batch batch"]:
        """Return the joint covariance of the noise-free functions, in the units of the outputs."""
        return posterior.covariance(self.state, self(x))

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the centred cosine with each training sample in the target's kernel space.

        It is in [-1, 1]. Minus infinity for samples that are no inducing points.
        """
        blocks = self._similarities(x, target)
        return self._on_all(blocks, -torch.inf, x)

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return alpha_m k(x, x_m) in the units of the network's output.

        With `offset` it sums to the posterior mean. 0 for samples that are no inducing points.
        """
        blocks = self._contributions(x, target)
        return self._on_all(blocks, 0.0, x)

    def neighbours(
        self,
        x: Float[Tensor, "batch *feature"],
        target: Int[Tensor, "batch"],
        k: int,
        by: str = "similarity",
    ) -> Examples:
        """Return the k inducing points with the largest similarity or contribution.

        Memory does not grow with n_train.

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

        scores = self._similarities if by == "similarity" else self._contributions
        weight, index = nearest.largest(scores(x, target), k)
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
        points = self.positions(index)
        lower = posterior.factor(self.state)
        w = posterior.weights(self.state)
        u = self(x).double()

        effect = torch.zeros(points.shape, dtype=torch.float64, device=points.device)
        for group, queries in self._groups(target):
            heads = target[queries]
            output = heads % self._n_out

            rows = self.decoded(points[queries], group)
            fitted = torch.einsum("nkd,dn->nk", rows, w[group][:, output])
            residual = self.targets[points[queries], heads[:, None]] - fitted

            # P^-1 u_m, and how far the weights move along it
            solved, rate = row_effects.solved_and_rate(
                lower[group], rows.flatten(0, 1), residual.reshape(-1, 1)
            )
            kernel = torch.einsum("nd,nkd->nk", u[queries, group], solved.view_as(rows))
            shift = kernel * rate.view_as(residual)
            effect[queries] = self.scale[heads, None] * shift
        return effect.to(x.dtype)

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean of each target's head: its mean over the training samples."""
        return self.offsets[target].float()

    def relevance(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch height width"] | None:
        """Return where in an image the posterior mean comes from; sums to mean - offset.

        None where the embedding does not split into locations.
        """
        grid = self.features.grid(x)
        if grid is None:
            return None

        w = posterior.weights(self.state).transpose(1, 2).flatten(0, 1)[target]
        places = self._places(x, target)
        terms = torch.einsum("ndp,nd->np", places, self.scale[target, None] * w)
        return self._enlarged(terms, grid, x)

    def pair(
        self,
        x: Float[Tensor, "1 channel height width"],
        neighbour: Float[Tensor, "k channel height width"],
        target: int,
    ) -> tuple[Float[Tensor, "k height width"], Float[Tensor, "k height width"]]:
        """Return where the similarity of an image to its neighbours comes from, on either side.

        The first maps lie on the image, the second ones on the neighbours. Each map sums to the
        similarity. A location counts by how its term differs from the mean term of the training
        samples at that location, so the maps are centred like the similarity is.

        Raises:
            ValueError: the embeddings do not split into locations.
        """
        grid = self.features.grid(x)
        if grid is None:
            raise ValueError(
                "pair needs images and a feature map with locations; use similarity for the others."
            )

        # the terms of both, centred at each location
        head = torch.full((1,), target)
        centre = self.centre[target // self._n_out].double()
        query = self._places(x, head) - centre
        other = self._places(neighbour, head.expand(len(neighbour))) - centre

        # the similarity is u . u_k / (|u| |u_k|); it is 0 for a zero embedding
        u = query.sum(-1)
        u_k = other.sum(-1)
        size = u.norm(dim=-1) * u_k.norm(dim=-1)
        rate = torch.where(size > 0, 1 / size.where(size > 0, 1.0), 0.0)[:, None]

        on_query = torch.einsum("dp,kd->kp", query[0], u_k) * rate
        on_other = torch.einsum("kdp,d->kp", other, u[0]) * rate
        return self._enlarged(on_query, grid, x), self._enlarged(on_other, grid, x)

    def effective_rank(self, is_centred: bool = False) -> Float64[Tensor, "group"]:
        """Return how many directions each kernel uses on the (centred) inducing points."""
        if not is_centred:
            return effective_rank(self.a)
        return effective_rank(centred(self.a, self.centre.sum(-1), self.count))

    def decoded(
        self, where: Int[Tensor, "*which"] | slice, group: int
    ) -> Float64[Tensor, "*which dim"]:
        """Return embeddings of inducing points, by their positions, in a group's kernel space."""
        return self.rows[where, group].double() * self.unit[group]

    def positions(self, index: Int[Tensor, "*which"]) -> Int[Tensor, "*which"]:
        """Return the positions of training samples among the inducing points.

        These may be fewer than the training samples, and in another order.

        Raises:
            ValueError: a sample that is no inducing point.
        """
        order = self.index.argsort()
        rank = torch.searchsorted(self.index[order], index)
        where = order[rank.clamp(max=len(order) - 1)]

        is_other = self.index[where] != index
        if is_other.any():
            raise ValueError(
                f"index must be of inducing points, got {index[is_other][0].item()}, "
                f"which is not one of the {len(order)}."
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
        """Yield each group that a target belongs to, with the positions of its queries."""
        group = target // self._n_out
        for which in group.unique().tolist():
            yield which, (group == which).nonzero()[:, 0]

    def _similarities(self, x: Tensor, target: Tensor) -> Iterator[Float64[Tensor, "batch block"]]:
        """Yield the centred cosines with one block of inducing points after the other."""
        u = self._embedded(x, target)
        centre = self.centre.double().sum(-1)
        for part in self._parts():
            cosine = torch.empty(len(u), len(self.rows[part]), dtype=torch.float64, device=u.device)
            for group, queries in self._groups(target):
                query = _unit(u[queries] - centre[group])
                rows = _unit(self.decoded(part, group) - centre[group])
                cosine[queries] = query @ rows.T
            yield cosine

    def _contributions(self, x: Tensor, target: Tensor) -> Iterator[Float64[Tensor, "batch block"]]:
        """Yield alpha_m k(x, x_m) of one block of inducing points after the other."""
        u = self._embedded(x, target)
        w = posterior.weights(self.state)
        for part in self._parts():
            v = self.targets[part]
            shares = torch.empty(len(u), len(v), dtype=torch.float64, device=u.device)
            for group, queries in self._groups(target):
                heads = target[queries]
                rows = self.decoded(part, group)
                residual = v[:, heads] - rows @ w[group][:, heads % self._n_out]
                alpha = self.scale[heads] * residual / self.noise[group]
                shares[queries] = alpha.T * (u[queries] @ rows.T)
            yield shares

    def _embedded(self, x: Tensor, target: Tensor) -> Float64[Tensor, "batch dim"]:
        """Return the embedding of each query in the kernel space of its target."""
        return self(x)[torch.arange(len(x)), target // self._n_out].double()

    def _parts(self) -> Iterator[slice]:
        """Yield the blocks of inducing points."""
        for start in range(0, len(self.rows), nearest.BLOCK):
            yield slice(start, start + nearest.BLOCK)

    def _on_all(
        self, blocks: Iterator[Tensor], elsewhere: float, x: Tensor
    ) -> Float[Tensor, "batch n_train"]:
        """Return numbers per training sample, in the type of x, from those per inducing point."""
        every = torch.full((len(x), int(self.n_train)), elsewhere, dtype=x.dtype, device=x.device)
        start = 0
        for block in blocks:
            stop = start + block.shape[1]
            every.index_copy_(1, self.index[start:stop], block.to(x.dtype))
            start = stop
        return every

    def _places(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the terms of each location, [batch, dim, place], float64."""
        terms = self(x, "locations")
        return terms[torch.arange(len(x)), target // self._n_out].double()

    def _enlarged(self, terms: Tensor, grid: tuple[int, int], x: Tensor) -> Tensor:
        """Return terms [batch, place] as maps with the height and width of x."""
        height, width = x.shape[-2:]
        return spread(terms.unflatten(-1, grid), (height, width)).to(x.dtype)


def _unit(u: Tensor) -> Tensor:
    """Return vectors with norm 1 along the last dimension; a zero vector stays zero."""
    return nn.functional.normalize(u, dim=-1, eps=1e-12)
