"""A sparse variational Gaussian process with a deep kernel: the usual alternative to GPEX.

Features of the network are projected to `dim` numbers by a learned matrix (wilson2016deep); on them
lives a process per head with an RBF kernel and `n_inducing` learned inducing points
(hensman2015scalable). All of it is trained on the same mixed inputs as GPEX, by the predictive
likelihood (jankowiak2020parametric) or the variational bound.

The inducing points are learned and are no training samples, so that training samples have no shares
in a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.embedding import Embedding, embedded
from gpex_bench.surrogates.gpex_fit.mixing import drawn, mixed
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

OWN = 2015  # keeps its random numbers apart from other draws with the same seed
LINES = 20  # of progress


class DeepFeatures(nn.Module):
    """x -> a learned projection of the scaled embedding, [batch, dim], float64."""

    centre: Tensor  # [width]

    def __init__(self, network: Model, width: int, dim: int, is_trained: bool) -> None:
        """Take the network; `is_trained`: own a copy of it, which is trained too."""
        super().__init__()
        self.copy = deepcopy(network) if is_trained else None
        self.embedding = Embedding(network if self.copy is None else self.copy)
        self.register_buffer("centre", torch.zeros(width, dtype=torch.float64))
        self.projection = nn.Parameter(torch.zeros(width, dim, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "batch dim"]:
        """Return the features."""
        return self.project(self.embedding.vector(x))

    def project(self, u: Float[Tensor, "batch width"]) -> Float64[Tensor, "batch dim"]:
        """Return the projection of embeddings."""
        return (u.double() - self.centre) @ self.projection

    def start(self, u: Float64[Tensor, "n width"]) -> Float64[Tensor, "n dim"]:
        """Start from the principal directions, in units of the first's spread; return features."""
        self.centre.copy_(u.mean(0))
        centred = u - self.centre
        _, spread, directions = torch.linalg.svd(centred, full_matrices=False)

        # A constant embedding has no spread.
        unit = spread[0] / len(u) ** 0.5
        unit = torch.where(unit > 0, unit, 1.0)

        dim = min(self.projection.shape[1], len(directions))
        self.projection.data[:, :dim] = directions[:dim].T / unit
        return self.project(u).detach()


class SvgpSurrogate(Surrogate):
    """Sparse processes, one per head; calling it gives the features."""

    rows: Tensor  # [n_train, dim], features of the training samples
    offsets: Tensor  # [head]
    scale: Tensor  # [head]

    def __init__(self, features: DeepFeatures, process: Any, n_train: int, n_heads: int) -> None:
        super().__init__()
        self.features = features
        self.process = process
        double = partial(torch.zeros, dtype=torch.float64)
        self.register_buffer("rows", double(n_train, features.projection.shape[1]))
        self.register_buffer("offsets", double(n_heads))
        self.register_buffer("scale", double(n_heads))

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "batch dim"]:
        """Return the features."""
        return self.features(x)

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head."""
        predicted = self.process.likelihood(self.process(self(x)))
        mean = self.offsets + self.scale * predicted.mean.T
        variance = self.scale.square() * predicted.variance.T
        return Posterior(mean=mean.to(x.dtype), variance=variance.to(x.dtype))

    def without(self, index: Int[Tensor, "k"]) -> SvgpSurrogate:
        """Return itself: predictions use no training sample but through the training."""
        return self

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the prior correlation of the target at x and each training sample, in [0, 1]."""
        z = self(x)
        lengths = self.process.kernel.base_kernel.lengthscale
        length = lengths[target, 0]
        rate = length.square().reciprocal().expand_as(z)

        # |z - row|^2 / length^2
        own = (z.square() * rate).sum(1)[:, None]
        other = rate @ self.rows.square().T
        product = 2 * (z * rate) @ self.rows.T
        squared = own + other - product

        correlation = torch.exp(-0.5 * squared.clamp(min=0))
        return correlation.to(x.dtype)

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Raise NotImplementedError: the inducing points are no training samples."""
        raise NotImplementedError(
            "svgp has no contributions of training samples: its inducing points are learned and "
            "are none of them. Use similarity, or a surrogate that is conditioned on the training "
            "samples, such as gpex."
        )

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean: the network's mean output over the training samples."""
        return self.offsets[target].float()


