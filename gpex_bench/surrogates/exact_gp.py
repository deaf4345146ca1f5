"""An exact Gaussian process (gpytorch) on a random subset of the training samples.

One process per head on the scaled embedding, with an RBF or a linear kernel (both with one scale
for all directions); length scale, amplitude and noise maximise the marginal likelihood by Adam
(Rasmussen and Williams 2006, chapter 5; gardner2018gpytorch). Training samples outside the subset
do not enter: their contribution is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gpex_bench.surrogates.gp import posterior
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

OWN = 1998  # keeps the draw of the subset apart from other draws with the same seed
FLOOR = 1e-6  # of the noise, in units of the standardised outputs squared


class ExactGpSurrogate(Surrogate):
    """A gpytorch process per head on a subset of the training samples.

    Calling it gives the scaled embedding.
    """

    points: Tensor  # [point, width], scaled embeddings of the subset
    targets: Tensor  # [head, point], standardised outputs
    index: Tensor  # [point], rows in data.train
    n_train: Tensor
    centre: Tensor  # [width]
    size: Tensor
    offsets: Tensor  # [head]
    scale: Tensor  # [head]

    def __init__(self, model: Model, kernel: str, buffers: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.features = Embedding(model)
        self.kernel = kernel
        for name in BUFFERS:
            self.register_buffer(name, buffers[name])
        self.process = process(self.points, self.targets, kernel)

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "batch width"]:
        """Return the scaled embeddings."""
        return (self.features.vector(x).double() - self.centre) / self.size

    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head."""
        z = self(x)
        with exactly():
            latent = self.process(z.expand(len(self.targets), *z.shape))
            predicted = self.process.likelihood(latent)
            mean = self.offsets + self.scale * predicted.mean.T
            variance = self.scale.square() * predicted.variance.T
        return Posterior(mean=mean.to(x.dtype), variance=variance.to(x.dtype))

    def without(self, index: Int[Tensor, "k"]) -> ExactGpSurrogate:
        """Return the processes on the other samples of the subset, with the same kernel."""
        is_kept = ~torch.isin(self.index, index)
        buffers = {name: getattr(self, name) for name in BUFFERS}
        buffers["points"] = self.points[is_kept]
        buffers["targets"] = self.targets[:, is_kept]
        buffers["index"] = self.index[is_kept]

        rest = ExactGpSurrogate(self.features.network, self.kernel, buffers)
        rest.process.load_state_dict(self.process.state_dict())
        return rest.requires_grad_(False).eval()

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the correlation between the target's process at x and at each training sample.

        For samples outside the subset it is the least possible one: 0 for an RBF kernel, -1 for a
        linear one.
        """
        z = self(x)
        row = torch.arange(len(x))
        point_variance = self._kernel(self.points, diag=True)[target]
        query_variance = self._kernel(z, diag=True)[target, row]

        product = query_variance[:, None] * point_variance
        size = product.clamp(min=1e-300).sqrt()
        correlation = self._cross(z, target) / size

        least = 0.0 if self.kernel == "rbf" else -1.0
        return self._on_all(correlation, least).to(x.dtype)

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return alpha_m k(x, x_m) in the units of the output; sums to mean - offset.

        It is 0 outside the subset.
        """
        z = self(x)
        eye = torch.eye(len(self.points), dtype=z.dtype)
        noise = self.process.likelihood.noise[..., None] * eye
        covariance = self._kernel(self.points, self.points) + noise

        lower = torch.linalg.cholesky(covariance)
        alpha = torch.cholesky_solve(self.targets[..., None], lower)[..., 0]

        weight = self.scale[target, None] * alpha[target]
        shares = weight * self._cross(z, target)
        return self._on_all(shares, 0.0).to(x.dtype)

    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean: the network's mean output over the training samples."""
        return self.offsets[target].float()

    def _kernel(self, *z: Tensor, diag: bool = False) -> Tensor:
        """Return the kernel of every head."""
        per_head = [part.expand(len(self.targets), *part.shape) for part in z]
        kernel = self.process.kernel(*per_head, diag=diag)
        return kernel if diag else kernel.to_dense()

    def _cross(self, z: Tensor, target: Tensor) -> Float64[Tensor, "batch point"]:
        """Return the kernel of each query's target between the query and the subset."""
        return self._kernel(z, self.points)[target, torch.arange(len(z))]

    def _on_all(self, per_point: Tensor, elsewhere: float) -> Tensor:
        """Return numbers per training sample from numbers per point."""
        shape = (len(per_point), int(self.n_train))
        every = torch.full(shape, elsewhere, dtype=per_point.dtype)
        return every.index_copy(1, self.index, per_point)


BUFFERS = ("points", "targets", "index", "n_train", "centre", "size", "offsets", "scale")


