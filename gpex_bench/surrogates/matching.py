"""Trains a kernel map so that the Gaussian processes on it predict the outputs of a frozen network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gpex_bench.surrogates import posterior
from gpex_bench.surrogates.kernel_map import KernelMap
from gpex_bench.surrogates.mixing import drawn, mixed
from gpex_bench.surrogates.posterior import State, Statistics
from gpex_bench.surrogates.refresh import Refresh

CHUNK = 500  # samples per pass where no gradient is needed
LINES = 20  # of progress
N_CHECK = 500  # mixed inputs on which the progress is judged


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    n_steps: int
    batch_size: int  # mixed inputs per step
    n_refreshed: int  # inducing points embedded anew per step
    learning_rate: float
    trunk_learning_rate: float  # 0 leaves the trunk as it is
    perturbation: float  # standard deviation of the noise added to mixed inputs


@dataclass(frozen=True)
class Targets:
    """The frozen network, and the units in which its outputs are matched."""

    network: Callable[[Tensor], Tensor]
    offset: Float64[Tensor, "head"]
    scale: Float64[Tensor, "head"]

    def __call__(self, x: Float[Tensor, "batch *feature"]) -> Float64[Tensor, "batch head"]:
        """Return standardised outputs."""
        with torch.no_grad():
            return posterior.standardised(self.network(x), self.offset, self.scale)


def unit_state(sums: Statistics, log_noise: Float64[Tensor, "group"]) -> State:
    """Return the process of standardised targets."""
    zero = torch.zeros_like(sums.c).flatten()
    return State(statistics=sums, noise=log_noise.exp(), offset=zero, scale=zero + 1)


def objective(
    state: State, u: Float[Tensor, "batch group dim"], v: Float64[Tensor, "batch head"]
) -> Float64[Tensor, ""]:
    """Return the mean negative log predictive density of v (without its constant), in nats per output.

    The paper divides by the detached latent variance; the predictive variance with its gradient lets the noise be
    learned and gives intervals that cover.
    """
    mu, latent = posterior.predict(state, u)
    variance = latent + state.noise.repeat_interleave(state.statistics.c.shape[1])
    return 0.5 * ((mu - v).square() / variance + variance.log()).mean()


def match(  # noqa: PLR0913 - the pieces of one loop, each named
    kernel_map: KernelMap,
    targets: Targets,
    x: Float[Tensor, "n *feature"],
    schedule: Schedule,
    *,
    start: Callable[[Float[Tensor, "n group dim"], Float64[Tensor, "n group out"]], Refresh],
    held_out: Float[Tensor, "n_held_out *feature"],
    generator: torch.Generator,
    progress: Callable[[str], None],
) -> Float64[Tensor, "group"]:
    """Train the kernel map in place and return the learned noise variance of each group.

    Raises:
        FloatingPointError: the loss is not a number, naming the step.
    """
    rows = in_chunks(kernel_map, x)
    v = posterior.grouped(in_chunks(targets, x), rows.shape[1])
    refresh = start(rows, v)
    log_noise = nn.Parameter(torch.full_like(targets.offset[: rows.shape[1]], -2.0))
    optimiser = _optimiser(kernel_map, log_noise, schedule)
    decay = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in optimiser.param_groups], total_steps=schedule.n_steps, pct_start=0.1
    )
    check = mixed(held_out, N_CHECK, generator)
    check_v = in_chunks(targets, check)
    began = time.monotonic()
    for step in range(1, schedule.n_steps + 1):
        query = mixed(x, schedule.batch_size, generator)
        if schedule.perturbation:
            query = query + schedule.perturbation * torch.randn(query.shape, generator=generator).to(query)
        index = drawn(len(x), min(schedule.n_refreshed, len(x)), generator).to(x.device)
        u = kernel_map(torch.cat([query, x[index]]))
        _check_finite("embedding", u, step, schedule)
        state = unit_state(refresh.refresh(index, u[len(query) :], v[index]), log_noise)
        loss = objective(state, u[: len(query)], targets(query))
        _check_finite("loss", loss, step, schedule)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
        if step % max(1, schedule.n_steps // LINES) == 0 or step == schedule.n_steps:
            r = _agreement(state, kernel_map, check, check_v)
            left = (time.monotonic() - began) / step * (schedule.n_steps - step)
            progress(f"step {step}/{schedule.n_steps}  loss {loss.item():.3f}  held-out mixed r {r}  {left:.0f} s left")
    return log_noise.detach().exp()


def _optimiser(kernel_map: KernelMap, log_noise: nn.Parameter, schedule: Schedule) -> torch.optim.Adam:
    """Return Adam with its own rate for the trunk; a rate of 0 freezes it, so that no gradient is computed."""
    trunk = list(kernel_map.trunk.parameters())
    own = {id(parameter) for parameter in trunk}
    rest = [parameter for parameter in kernel_map.parameters() if id(parameter) not in own]
    groups = [
        {"params": [*rest], "lr": schedule.learning_rate},
        {"params": [log_noise], "lr": 10 * schedule.learning_rate},
    ]
    for parameter in trunk:
        parameter.requires_grad_(schedule.trunk_learning_rate > 0)
    if trunk and schedule.trunk_learning_rate > 0:
        groups.append({"params": trunk, "lr": schedule.trunk_learning_rate})
    return torch.optim.Adam(groups)


def _check_finite(name: str, tensor: Tensor, step: int, schedule: Schedule) -> None:
    """Raise FloatingPointError naming the step, if an entry is not finite."""
    if not tensor.isfinite().all():
        raise FloatingPointError(
            f"The {name} is not finite at step {step} of {schedule.n_steps}; lower learning_rate "
            f"({schedule.learning_rate:g}) or trunk_learning_rate ({schedule.trunk_learning_rate:g})."
        )


def _agreement(state: State, kernel_map: KernelMap, x: Tensor, v: Tensor) -> str:
    """Return mean and smallest Pearson correlation over the heads that vary."""
    with torch.no_grad():
        mu = posterior.mean(state, in_chunks(kernel_map, x))
    a, b = mu - mu.mean(0), v - v.mean(0)
    r = ((a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)))[b.norm(dim=0) > 0]
    return f"{r.mean():.4f} (weakest {r.min():.4f})" if len(r) else "undefined (every head is constant)"


def in_chunks(network: Callable[[Tensor], Tensor], x: Float[Tensor, "n *feature"]) -> Tensor:
    """Apply a network to many samples without gradients."""
    with torch.no_grad():
        return torch.cat([network(part) for part in x.split(CHUNK)])
