"""GPEX: one Gaussian process per head on a learned kernel map, with every training sample as an inducing point.

Reference: Akbarnejad, Bigras, Ray (2023), "GPEX, A Framework For Interpreting Artificial Neural Networks"; `docs/gpex.md` has
the equations and what differs from the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.surrogates import matching, posterior, refresh
from gpex_bench.surrogates.kernel_map import Init, KernelMap, kernel_map, spread
from gpex_bench.surrogates.matching import Schedule, Targets, in_chunks
from gpex_bench.surrogates.posterior import State, Statistics
from gpex_bench.types import Dataset, Model, Posterior, Recipe, Surrogate, settings


class GpexSurrogate(Surrogate):
    """Gaussian processes conditioned on all training samples.

    Calling it gives the embeddings f(x), so that a hook on it counts every row; x is on the CPU.

    `similarity` is the cosine between embeddings centred on their mean over the training samples. Learned kernels nearly
    have rank one: all raw inner products are alike, and what tells neighbours apart is the rest.
    """

    def __init__(self, kernel_map: KernelMap, n: int, n_places: int) -> None:
        """Make an empty surrogate for `n` inducing points and maps with `n_places` locations."""
        super().__init__()
        heads, dim = kernel_map.n_heads, kernel_map.dim
        double = partial(torch.zeros, dtype=torch.float64)
        self.kernel_map = kernel_map
        self.register_buffer("rows", torch.zeros(n, heads, dim))  # f of the inducing points
        self.register_buffer("targets", double(n, heads))  # standardised outputs of the network there
        self.register_buffer("a", double(heads, dim, dim))
        self.register_buffer("b", double(heads, dim))
        self.register_buffer("c", double(heads))
        self.register_buffer("count", double(()))
        self.register_buffer("noise", double(heads))
        self.register_buffer("offsets", double(heads))
        self.register_buffer("scale", double(heads))
        self.register_buffer("centre", torch.zeros(heads, dim, n_places))  # mean terms of the training samples

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


@settings
class Gpex(Recipe):
    """Gaussian processes on a kernel network that is trained to match the explained network."""

    dim: int = 20  # of each head's kernel space (paper: 20)
    width: int = 256  # channels of the hidden layer(s) added to the trunk, or of a table's perceptron
    norm: float = 1.0  # of an embedding (the paper's text; its code has 0.1)
    init: Init = "network"  # the trunk of an image kernel map: a copy of the network's, or the same with new weights
    statistics: Literal["running", "stored"] = "running"  # see `refresh`
    window: float = 20  # memory of the running statistics, mini-batches
    n_steps: int = 800
    batch_size: int = 64  # mixed inputs per step
    n_refreshed: int = 64  # inducing points embedded anew per step; at least 3 * dim avoids over-fitting the batch
    learning_rate: float = 5e-3
    trunk_learning_rate: float = 1e-3  # 0 freezes the trunk
    perturbation: float = 0.0  # s.d. of noise added to mixed inputs, in units of the inputs
    held_out: float = 0.1  # share of the training samples kept from the gradient, to judge the progress
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("dim", "width", "n_steps", "batch_size", "n_refreshed"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("norm", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name):g}.")
        for name in ("trunk_learning_rate", "perturbation"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or positive, got {getattr(self, name):g}.")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be a share in (0, 1), got {self.held_out:g}.")
        if self.window < 1:
            raise ValueError(f"window must be at least 1 mini-batch, got {self.window:g}.")
        if self.statistics not in ("running", "stored"):
            raise ValueError(f"statistics must be 'running' or 'stored', got {self.statistics!r}.")
        if self.init not in ("network", "random"):
            raise ValueError(f"init must be 'network' or 'random', got {self.init!r}.")

    def fit(self, model: Model, data: Dataset, seed: int, progress: Callable[[str], None]) -> GpexSurrogate:
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
        f = self._kernel_map(model, data, y.shape[1], seed).to(self.device)
        generator = torch.Generator().manual_seed(seed)
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
        return _conditioned(f.requires_grad_(False), x, y, noise).cpu().eval()

    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> GpexSurrogate:
        """Return the fitted surrogate whose state_dict this is.

        Raises:
            ValueError: the state belongs to another network, dataset or recipe.
        """
        try:
            n, n_heads, _ = state["rows"].shape
            surrogate = GpexSurrogate(self._kernel_map(model, data, n_heads, seed=0), n, state["centre"].shape[-1])
            surrogate.load_state_dict(dict(state))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"This is not the state of a {self} for {type(model).__name__}: {error}") from error
        return surrogate.requires_grad_(False).eval()

    def _kernel_map(self, model: Model, data: Dataset, n_heads: int, seed: int) -> KernelMap:
        """Return an untrained kernel map."""
        return kernel_map(
            model, data, n_heads, dim=self.dim, width=self.width, norm=self.norm, init=self.init, seed=seed
        )

    def _refresh(self, u: Tensor, v: Tensor) -> refresh.Refresh:
        """Return the policy that keeps the statistics up to date."""
        return refresh.Running(u, v, self.window) if self.statistics == "running" else refresh.Stored(u, v)

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


def _unit(u: Tensor) -> Tensor:
    """Return vectors with norm 1 along the last dimension; a zero vector stays zero."""
    return nn.functional.normalize(u, dim=-1, eps=1e-12)


def _conditioned(f: KernelMap, x: Tensor, y: Tensor, noise: Tensor) -> GpexSurrogate:
    """Return the surrogate that an exact pass over all training samples gives."""
    offset, scale = posterior.target_units(y)
    v = posterior.standardised(y, offset, scale)
    rows = in_chunks(f, x)
    places = f.locations(x[:1]).shape[-1]
    centre = in_chunks(lambda part: f.locations(part).double().sum(0, keepdim=True), x).sum(0) / len(x)
    state = posterior.condition(posterior.statistics(rows, v), noise, offset, scale)
    surrogate = GpexSurrogate(f, len(x), places).to(x.device)
    values = {"rows": rows, "targets": v, "centre": centre, "noise": noise, "offsets": offset, "scale": scale}
    values |= {name: getattr(state.statistics, name) for name in ("a", "b", "c", "count")}
    for name, tensor in values.items():
        getattr(surrogate, name).copy_(tensor)
    return surrogate
