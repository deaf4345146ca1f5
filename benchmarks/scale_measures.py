"""What `gpex_scale` measures: seconds of the processor on one thread, and memory of fresh processes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from released_twin import ReleasedTwin
from torch import Tensor

from gpex_bench.surrogates.gp import nearest, posterior
from gpex_bench.surrogates.gp.posterior import Statistics
from gpex_bench.surrogates.gp.row_store import RowStore
from gpex_bench.surrogates.gp.streaming import streamed
from gpex_bench.surrogates.gpex_fit import observation, refresh
from gpex_bench.surrogates.gpex_fit.kernel_map import KernelMap
from gpex_bench.surrogates.gpex_fit.step import Queries, Rows, step

HEADS, DIM, QUERIES, NEW = 10, 20, 64, 64
POOL = 5000  # different rows; larger sets repeat them, which no time depends on
BATCHES = 20  # different mini-batches
WINDOW = 20
Preset = Literal["default", "paper"]
NORM = {"default": 1.0, "paper": 0.1}


def unit(n: int, seed: int, norm: float) -> Tensor:
    """Return random rows [n, head, dim] with a norm."""
    u = torch.randn(n, HEADS, DIM, generator=torch.Generator().manual_seed(seed))
    return norm * torch.nn.functional.normalize(u, dim=2)


def outputs(n: int, seed: int) -> Tensor:
    """Return random targets [n, head, 1]."""
    return torch.randn(n, HEADS, 1, generator=torch.Generator().manual_seed(seed))


def cheapest(
    calls: Sequence[Callable[[], object]], blocks: int, seconds: float = 0.3
) -> list[float]:
    """Return processor seconds per call: best of some blocks, which take turns."""
    sizes, best = [], [float("inf")] * len(calls)
    for call in calls:
        call()
        began = time.process_time()
        call()
        sizes.append(max(1, round(seconds / max(time.process_time() - began, 1e-6))))
    for _ in range(blocks):
        for i, (call, size) in enumerate(zip(calls, sizes, strict=True)):
            began = time.process_time()
            for _ in range(size):
                call()
            best[i] = min(best[i], (time.process_time() - began) / size)
    return best


class MadeUp(KernelMap):
    """Stands for a kernel network: its hidden features are its rows, and its log variances are numbers of their own."""

    def __init__(self, log_variance: Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.values = log_variance

    def embedded(self, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows

    def log_variance(self, rows: Tensor) -> Tensor:
        """Return the log variances."""
        return self.values


class Training:
    """The GP part of training steps on M inducing points; the kernel network is left out (its outputs are made up).

    With the `default` preset that is the step and the density that trains the noise of intervals,
    each with a factor and a solve of its own; with the `paper` preset, which has no such noise, the
    step alone.

    Targets of the inducing points are in a file, and with the `paper` preset so are their rows, as
    16-bit numbers.
    """

    def __init__(self, preset: Preset, n: int, folder: Path, device: str = "cpu") -> None:
        norm, self.preset = NORM[preset], preset
        u, v = unit(POOL, 0, norm), outputs(POOL, 1)
        self.targets = RowStore((n, HEADS, 1), path=folder / f"targets-{preset}-{n}")
        stored = (
            RowStore((n, HEADS, DIM), "int16", norm, folder / f"rows-{n}")
            if preset == "paper"
            else None
        )
        for start in range(0, n, POOL):
            self.targets[start : start + POOL] = v
            if stored is not None:
                stored[start : start + POOL] = u
        part = posterior.statistics(u if stored is None else stored.rounded(u), v)
        sums = Statistics(
            **{k: (getattr(part, k) * (n / POOL)).to(device) for k in ("a", "b", "c", "count")}
        )
        self.policy = (
            refresh.Running(sums, WINDOW) if stored is None else refresh.Stored(sums, stored)
        )
        self.u = unit(QUERIES * BATCHES, 2, norm).to(device).split(QUERIES)
        self.v = outputs(QUERIES * BATCHES, 3).double().to(device).split(QUERIES)
        self.new = unit(NEW * BATCHES, 4, norm).to(device).split(NEW)
        self.log_noise = torch.zeros(
            HEADS, dtype=torch.float64, device=device, requires_grad=preset == "default"
        )
        self.log_variance = torch.zeros(QUERIES + NEW, HEADS, device=device, requires_grad=True)
        self.kernel_map = MadeUp(self.log_variance)
        self.taken = 0

    def __call__(self) -> None:
        """Take a step: loss, gradients of queries, new rows, noise and log variances, statistics and rows kept."""
        batch = self.taken % BATCHES
        u, new = self.u[batch].requires_grad_(), self.new[batch].requires_grad_()
        index = self.policy.drawn(NEW)
        rows = Rows(index=index, u=new, targets=self.targets[index].double().to(u.device))
        objective = "predictive" if self.preset == "default" else "latent"
        loss, sums = step(
            self.policy, rows, Queries(u=u, v=self.v[batch]), self.log_noise, objective
        )
        if self.preset == "default":
            seen = torch.cat([self.v[batch], rows.targets])[..., 0]
            loss = loss + observation.density(
                self.kernel_map, torch.cat([u, new]), seen, sums, self.log_noise.detach()
            )
        loss.backward()
        for leaf in (u, new, self.log_noise, self.log_variance):
            leaf.grad = None
        self.taken += 1


class Released:
    """Steps of the released code's twin on M inducing points, on the same numbers as the `paper` preset."""

    def __init__(self, n: int) -> None:
        rows, targets = unit(POOL, 0, 0.1), outputs(POOL, 1)[..., 0]
        self.twin = ReleasedTwin(rows.repeat(n // POOL, 1, 1), targets.repeat(n // POOL, 1))
        self.u, self.v, self.new = (
            unit(QUERIES, 2, 0.1),
            outputs(QUERIES, 3)[..., 0],
            unit(NEW, 4, 0.1),
        )
        self.index = list(range(NEW))

    def __call__(self) -> None:
        """Take a step: loss, backward, update of the rows."""
        u, new = self.u.requires_grad_(), self.new.requires_grad_()
        self.twin.loss(u, self.v, self.index, new).backward()
        self.twin.update(self.index, new.detach())
        u.grad = new.grad = None


def passes(n: int) -> dict[str, float]:
    """Return seconds of reading n rows and targets in memory, and of a pass of the statistics with both products."""
    rows, targets = (
        unit(POOL, 0, 1.0).repeat(n // POOL, 1, 1),
        outputs(POOL, 1).repeat(n // POOL, 1, 1),
    )
    calls = (
        lambda: (rows.view(-1).sum(), targets.view(-1).sum()),
        lambda: streamed([(rows, targets)], torch.float32),
        lambda: streamed([(rows, targets)], torch.float64),
    )
    return dict(zip(("read", "float32", "float64"), cheapest(calls, 5), strict=True))


def predictions(sizes: Sequence[int]) -> list[float]:
    """Return seconds per item of mean and variance, at each number of inducing points."""
    u, v = unit(POOL, 0, 1.0), outputs(POOL, 1)
    part, one = posterior.statistics(u, v), torch.ones(HEADS, dtype=torch.float64)
    states = [
        posterior.condition(
            Statistics(**{k: getattr(part, k) * (n / POOL) for k in ("a", "b", "c", "count")}),
            one,
            0 * one,
            one,
        )
        for n in sizes
    ]
    return [
        seconds / QUERIES
        for seconds in cheapest(
            [lambda state=state: posterior.predict(state, u[:QUERIES]) for state in states], 5
        )
    ]


def search(n: int) -> float:
    """Return seconds to find the 10 most similar of n rows for 64 queries of one head."""
    rows = unit(POOL, 0, 1.0).repeat(n // POOL, 1, 1)
    u = unit(QUERIES, 2, 1.0)[:, 0].double()

    def scores():  # type: ignore[no-untyped-def]
        for block in rows.split(nearest.BLOCK):
            yield u @ torch.nn.functional.normalize(block[:, 0].double(), dim=1).T

    return cheapest([lambda: nearest.largest(scores(), 10)], 3)[0]


# --- memory, each in a process of its own
# ----------------------------------------------------------------------------


def memory(what: str = "VmHWM") -> int:
    """Return bytes of this process: its peak (VmHWM) or now (VmRSS)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("Memory is measured on Linux only.")
    return int(found[1]) * 1024


def trained(preset: Preset, n: int, folder: Path) -> dict[str, float]:
    """Return bytes before and at the peak of building and training on n points."""
    Training(preset, POOL, folder)()  # what is needed at any size
    before = memory("VmRSS")
    training = Training(preset, n, folder)
    for _ in range(300):
        training()
    return {"before": before, "peak": memory()}


def written(n: int, folder: Path) -> dict[str, float]:
    """Write n rows in 16-bit numbers and their targets to disk; return the bytes."""
    rows, targets = (
        RowStore((n, HEADS, DIM), "int16", 1.0, folder / "rows"),
        RowStore((n, HEADS, 1), path=folder / "v"),
    )
    u, v = unit(POOL, 0, 1.0), outputs(POOL, 1)
    for start in range(0, n, POOL):
        rows[start : start + POOL], targets[start : start + POOL] = u, v
    for name in ("rows", "v"):
        with (folder / name).open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(
                file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED
            )  # the next reader reads from the disk
    return {"bytes": sum((folder / name).stat().st_size for name in ("rows", "v"))}


def read(n: int, folder: Path) -> dict[str, float]:
    """Return seconds and extra bytes of an exact pass over n rows on disk, and how far its sums are from the truth."""
    rows, targets = (
        RowStore((n, HEADS, DIM), "int16", 1.0, folder / "rows"),
        RowStore((n, HEADS, 1), path=folder / "v"),
    )
    before, wall, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    sums = streamed(zip(rows.blocks(), targets.blocks(), strict=True), torch.float32)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    truth = posterior.statistics(rows.rounded(unit(POOL, 0, 1.0)), outputs(POOL, 1)).a * (n / POOL)
    error = float((sums.a - truth).abs().max() / truth.abs().max())
    return seconds | {"extra": memory() - before, "error": error}


# --- on a GPU
# --------------------------------------------------------------------------------------------------------


def network_share(
    device: str, folder: Path, batch: int = QUERIES + NEW, size: int = 32
) -> tuple[float, float]:
    """Return wall seconds of the GP part of a step, and of a ResNet-18's forward and backward pass on its inputs."""
    from torchvision.models import resnet18

    network = resnet18(num_classes=HEADS * DIM).to(device)
    network.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False).to(device)  # as for CIFAR-10
    network.maxpool = torch.nn.Identity()
    x = torch.randn(batch, 3, size, size, device=device)
    training = Training("default", POOL, folder, device)

    def both_ways() -> None:
        network(x).sum().backward()

    def timed(call: Callable[[], None], times: int) -> float:
        call()
        _wait(device)
        began = time.perf_counter()
        for _ in range(times):
            call()
        _wait(device)
        return (time.perf_counter() - began) / times

    times = 100 if device.startswith("cuda") else 1
    return min(timed(training, times) for _ in range(5)), min(
        timed(both_ways, times) for _ in range(5)
    )


def _wait(device: str) -> None:
    """Wait until a GPU is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
