"""Trains a kernel map so that the Gaussian processes on it predict the outputs of a frozen network.

A training can be kept and resumed: weights, Adam's moments, statistics of the inducing points, the
state of the generator and the step. The rest (learning rates, the inputs on which progress is
judged) follows from the settings and the seed, so that a resumed training gives the same bytes as
one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.posterior import State, Statistics
from gpex_bench.surrogates.gpex_fit import observation
from gpex_bench.surrogates.gpex_fit.kernel_map import KernelMap
from gpex_bench.surrogates.gpex_fit.mixing import mixed, sent
from gpex_bench.surrogates.gpex_fit.observation import Held
from gpex_bench.surrogates.gpex_fit.refresh import Refresh
from gpex_bench.surrogates.gpex_fit.step import Objective, Queries, Rows, step
from gpex_bench.types import Progress, demands, settings, value
from gpex_bench.types.batches import in_chunks

LINES = 20  # of progress
N_CHECK = 100  # mixed inputs on which the progress is judged
KEEP_S = 30.0  # seconds between checkpoints
WARM_UP = 0.1  # share of the steps in which a decaying learning rate rises first
COLDEST = 0.04  # share of the learning rate at the first step
LOG_START = -2.0  # logarithm of a learned noise before training
NOISE_RATE = 10.0  # learning rate of the noise, in units of that of the kernel network


@settings
class Schedule:
    """How long, how fast, and towards what."""

    n_steps: int
    second_steps: int  # a second phase, which begins with a refresh of all rows
    updates: int  # row mini-batches refreshed per step of the second phase
    batch_size: int  # mixed inputs per step
    n_refreshed: int  # inducing points with a new embedding per step
    learning_rate: float
    trunk_learning_rate: float  # 0 leaves the trunk as it is
    is_decaying: bool  # learning rates rise and then fall to 0 along a cosine
    perturbation: float  # standard deviation of the noise added to mixed inputs
    objective: Objective

    @property
    def total(self) -> int:
        """Steps of both phases."""
        return self.n_steps + self.second_steps

    def rate(self, at: int) -> float:
        """Return the share of the learning rates at a step, from 1 to `total`."""
        if not self.is_decaying:
            return 1.0

        warm = max(1.0, WARM_UP * self.total)
        if at <= warm:
            rise = 0.5 * (1 - math.cos(math.pi * at / warm))
            return COLDEST + (1 - COLDEST) * rise
        left = max(1.0, self.total - warm)
        return 0.5 * (1 + math.cos(math.pi * (at - warm) / left))


@value
class Targets:
    """The frozen network, and the units in which its outputs are matched."""

    network: Callable[[Tensor], Tensor]
    offset: Float64[Tensor, "head"]
    scale: Float64[Tensor, "head"]

    def __call__(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "batch head"]:
        """Return standardised outputs."""
        with torch.no_grad():
            return posterior.standardised(self.network(x), self.offset, self.scale)


@value
class Samples:
    """The samples that a kernel map is trained on, on one device, in the order of visits."""

    x: Float[Tensor, "n *feature"]  # training samples that queries are mixed from
    inducing: Float[Tensor, "m *feature"]
    v: Float64[Tensor, "m head"]  # standardised outputs at the inducing points
    check: Held  # mixtures of held-out samples, on which the progress is judged


class Training:
    """A training under way."""

    def __init__(  # noqa: PLR0913 - the pieces of a training, each named
        self,
        kernel_map: KernelMap,
        samples: Samples,
        targets: Targets,
        schedule: Schedule,
        *,
        refresh: Refresh,
        noise: Float64[Tensor, "group"] | None,
        generator: torch.Generator,
    ) -> None:
        """Begin; `noise` is the fixed ridge s2, or None to learn it from the predictive density."""
        self.kernel_map = kernel_map
        self.samples = samples
        self.targets = targets
        self.schedule = schedule
        self.refresh = refresh
        self.generator = generator
        self.done = 0  # steps

        n_groups = kernel_map.shape.n_groups
        if noise is None:
            start = torch.full_like(targets.offset[:n_groups], LOG_START)
        else:
            start = noise.log()
        self.is_learned = noise is None
        self.log_noise = nn.Parameter(start, requires_grad=self.is_learned)
        self.optimiser = self._optimiser()
        self._grouped_v = posterior.grouped(samples.v, n_groups)

    def run(self, progress: Progress, key: Tensor) -> Float64[Tensor, "group"]:
        """Train to the end and return the noise of each group.

        Args:
            progress: is given lines, and keeps checkpoints.
            key: identifies the fit that a checkpoint belongs to.

        Raises:
            FloatingPointError: the loss is not a number; seen at the next line of progress.
            ForeignCheckpoint, DamagedCheckpoint: what was kept cannot be resumed.
        """
        kept = progress.kept()
        if kept is not None:
            self.resume(kept, key)
            progress(f"resumed at step {self.done}/{self.schedule.total}")

        pace = max(1, self.schedule.total // LINES)
        first_step = self.done
        start = time.monotonic()
        last_kept = start
        while self.done < self.schedule.total:
            loss, sums = self.advance()
            is_line = self.done % pace == 0 or self.done == self.schedule.total
            is_due = time.monotonic() - last_kept >= KEEP_S

            # looking at the loss waits for the device, so not at every step
            if is_line or is_due:
                self._check_finite(loss)
            if is_due:
                progress.keep(self.state() | {"key": key})
                last_kept = time.monotonic()
            if is_line:
                seconds = max(1e-9, time.monotonic() - start)
                speed = (self.done - first_step) / seconds
                progress(self._line(loss, sums, speed))
        return self.log_noise.detach().exp()

    def advance(self) -> tuple[Float64[Tensor, ""], Statistics]:
        """Take one step; only where rows are stored (`refresh.Stored`) it waits for the device."""
        plan = self.schedule
        if self.done == plan.n_steps:
            self._refresh_all()
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * plan.rate(self.done)

        # queries and inducing points pass through the kernel network in one batch
        query = self._query()
        index = self.refresh.drawn(plan.n_refreshed)
        x = torch.cat([query, self.samples.inducing[index]])
        pooled = self.kernel_map.pooled(x)
        u = self.kernel_map.embedded(pooled)
        v = self.targets(query)

        rows = Rows(index=index, u=u[len(query) :], targets=self._grouped_v[index])
        queries = Queries(u=u[: len(query)], v=posterior.grouped(v, u.shape[1]))
        loss, sums = step(self.refresh, rows, queries, self.log_noise, plan.objective)
        total = loss
        if self.kernel_map.observation is not None:
            all_v = torch.cat([v, self.samples.v[index]])
            total = loss + observation.density(
                self.kernel_map, pooled, all_v, sums, self.log_noise.detach()
            )

        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()

        n_more = plan.updates - 1 if self.done > plan.n_steps else 0
        for _ in range(n_more):
            self._update(self.refresh.drawn(plan.n_refreshed))
        return loss.detach(), sums

    def state(self) -> dict[str, Tensor]:
        """Return all that is needed to go on from here."""
        tensors = _with_prefix("map.", self.kernel_map.state_dict())
        tensors |= _with_prefix("refresh.", self.refresh.state())
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= _with_prefix(f"adam.{number}.", moments)
        tensors["log_noise"] = self.log_noise
        tensors["generator"] = self.generator.get_state()
        tensors["done"] = torch.tensor(self.done)
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def resume(self, kept: Mapping[str, Tensor], key: Tensor) -> None:
        """Go on from what was kept.

        Raises:
            ForeignCheckpoint: it belongs to another fit.
            DamagedCheckpoint: it lacks something.
        """
        if "key" not in kept or not torch.equal(kept["key"], key):
            raise demands.ForeignCheckpoint(
                "The checkpoint of this fit was made with other settings, another network, seed or "
                "data; go back to these, or delete the checkpoint to start afresh."
            )
        try:
            self.kernel_map.load_state_dict(_without_prefix("map.", kept))
            self.refresh.resume(_without_prefix("refresh.", kept))
            self._resume_adam(_without_prefix("adam.", kept))
            self.log_noise.data.copy_(kept["log_noise"])
            self.generator.set_state(kept["generator"])
            self.done = int(kept["done"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise demands.DamagedCheckpoint(
                f"The checkpoint of this fit is not whole: {reason} Delete it to start afresh."
            ) from error

    def _resume_adam(self, moments: Mapping[str, Tensor]) -> None:
        """Give Adam its moments, named <number of the parameter>.<moment>."""
        adam = self.optimiser.state_dict()
        adam["state"] = {}
        for name, tensor in moments.items():
            number, moment = name.split(".")
            adam["state"].setdefault(int(number), {})[moment] = tensor
        self.optimiser.load_state_dict(adam)

    def _query(self) -> Tensor:
        """Return mixed inputs."""
        query = mixed(self.samples.x, self.schedule.batch_size, self.generator)
        if self.schedule.perturbation:
            noise = torch.randn(query.shape, generator=self.generator).to(query.dtype)
            query = query + self.schedule.perturbation * sent(noise, query.device)
        return query

    def _update(self, index: Tensor) -> None:
        """Refresh the embeddings of some inducing points, without a gradient."""
        with torch.no_grad():
            u = self.kernel_map(self.samples.inducing[index])
            self.refresh.refresh(index, u, self._grouped_v[index])

    def _refresh_all(self) -> None:
        """Refresh the embedding of every inducing point."""
        n_updates = math.ceil(self.refresh.n / self.schedule.n_refreshed)
        for _ in range(n_updates):
            self._update(self.refresh.drawn(self.schedule.n_refreshed))

    def _optimiser(self) -> torch.optim.Adam:
        """Return Adam, with a separate learning rate for the trunk.

        A rate of 0 freezes the trunk, so that no gradient of it is computed.
        """
        plan = self.schedule
        trunk = list(self.kernel_map.trunk.parameters())
        of_trunk = {id(parameter) for parameter in trunk}
        rest = [
            parameter
            for parameter in self.kernel_map.parameters()
            if id(parameter) not in of_trunk and parameter.requires_grad
        ]
        for parameter in trunk:
            parameter.requires_grad_(plan.trunk_learning_rate > 0)

        groups = [{"params": rest, "peak": plan.learning_rate}]
        if self.is_learned:
            groups.append({"params": [self.log_noise], "peak": NOISE_RATE * plan.learning_rate})
        if trunk and plan.trunk_learning_rate > 0:
            groups.append({"params": trunk, "peak": plan.trunk_learning_rate})
        return torch.optim.Adam(groups)

    def _check_finite(self, loss: Tensor) -> None:
        """Raise FloatingPointError if the loss is not a number."""
        if not loss.isfinite():
            plan = self.schedule
            raise FloatingPointError(
                f"The loss is not finite at step {self.done} of {plan.total} (or before); lower "
                f"learning_rate ({plan.learning_rate:g}) or trunk_learning_rate "
                f"({plan.trunk_learning_rate:g}), or raise the noise."
            )

    def _line(self, loss: Tensor, sums: Statistics, speed: float) -> str:
        """Return a line of progress: step, loss, agreement with the network, and time left."""
        state = unit_state(sums, self.log_noise.detach())
        u = in_chunks(self.kernel_map, self.samples.check.x)
        correlation = _correlation(posterior.mean(state, u), self.samples.check.v)

        total = self.schedule.total
        left = (total - self.done) / speed
        return (
            f"step {self.done}/{total}  loss {loss.item():.3f}  "
            f"held-out mixed r {correlation}  {speed:.1f} steps/s  {left:.0f} s left"
        )


def unit_state(sums: Statistics, log_noise: Float64[Tensor, "group"]) -> State:
    """Return the process of standardised targets."""
    zero = torch.zeros(sums.c.numel(), dtype=log_noise.dtype, device=log_noise.device)
    return State(statistics=sums, noise=log_noise.exp(), offset=zero, scale=zero + 1)


def _correlation(mean: Float64[Tensor, "n head"], v: Float64[Tensor, "n head"]) -> str:
    """Return mean and smallest Pearson correlation over the heads that vary."""
    a = mean - mean.mean(0)
    b = v - v.mean(0)
    size = a.norm(dim=0) * b.norm(dim=0)
    r = (a * b).sum(0) / size
    r = r[b.norm(dim=0) > 0]
    if not len(r):
        return "undefined (every head is constant)"
    return f"{r.mean():.4f} (weakest {r.min():.4f})"


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with a prefix before each name."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name has a prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