@settings
class Svgp(Recipe):
    """Sparse variational Gaussian processes with a deep kernel, trained on mixed inputs."""

    n_inducing: int = 64  # learned points per process
    dim: int = 20  # numbers that the embedding is projected to
    inducing: Literal["shared", "per_head"] = "shared"
    objective: Literal["pll", "elbo"] = "pll"
    n_mixed: int = 4000  # mixed inputs to train on
    n_steps: int = 400
    batch_size: int = 64
    learning_rate: float = 0.01  # of projection, kernel and inducing points
    # of a copy of the network whose embedding is projected; 0: the network's own
    trunk_learning_rate: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        demands.at_least(self, 2, "n_mixed")
        demands.at_least(self, 1, "n_inducing", "dim", "n_steps", "batch_size")
        demands.at_least(self, 0, "trunk_learning_rate")
        demands.positive(self, "learning_rate")
        demands.one_of(self, inducing=("shared", "per_head"), objective=("pll", "elbo"))

    def fit(self, model: Model, data: Dataset, seed: int, progress: Progress) -> SvgpSurrogate:
        """Train kernel and inducing points on mixed inputs.

        Raises:
            ValueError: outputs or embeddings that are not finite, or fewer than 2 training samples.
            FloatingPointError: training diverged.
        """
        u, y = embedded(model, data.train.x, self.device)
        offsets, scale = posterior.target_units(y)
        draw = int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(draw)

        network = deepcopy(model).to(self.device).eval().requires_grad_(False)
        surrogate = self._empty(network, len(u), u.shape[1], y.shape[1])
        surrogate.offsets.copy_(offsets)
        surrogate.scale.copy_(scale)
        z = surrogate.features.start(u.double())

        # the samples on which intervals are calibrated stay out of the training
        is_trained = torch.ones(len(z), dtype=torch.bool)
        is_trained[self.calibration_samples(len(z), seed)] = False
        trained = is_trained.nonzero()[:, 0]
        drawn_first = torch.randperm(len(trained), generator=generator)[: self.n_inducing]
        chosen = trained[drawn_first]
        start(surrogate.process, z[chosen], posterior.standardised(y[chosen], offsets, scale).T)

        query = mixed(data.train.x[trained], self.n_mixed, generator)
        query_u, query_y = embedded(model, query, self.device)
        v = posterior.standardised(query_y, offsets, scale).to(self.device)
        is_frozen = surrogate.features.copy is None
        inputs = (query_u if is_frozen else query).to(self.device)
        self._train(surrogate.to(self.device), inputs, v, generator, progress)

        x = data.train.x.to(self.device)
        with torch.no_grad():
            parts = [surrogate(part) for part in x.split(self.batch_size)]
            surrogate.rows.copy_(torch.cat(parts))
        return self.restore(model, data, surrogate.cpu().state_dict())

    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> SvgpSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        width = len(demands.entry(state, "features.centre", self))
        n_heads = len(demands.entry(state, "offsets", self))
        empty = self._empty(model, len(data.train.x), width, n_heads)
        return demands.loaded(empty, state, self)

    def _empty(self, network: Model, n_train: int, width: int, n_heads: int) -> SvgpSurrogate:
        """Return an untrained surrogate of a network whose embedding has this width."""
        features = DeepFeatures(network, width, self.dim, self.trunk_learning_rate > 0)
        n_trained = n_train - len(self.calibration_samples(n_train, 0))
        shape: tuple[int, ...] = (min(self.n_inducing, n_trained), self.dim)
        if self.inducing == "per_head":
            shape = (n_heads, *shape)
        points = torch.zeros(shape, dtype=torch.float64)
        return SvgpSurrogate(features, sparse(points, n_heads), n_train, n_heads)

    def _train(
        self,
        surrogate: SvgpSurrogate,
        x: Tensor,
        v: Tensor,
        generator: torch.Generator,
        progress: Progress,
    ) -> None:
        """Raise the objective by Adam.

        x are the inputs, or their embeddings where the network is not trained.
        """
        from gpytorch.mlls import PredictiveLogLikelihood, VariationalELBO
        from linear_operator.utils.errors import NanError

        kind = PredictiveLogLikelihood if self.objective == "pll" else VariationalELBO
        process = surrogate.process.train()
        objective = kind(process.likelihood, process, num_data=len(surrogate.rows))
        is_frozen = surrogate.features.copy is None
        features = surrogate.features.project if is_frozen else surrogate.features

        optimiser = self._optimiser(surrogate)
        rates = [group["lr"] for group in optimiser.param_groups]
        decay = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, rates, total_steps=self.n_steps, pct_start=0.1
        )
        pace = max(1, self.n_steps // LINES)
        for step in range(1, self.n_steps + 1):
            index = drawn(len(x), self.batch_size, generator).to(x.device)
            try:
                loss = -objective(process(features(x[index])), v[index].T).mean()
            except NanError as error:
                raise self._diverged(step) from error
            if not loss.isfinite():
                raise self._diverged(step)

            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
            if step % pace == 0 or step == self.n_steps:
                progress(f"step {step}/{self.n_steps}  loss {loss.item():.3f}")

    def _diverged(self, step: int) -> FloatingPointError:
        """Return the error of a training that diverged at this step."""
        return FloatingPointError(
            f"The loss is not finite at step {step} of {self.n_steps}; lower learning_rate "
            f"({self.learning_rate:g}) or trunk_learning_rate ({self.trunk_learning_rate:g})."
        )

    def _optimiser(self, surrogate: SvgpSurrogate) -> torch.optim.Adam:
        """Return Adam for process, projection and, with another rate, the network's copy."""
        own = [*surrogate.process.parameters(), surrogate.features.projection]
        groups: list[dict[str, Any]] = [{"params": own, "lr": self.learning_rate}]
        if surrogate.features.copy is not None:
            trunk = surrogate.features.copy.requires_grad_(True)
            groups.append({"params": [*trunk.parameters()], "lr": self.trunk_learning_rate})
        return torch.optim.Adam(groups)


def sparse(points: Float64[Tensor, "*head inducing dim"], n_heads: int) -> Any:
    """Return untrained gpytorch processes with zero mean, one per head, float64."""
    import gpytorch
    from gpytorch.variational import CholeskyVariationalDistribution, VariationalStrategy

    heads = torch.Size([n_heads])

    class Sparse(gpytorch.models.ApproximateGP):
        """One process per head; a class of this function, because gpytorch is imported here."""

        def __init__(self) -> None:
            guess = CholeskyVariationalDistribution(points.shape[-2], batch_shape=heads)
            strategy = VariationalStrategy(self, points, guess, learn_inducing_locations=True)
            super().__init__(strategy)

            self.mean = gpytorch.means.ZeroMean(batch_shape=heads)
            base = gpytorch.kernels.RBFKernel(batch_shape=heads)
            self.kernel = gpytorch.kernels.ScaleKernel(base, batch_shape=heads)
            self.likelihood = gpytorch.likelihoods.GaussianLikelihood(batch_shape=heads)

        def forward(self, z: Tensor) -> Any:
            return gpytorch.distributions.MultivariateNormal(self.mean(z), self.kernel(z))

    process = Sparse().double()
    process.kernel.base_kernel.lengthscale = 2.0
    process.likelihood.noise = 0.1
    # by `start`, and not at random
    process.variational_strategy.variational_params_initialized.fill_(1)
    return process


def start(
    process: Any, z: Float64[Tensor, "inducing dim"], v: Float64[Tensor, "head inducing"]
) -> None:
    """Start at inducing points z with the values v there and a tenth of the prior's spread.

    gpytorch starts at the prior mean, from where the noise often grows until it explains
    everything.
    """
    strategy = process.variational_strategy
    strategy.inducing_points.data.copy_(z.expand_as(strategy.inducing_points))
    with torch.no_grad():
        gram = process.kernel(z.expand(len(v), *z.shape)).to_dense()
        eye = torch.eye(len(z), dtype=z.dtype)
        lower = torch.linalg.cholesky(gram + 1e-2 * eye)
        whitened = torch.linalg.solve_triangular(lower, v[..., None], upper=False)

        guess = strategy._variational_distribution
        guess.variational_mean.copy_(whitened[..., 0])
        guess.chol_variational_covar.copy_(0.1 * eye.expand_as(guess.chol_variational_covar))