@settings
class ExactGp(Recipe):
    """Exact Gaussian processes on random training samples' embeddings (gpytorch)."""

    n_points: int = 500  # size of the subset; cost grows with its cube
    kernel: Literal["rbf", "linear"] = "rbf"
    n_tuned: int = 200  # points of the subset whose marginal likelihood is maximised
    n_steps: int = 60  # of Adam
    learning_rate: float = 0.1
    device: str = "cpu"  # where the training samples are embedded

    def __post_init__(self) -> None:
        demands.at_least(self, 2, "n_points", "n_tuned")
        demands.at_least(self, 0, "n_steps")
        demands.positive(self, "learning_rate")
        demands.one_of(self, kernel=("rbf", "linear"))

    def fit(self, model: Model, data: Dataset, seed: int, progress: Progress) -> ExactGpSurrogate:
        """Draw the subset, tune each head's kernel on a part of it and condition on all of it.

        Raises:
            ValueError: outputs or embeddings that are not finite, or fewer than 2 training samples.
        """
        draw = int(np.random.SeedSequence([seed, OWN]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(draw)

        u, y = embedded(model, data.train.x, self.device)
        offsets, scale = posterior.target_units(y)
        centre = u.double().mean(0)
        size = (u - centre).square().sum(1).mean().sqrt()
        size = torch.where(size > 0, size, 1.0)

        index = torch.randperm(len(u), generator=generator)[: self.n_points]
        points = (u[index] - centre) / size
        targets = posterior.standardised(y[index], offsets, scale).T.contiguous()
        state = self._tune(points[: self.n_tuned], targets[:, : self.n_tuned], progress)

        buffers = {
            "points": points,
            "targets": targets,
            "index": index,
            "n_train": torch.tensor(len(u)),
            "centre": centre,
            "size": size,
            "offsets": offsets,
            "scale": scale,
        }
        surrogate = ExactGpSurrogate(model, self.kernel, buffers)
        surrogate.process.load_state_dict(state)
        return surrogate.requires_grad_(False).eval()

    def restore(self, model: Model, data: Dataset, state: Mapping[str, Tensor]) -> ExactGpSurrogate:
        """Return the fitted surrogate whose state_dict this is; ValueError for a foreign one."""
        buffers = {name: demands.entry(state, name, self) for name in BUFFERS}
        if int(buffers["n_train"]) != len(data.train.x):
            raise demands.foreign(self, f"it is of {int(buffers['n_train'])} training samples")
        return demands.loaded(ExactGpSurrogate(model, self.kernel, buffers), state, self)

    def _tune(self, points: Tensor, targets: Tensor, progress: Progress) -> Mapping[str, Tensor]:
        """Raise the marginal likelihood of processes by Adam; return their state."""
        from gpytorch.mlls import ExactMarginalLogLikelihood

        gp = process(points, targets, self.kernel).train()
        likelihood = ExactMarginalLogLikelihood(gp.likelihood, gp)
        optimiser = torch.optim.Adam(gp.parameters(), lr=self.learning_rate)

        with exactly():
            for step in range(1, self.n_steps + 1):
                optimiser.zero_grad()
                loss = -likelihood(gp(*gp.train_inputs), gp.train_targets).sum()
                loss.backward()
                optimiser.step()

                if step % 20 == 0 or step == self.n_steps:
                    evidence = -loss.item() / len(targets)
                    progress(f"step {step}/{self.n_steps}  evidence {evidence:.3f} per target")
        return dict(gp.state_dict())


def process(
    points: Float64[Tensor, "point width"], targets: Float64[Tensor, "head point"], kernel: str
) -> Any:
    """Return untrained gpytorch processes with zero mean, one per head, float64, in eval mode."""
    import gpytorch

    class Process(gpytorch.models.ExactGP):
        """One process per head; a class of this function, because gpytorch is imported here."""

        def __init__(self) -> None:
            heads = torch.Size([len(targets)])
            likelihood = gpytorch.likelihoods.GaussianLikelihood(
                noise_constraint=gpytorch.constraints.GreaterThan(FLOOR), batch_shape=heads
            )
            super().__init__(points.expand(len(targets), *points.shape), targets, likelihood)

            self.mean = gpytorch.means.ZeroMean(batch_shape=heads)
            if kernel == "rbf":
                base = gpytorch.kernels.RBFKernel(batch_shape=heads)
                self.kernel = gpytorch.kernels.ScaleKernel(base, batch_shape=heads)
            else:
                self.kernel = gpytorch.kernels.LinearKernel(batch_shape=heads)

        def forward(self, z: Tensor) -> Any:
            return gpytorch.distributions.MultivariateNormal(self.mean(z), self.kernel(z))

    gp = Process().double()
    gp.likelihood.noise = 1e-2
    if kernel == "rbf":
        gp.kernel.base_kernel.lengthscale = 2.0
    return gp.eval()


@contextmanager
def exactly() -> Iterator[None]:
    """Make gpytorch solve by Cholesky factors only, whatever the size."""
    from gpytorch import settings as how

    cholesky_only = how.fast_computations(False, False, False)
    any_size = how.max_cholesky_size(10**9)
    no_checks = how.debug(False)
    with cholesky_only, any_size, no_checks:
        yield
