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
from gpex_bench.types.passes import in_chunks

LINES = 20  # of progress
N_CHECK = 500  # mixed inputs on which the progress is judged
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
    n_refreshed: int  # inducing points embedded anew per step
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
            return COLDEST + (1 - COLDEST) * 0.5 * (1 - math.cos(math.pi * at / warm))
        return 0.5 * (1 + math.cos(math.pi * (at - warm) / max(1.0, self.total - warm)))


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
    """What a kernel map is trained on, all on one device, in the order in which inducing points are visited."""

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
        self.kernel_map, self.samples, self.targets, self.schedule = (
            kernel_map,
            samples,
            targets,
            schedule,
        )
        self.refresh, self.generator, self.done = refresh, generator, 0
        self.is_learned = noise is None
        n_groups = kernel_map.shape.n_groups
        start = (
            torch.full_like(targets.offset[:n_groups], LOG_START) if noise is None else noise.log()
        )
        self.log_noise = nn.Parameter(start, requires_grad=noise is None)
        self.optimiser = self._optimiser()
        self._folded = posterior.grouped(samples.v, kernel_map.shape.n_groups)

    def run(self, progress: Progress, key: Tensor) -> Float64[Tensor, "group"]:
        """Train to the end and return the noise of each group; `key` says which fit a checkpoint belongs to.

        Raises:
            FloatingPointError: the loss is not a number; seen when the next line is said.
            ForeignCheckpoint, DamagedCheckpoint: what was kept cannot be resumed.
        """
        kept = progress.kept()
        if kept is not None:
            self.resume(kept, key)
            progress(f"resumed at step {self.done}/{self.schedule.total}")
        pace = max(1, self.schedule.total // LINES)
        began, from_step, last = time.monotonic(), self.done, time.monotonic()
        while self.done < self.schedule.total:
            loss, sums = self.advance()
            is_line = self.done % pace == 0 or self.done == self.schedule.total
            is_due = time.monotonic() - last >= KEEP_S
            if is_line or is_due:
                self._check_finite(loss)
            if is_due:
                progress.keep(self.state() | {"key": key})
                last = time.monotonic()
            if is_line:
                speed = (self.done - from_step) / max(1e-9, time.monotonic() - began)
                progress(self._line(loss, sums, speed))
        return self.log_noise.detach().exp()

    def advance(self) -> tuple[Float64[Tensor, ""], Statistics]:
        """Take one step; nothing waits for the device, unless rows are stored (`refresh.Stored`)."""
        plan = self.schedule
        if self.done == plan.n_steps:
            self._refresh_all()
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * plan.rate(self.done)
        query = self._query()
        index = self.refresh.drawn(plan.n_refreshed)
        pooled = self.kernel_map.pooled(torch.cat([query, self.samples.inducing[index]]))
        u, v = self.kernel_map.embedded(pooled), self.targets(query)
        rows = Rows(index=index, u=u[len(query) :], targets=self._folded[index])
        queries = Queries(u=u[: len(query)], v=posterior.grouped(v, u.shape[1]))
        loss, sums = step(self.refresh, rows, queries, self.log_noise, plan.objective)
        total = loss
        if self.kernel_map.observation is not None:
            seen = torch.cat([v, self.samples.v[index]])
            total = loss + observation.density(
                self.kernel_map, pooled, seen, sums, self.log_noise.detach()
            )
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        for _ in range(plan.updates - 1 if self.done > plan.n_steps else 0):
            self._update(self.refresh.drawn(plan.n_refreshed))
        return loss.detach(), sums

    def state(self) -> dict[str, Tensor]:
        """Return all that is needed to go on from here."""
        tensors = {f"map.{name}": tensor for name, tensor in self.kernel_map.state_dict().items()}
        tensors |= {f"refresh.{name}": tensor for name, tensor in self.refresh.state().items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
        tensors |= {"log_noise": self.log_noise, "generator": self.generator.get_state()}
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
                "The checkpoint of this fit was made with other settings, another network, seed or data; go back to "
                "these, or delete the checkpoint to start afresh."
            )
        try:
            self.kernel_map.load_state_dict(_under("map.", kept))
            self.refresh.resume(_under("refresh.", kept))
            adam = self.optimiser.state_dict()
            adam["state"] = {}
            for name, tensor in _under("adam.", kept).items():
                number, moment = name.split(".")
                adam["state"].setdefault(int(number), {})[moment] = tensor
            self.optimiser.load_state_dict(adam)
            self.log_noise.data.copy_(kept["log_noise"])
            self.generator.set_state(kept["generator"])
            self.done = int(kept["done"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise demands.DamagedCheckpoint(
                f"The checkpoint of this fit is not whole: {reason} Delete it to start afresh."
            ) from error

    def _query(self) -> Tensor:
        """Return mixed inputs."""
        query = mixed(self.samples.x, self.schedule.batch_size, self.generator)
        if self.schedule.perturbation:
            noise = torch.randn(query.shape, generator=self.generator).to(query.dtype)
            query = query + self.schedule.perturbation * sent(noise, query.device)
        return query

    def _update(self, index: Tensor) -> None:
        """Embed some inducing points anew, without a gradient."""
        with torch.no_grad():
            self.refresh.refresh(
                index, self.kernel_map(self.samples.inducing[index]), self._folded[index]
            )

    def _refresh_all(self) -> None:
        """Embed every inducing point anew."""
        for _ in range(math.ceil(self.refresh.n / self.schedule.n_refreshed)):
            self._update(self.refresh.drawn(self.schedule.n_refreshed))

    def _optimiser(self) -> torch.optim.Adam:
        """Return Adam with its own rate for the trunk; a rate of 0 freezes it, so that no gradient is computed."""
        plan, trunk = self.schedule, list(self.kernel_map.trunk.parameters())
        own = {id(parameter) for parameter in trunk}
        rest = [
            parameter
            for parameter in self.kernel_map.parameters()
            if id(parameter) not in own and parameter.requires_grad
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
                f"The loss is not finite at step {self.done} of {plan.total} (or before); lower learning_rate "
                f"({plan.learning_rate:g}) or trunk_learning_rate ({plan.trunk_learning_rate:g}), or raise the noise."
            )

    def _line(self, loss: Tensor, sums: Statistics, speed: float) -> str:
        """Return how far the training is, how well it agrees with the network, and how long it will take."""
        state = unit_state(sums, self.log_noise.detach())
        mean = posterior.mean(state, in_chunks(self.kernel_map, self.samples.check.x))
        left = (self.schedule.total - self.done) / speed
        return (
            f"step {self.done}/{self.schedule.total}  loss {loss.item():.3f}  "
            f"held-out mixed r {_correlation(mean, self.samples.check.v)}  {speed:.1f} steps/s  {left:.0f} s left"
        )


def unit_state(sums: Statistics, log_noise: Float64[Tensor, "group"]) -> State:
    """Return the process of standardised targets."""
    head = torch.zeros(sums.c.numel(), dtype=log_noise.dtype, device=log_noise.device)
    return State(statistics=sums, noise=log_noise.exp(), offset=head, scale=head + 1)


def _correlation(mean: Float64[Tensor, "n head"], v: Float64[Tensor, "n head"]) -> str:
    """Return mean and smallest Pearson correlation over the heads that vary."""
    a, b = mean - mean.mean(0), v - v.mean(0)
    r = ((a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)))[b.norm(dim=0) > 0]
    return (
        f"{r.mean():.4f} (weakest {r.min():.4f})"
        if len(r)
        else "undefined (every head is constant)"
    )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name begins so, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
