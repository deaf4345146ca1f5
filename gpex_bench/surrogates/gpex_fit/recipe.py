"""What the presets of GPEX share: every ingredient of a fit is a field, a preset sets defaults.

Akbarnejad, Bigras, Ray (2023), "GPEX, A Framework For Interpreting Artificial Neural Networks";
`docs/gpex.md` has the equations, the presets side by side, and the reason of each ingredient.
"""

from __future__ import annotations

import hashlib
from abc import ABC
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import astuple, replace
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.conditioning import Rows, WeightSpaceSurrogate, conditioned, restored
from gpex_bench.surrogates.gp.row_store import RowStore
from gpex_bench.surrogates.gp.streaming import streamed
from gpex_bench.surrogates.gpex_fit import matching, refresh
from gpex_bench.surrogates.gpex_fit.kernel_map import KernelMap, Shape, kernel_map
from gpex_bench.surrogates.gpex_fit.matching import Samples, Schedule, Targets, Training
from gpex_bench.surrogates.gpex_fit.mixing import mixed
from gpex_bench.surrogates.gpex_fit.observation import Held
from gpex_bench.surrogates.gpex_fit.step import Objective
from gpex_bench.surrogates.gpex_fit.trunks import Trunk, quicker
from gpex_bench.types import Dataset, Model, Progress, Recipe, demands, settings
from gpex_bench.types.batches import FORWARD_ROWS, in_chunks

# keeps GPEX's random numbers apart from those that the network's weights came from, also with equal
# seeds
OWN = 2023
FORMAT = 3  # of checkpoints; another number makes the old ones foreign
Statistics = Literal["running", "stored", "batch"]


