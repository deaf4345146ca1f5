"""What a fit of GPEX leaves behind: predictions, and the training samples and places in the input they come from."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.surrogates import posterior
from gpex_bench.surrogates.kernel_map import KernelMap, spread
from gpex_bench.surrogates.posterior import State, Statistics
from gpex_bench.types import Posterior, Surrogate


class GpexSurrogate(Surrogate):
    """Gaussian processes conditioned on all training samples.

    Calling it gives the embeddings f(x), so that a hook on it counts every row; x is on the CPU.

    `similarity` is the cosine between embeddings centred on their mean over the training samples. Learned kernels
    nearly have rank one: all raw inner products are alike, and what tells neighbours apart is the rest.
    """

    kernel_map: KernelMap
    rows: Tensor  # [n_train, head, dim], f of the inducing points
    targets: Tensor  # [n_train, head], standardised outputs of the network there, float64
    a: Tensor  # to `scale`: the fields of `posterior.State`, float64
    b: Tensor
    c: Tensor
    count: Tensor
    noise: Tensor
    offsets: Tensor  # prior means; the method `offset` has the name
    scale: Tensor
    centre: Tensor  # [head, dim, place], mean over the inducing points of each location's term

    def __init__(self, kernel_map: KernelMap, n: int, n_places: int) -> None:
        """Make an empty surrogate for `n` inducing points and maps with `n_places` locations."""
        super().__init__()
        heads, dim = kernel_map.n_heads, kernel_map.dim
        double = partial(torch.zeros, dtype=torch.float64)
        self.kernel_map = kernel_map
        self.register_buffer("rows", torch.zeros(n, heads, dim))
        self.register_buffer("targets", double(n, heads))
        self.register_buffer("a", double(heads, dim, dim))
        self.register_buffer("b", double(heads, dim))
        self.register_buffer("c", double(heads))
        self.register_buffer("count", double(()))
        self.register_buffer("noise", double(heads))
        self.register_buffer("offsets", double(heads))
        self.register_buffer("scale", double(heads))
        self.register_buffer("centre", torch.zeros(heads, dim, n_places))

    @property
    def state(self) -> State:
        """The conditioned process."""
        sums = Statistics(a=self.a, b=self.b, c=self.c, count=self.count)
        return State(statistics=sums, noise=self.noise, offset=self.offsets, scale=self.scale)

    def forward(
        self, x: Float[Tensor, "batch *feature"], by_place: bool = False
    ) -> Float[Tensor, "batch head dim *place"]:
        """Return the embeddings, or their terms at each location."""
        return self.kernel_map.locations(x) if by_place else self.kernel_map(x)

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head; differentiable in x."""
        mean, latent = posterior.predict(self.state, self(x))
        variance = latent + self.scale.square() * self.noise
        return Posterior(mean=mean.to(x.dtype), variance=variance.to(x.dtype))

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the centred cosine with each inducing point in the kernel space of the target's head, in [-1, 1]."""
        rows = _unit(self.rows.double() - self._mean)[:, target]
        query = _unit(self._chosen(x, target) - self._mean[target])
        return torch.einsum("nd,mnd->nm", query, rows).to(x.dtype)

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return alpha_m k(x, x_m) in the units of the network's output; with `offset` it sums to the mean."""
        alpha = (self.scale * posterior.dual(self.state, self.rows, self.targets))[:, target]
        kernel = torch.einsum("nd,mnd->nm", self._chosen(x, target), self.rows[:, target].double())
        return (alpha.T * kernel).to(x.dtype)

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean of each target's head: the network's mean output over the training samples."""
        return self.offsets[target].float()

    def relevance(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch height width"] | None:
        """Return where in an image the posterior mean comes from; sums to mean - offset. None for tables."""
        grid = self.kernel_map.grid(x)
        if grid is None:
            return None
        readout = (self.scale[:, None] * posterior.weights(self.state))[target]
        terms = torch.einsum("ndp,nd->np", self._places(x, target), readout)
        return self._enlarged(terms, grid, x)

    def pair(
        self,
        x: Float[Tensor, "1 channel height width"],
        neighbour: Float[Tensor, "k channel height width"],
        target: int,
    ) -> tuple[Float[Tensor, "k height width"], Float[Tensor, "k height width"]]:
        """Return where the similarity of an image to its neighbours comes from: on the image, and on each neighbour.

        Each map sums to the similarity. A location counts by how its term differs from the mean term of the
        training samples at that location, so the maps are centred like the similarity is.

        Raises:
            ValueError: the surrogate's inputs are not images.
        """
        grid = self.kernel_map.grid(x)
        if grid is None:
            raise ValueError("pair needs images, got a surrogate of a table; use similarity.")
        head = torch.full((1,), target)
        centre = self.centre[target].double()
        query = self._places(x, head) - centre
        other = self._places(neighbour, head.expand(len(neighbour))) - centre
        a, b = query.sum(-1), other.sum(-1)
        size = a.norm(dim=-1) * b.norm(dim=-1)
        rate = torch.where(size > 0, 1 / size.where(size > 0, 1.0), 0.0)[:, None]
        on_query = torch.einsum("dp,kd->kp", query[0], b) * rate
        on_other = torch.einsum("kdp,d->kp", other, a[0]) * rate
        return self._enlarged(on_query, grid, x), self._enlarged(on_other, grid, x)

    @property
    def _mean(self) -> Tensor:
        """The mean embedding of the training samples, [head, dim]."""
        return self.centre.double().sum(-1)

    def _chosen(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the embeddings in the targets' kernel spaces, [batch, dim], float64."""
        return self(x)[torch.arange(len(x)), target].double()

    def _places(self, x: Tensor, target: Tensor) -> Tensor:
        """Return their terms at each location, [batch, dim, place], float64."""
        return self(x, by_place=True)[torch.arange(len(x)), target].double()

    def _enlarged(self, terms: Tensor, grid: tuple[int, int], x: Tensor) -> Tensor:
        """Return terms [batch, place] as maps with the height and width of x."""
        height, width = x.shape[-2:]
        return spread(terms.unflatten(-1, grid), (height, width)).to(x.dtype)


def _unit(u: Tensor) -> Tensor:
    """Return vectors with norm 1 along the last dimension; a zero vector stays zero."""
    return nn.functional.normalize(u, dim=-1, eps=1e-12)