@settings
class GpexRecipe(Recipe, ABC):
    """Gaussian processes on a kernel network that is trained to match the explained network."""

    # kernel
    dim: int = 20  # of each kernel space
    width: int = 256  # of the hidden layer between trunk and embedding
    norm: float  # of an embedding; only its ratio to the noise matters
    # of the leaky ReLU at the end; 1 leaves it out, so that embeddings may point in opposite
    # directions
    slope: float
    trunk: Trunk  # where the kernel network's first layers come from
    shared: bool = False  # one kernel for all heads, or one per head
    # evens out the kernel's directions after training; smaller is stronger, null leaves them
    whitening: float | None

    # process
    # targets per head, so that one scale of noise and a zero prior mean suit every head
    standardise: bool
    noise: float | None  # the ridge s2 in training; null learns one per kernel
    noise_per_point: bool = False  # a fixed noise is multiplied by the number of inducing points
    # the final s2, in units of the inducing points' summed squared norm; null keeps that of
    # training
    ridge: float | None
    # the noise in intervals depends on the input
    input_noise: bool
    # how many training samples the processes are conditioned on; null is all
    n_inducing: int | None = None
    # how embeddings are kept, in training (statistics: stored) and after; int16: fixed point
    rows: Rows = "float32"

    # training
    # predictive density, or the squared error over the clamped, detached latent variance
    objective: Objective
    # how the sums over the inducing points follow the kernel network, see `refresh`
    statistics: Statistics
    window: int = 20  # memory of the running statistics, mini-batches
    n_steps: int
    second_steps: int  # a second phase after one refresh of all rows; 0 leaves it out
    updates: int  # row mini-batches refreshed per step of the second phase
    batch_size: int = 64  # mixed inputs per step
    # inducing points with a new embedding per step; at least 3 * dim avoids over-fitting the batch
    n_refreshed: int = 64
    learning_rate: float
    trunk_learning_rate: float  # 0 freezes the trunk
    decay: bool  # learning rates rise and fall in one cycle, or stay
    perturbation: float  # s.d. of noise added to mixed inputs, in units of the inputs
    # share of the training samples kept from the gradient, to judge and to calibrate
    held_out: float = 0.1
    device: str = "cpu"

    def __post_init__(self) -> None:
        demands.at_least(
            self, 1, "dim", "width", "n_steps", "batch_size", "n_refreshed", "window", "updates"
        )
        demands.at_least(self, 0, "second_steps", "trunk_learning_rate", "perturbation", "slope")
        demands.positive(self, "norm", "learning_rate")
        for name in ("noise", "ridge", "whitening"):
            if getattr(self, name) is not None:
                demands.positive(self, name)
        demands.one_of(
            self,
            trunk=get_args(Trunk),
            statistics=get_args(Statistics),
            objective=get_args(Objective),
            rows=get_args(Rows),
        )

        if self.n_inducing is not None and self.n_inducing <= self.dim:
            raise ValueError(
                f"n_inducing must be null or more than dim ({self.dim}), got {self.n_inducing}."
            )
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be a share in (0, 1), got {self.held_out!r}.")
        if self.objective == "latent" and self.noise is None:
            raise ValueError(
                "noise must be fixed for the objective 'latent', which does not depend on it, "
                "got None."
            )

    def fit(
        self, model: Model, data: Dataset, seed: int, progress: Progress
    ) -> WeightSpaceSurrogate:
        """Train the kernel map, then condition the processes on the inducing points exactly.

        Raises:
            ValueError: the network's outputs are not finite, it has none, there are too few
                training samples (also for n_inducing), or a checkpoint belongs to another fit.
            FloatingPointError: training diverged.
        """
        n = len(data.train.x)
        self._check_samples(n)
        start_seed, order_seed, check_seed = _seeds(seed)
        order = self._order(n, seed)
        n_held_out = self._n_held_out(n)
        held_out = order[:n_held_out]
        rest = order[n_held_out:]

        network = deepcopy(model).to(self.device).eval().requires_grad_(False)
        trunk = getattr(network, "trunk", None)
        if isinstance(trunk, nn.Module):
            network.trunk = quicker(trunk, data.is_image)
        x = data.train.x.to(self.device)
        y = in_chunks(network.explained, x)
        targets = Targets(network=network.explained, **self._units(y))
        v = posterior.standardised(y, targets.offset, targets.scale)

        f = self._kernel_map(model, data, y.shape[1], start_seed).to(self.device)
        check_x = mixed(x[held_out], matching.N_CHECK, torch.Generator().manual_seed(check_seed))
        rest_x = x[rest]
        samples = Samples(
            x=rest_x,
            inducing=rest_x[: self.n_inducing],  # a view
            v=v[rest[: self.n_inducing]],
            check=Held(x=check_x, v=targets(check_x)),
        )
        training = self._training(f, samples, targets, order_seed)
        noise = training.run(progress, self._key(model, data, seed))

        f.requires_grad_(False)
        final_noise = self._finish(f, samples, noise, n)
        index = None if self.n_inducing is None else rest[: self.n_inducing]
        return conditioned(
            f,
            network,
            data,
            final_noise,
            index=index,
            outputs=y.cpu() if index is None else y[index].cpu(),
            units=(targets.offset.cpu(), targets.scale.cpu()),
            kind=self.rows,
            device=self.device,
        )

    def restore(
        self, model: Model, data: Dataset, state: Mapping[str, Tensor]
    ) -> WeightSpaceSurrogate:
        """Return the fitted surrogate whose state_dict this is.

        Raises:
            ValueError: the state belongs to another network, dataset or recipe.
        """
        n_heads = len(demands.entry(state, "offsets", self))
        features = self._kernel_map(model, data, n_heads, seed=0)
        return restored(features, data, state, f"a {self} for {type(model).__name__}")

    def calibration_samples(self, n_train: int, seed: int) -> Int[Tensor, "k"]:
        """Return the training samples that are kept from the gradient."""
        return self._order(n_train, seed)[: self._n_held_out(n_train)]

    def _order(self, n: int, seed: int) -> Int[Tensor, "n"]:
        """Return the training samples in the order of visits, those held out first."""
        _, order_seed, _ = _seeds(seed)
        return torch.randperm(n, generator=torch.Generator().manual_seed(order_seed))

    def _n_held_out(self, n: int) -> int:
        """Return how many of n training samples are kept from the gradient."""
        return max(2, round(self.held_out * n))

    def _check_samples(self, n: int) -> None:
        """Raise ValueError if n training samples are too few."""
        if n <= self.dim or n < 3:
            raise ValueError(
                f"data.train must have more samples than dim ({self.dim}), got {n}; a kernel space "
                "of as many dimensions as samples fits anything. Lower dim."
            )
        n_rest = n - self._n_held_out(n)
        if self.n_inducing is not None and self.n_inducing > n_rest:
            raise ValueError(
                f"n_inducing must be at most {n_rest}, which is what held_out ({self.held_out}) "
                f"leaves of {n} training samples, got {self.n_inducing}; null is all of them, also "
                "those held out from the gradient."
            )

    def _units(self, y: Float[Tensor, "n head"]) -> dict[str, Tensor]:
        """Return offset and scale of the targets."""
        offset, scale = posterior.target_units(y)
        if self.standardise:
            return {"offset": offset, "scale": scale}
        return {"offset": torch.zeros_like(offset), "scale": torch.ones_like(scale)}

    def _kernel_map(self, model: Model, data: Dataset, n_heads: int, seed: int) -> KernelMap:
        """Return an untrained kernel map."""
        is_spatial = model.grid(data.train.x[:1]) is not None
        if is_spatial and self.shared:
            raise ValueError(
                "shared must be false for heads that are places of an attention map, got true: "
                "each of them has a kernel of its own."
            )
        shape = Shape(
            n_groups=1 if self.shared else n_heads,
            n_heads=n_heads,
            dim=self.dim,
            width=self.width,
            norm=self.norm,
            slope=self.slope,
            is_spatial=is_spatial,
            is_noisy=self.input_noise,
        )
        return kernel_map(model, data, shape, self.trunk, seed)

    def _training(self, f: KernelMap, samples: Samples, targets: Targets, seed: int) -> Training:
        """Return a training of the kernel map that is yet to run."""
        noise = None
        if self.noise is not None:
            s2 = self.noise * (len(samples.v) if self.noise_per_point else 1)
            shape = (f.shape.n_groups,)
            noise = torch.full(shape, s2, dtype=torch.float64, device=samples.v.device)
        return Training(
            f,
            samples,
            targets,
            self._schedule(),
            refresh=self._refresh(f, samples),
            noise=noise,
            generator=torch.Generator().manual_seed(seed),
        )

    def _finish(
        self, f: KernelMap, samples: Samples, noise: Float64[Tensor, "group"], n_train: int
    ) -> Float64[Tensor, "group"]:
        """Even out and scale the trained kernel in place; return the noise to condition with.

        A kernel and its ridge can be scaled together without a change of the mean. The scale is the
        one with the largest evidence, the mean of v (v - mean) over s2 (heads that never vary do
        not count), so that variances have the size of the residuals.
        """
        if self.whitening is None and self.ridge is None:
            return noise

        sums = _sums(f, samples)
        if self.whitening is not None:
            f.whiten(sums.a / sums.count, self.whitening)
            # the statistics of the embeddings that `whiten` gives, without another pass
            w = f.mixer.double()
            sums = replace(sums, a=w @ sums.a @ w.mT, b=w @ sums.b)
        if self.ridge is None:
            return noise

        trace = sums.a.diagonal(dim1=-2, dim2=-1).sum(-1)
        s2 = self.ridge * trace
        w = posterior.weights(matching.unit_state(sums, s2.log()))
        misfit = (sums.c - (sums.b * w).sum(1)).sum(1)  # v (v - mean), summed over the points
        n_varying = (sums.c > 0).sum(1).clamp(min=1)
        amplitude = misfit / (n_varying * s2 * sums.count)
        amplitude = torch.where(amplitude > 0, amplitude, 1.0)  # no head varies

        f.scale(amplitude.sqrt())
        n = n_train if self.n_inducing is None else len(samples.inducing)
        return amplitude * s2 / sums.count * n

    def _refresh(self, f: KernelMap, samples: Samples) -> refresh.Refresh:
        """Return the policy that keeps the statistics up to date."""
        if self.statistics == "running":
            return refresh.Running(_sums(f, samples), self.window)
        if self.statistics == "batch":
            return refresh.Batch(_sums(f, samples))
        bound = self.norm * max(1.0, self.slope)  # of every entry while the mixer is the identity
        shape = (len(samples.v), f.shape.n_groups, f.shape.dim)
        rows = RowStore(shape, self.rows, bound)
        return refresh.Stored(_sums(f, samples, rows), rows)

    def _schedule(self) -> Schedule:
        """Return how long and how fast to train."""
        return Schedule(
            n_steps=self.n_steps,
            second_steps=self.second_steps,
            updates=self.updates,
            batch_size=self.batch_size,
            n_refreshed=self.n_refreshed,
            learning_rate=self.learning_rate,
            trunk_learning_rate=self.trunk_learning_rate,
            is_decaying=self.decay,
            perturbation=self.perturbation,
            objective=self.objective,
        )

    def _key(self, model: Model, data: Dataset, seed: int) -> Tensor:
        """Return a hash of all that a fit depends on; a checkpoint has that of its fit."""
        settings_used = (FORMAT, type(self).__name__, astuple(self), seed)
        digest = hashlib.sha256(repr(settings_used).encode())
        for tensor in (*model.state_dict().values(), data.train.x):
            digest.update(tensor.detach().cpu().contiguous().view(-1).numpy())
        return torch.tensor([*digest.digest()], dtype=torch.uint8)


def _seeds(seed: int) -> list[int]:
    """Return the seeds of the kernel map, of the order of samples and of the mixtures to judge."""
    return np.random.SeedSequence([seed, OWN]).generate_state(3).tolist()


def _sums(f: KernelMap, samples: Samples, rows: RowStore | None = None) -> posterior.Statistics:
    """Return the statistics of the inducing points, in one pass that keeps no embedding.

    With `rows` the embeddings are stored there, and the statistics are those of the stored ones.
    """
    v = posterior.grouped(samples.v, f.shape.n_groups)

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        parts = zip(samples.inducing.split(FORWARD_ROWS), v.split(FORWARD_ROWS), strict=True)
        for x, targets in parts:
            with torch.no_grad():
                u = f(x)
            if rows is not None:
                here = slice(start, start + len(u))
                rows[here] = u
                u = rows[here].to(u)
            start += len(x)
            yield u, targets

    return streamed(blocks())
