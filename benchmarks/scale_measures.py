"""What `gpex_scale` measures: processor seconds on one thread, and memory of fresh processes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
    # a block of a call is as many calls as take about `seconds`
    sizes = []
    for call in calls:
        call()
        once = max(_seconds(call, 1), 1e-6)
        sizes.append(max(1, round(seconds / once)))

    best = [float("inf")] * len(calls)
    for _ in range(blocks):
        for i, (call, size) in enumerate(zip(calls, sizes, strict=True)):
            best[i] = min(best[i], _seconds(call, size))
    return best


def _seconds(call: Callable[[], object], times: int) -> float:
    """Return processor seconds per call, over some calls."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


class FixedMap(KernelMap):
    """Stands for a kernel network: its hidden features are its rows, its log variances given."""

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
    """The GP part of training steps on M inducing points; a `FixedMap` is the kernel network.

    With the `default` preset that is the step and the density that trains the noise of intervals,
    each with a factor and a solve of its own; with the `paper` preset, which has no such noise, the
    step alone.

    Targets of the inducing points are in a file, and with the `paper` preset so are their rows, as
    16-bit numbers.
    """

    def __init__(self, preset: Preset, n: int, folder: Path, device: str = "cpu") -> None:
        self.preset = preset
        norm = NORM[preset]
        u = unit(POOL, 0, norm)
        v = outputs(POOL, 1)
        self.targets = RowStore((n, HEADS, 1), path=folder / f"targets-{preset}-{n}")
        for start in range(0, n, POOL):
            self.targets[start : start + POOL] = v

        self.policy: refresh.Refresh
        if preset == "default":
            sums = repeated(posterior.statistics(u, v), n, device)
            self.policy = refresh.Running(sums, WINDOW)
        else:
            rows = RowStore((n, HEADS, DIM), "int16", norm, folder / f"rows-{n}")
            for start in range(0, n, POOL):
                rows[start : start + POOL] = u
            sums = repeated(posterior.statistics(rows.rounded(u), v), n, device)
            self.policy = refresh.Stored(sums, rows)

        self.u = unit(QUERIES * BATCHES, 2, norm).to(device).split(QUERIES)
        self.v = outputs(QUERIES * BATCHES, 3).double().to(device).split(QUERIES)
        self.new = unit(NEW * BATCHES, 4, norm).to(device).split(NEW)
        self.log_noise = torch.zeros(
            HEADS, dtype=torch.float64, device=device, requires_grad=preset == "default"
        )
        self.log_variance = torch.zeros(QUERIES + NEW, HEADS, device=device, requires_grad=True)
        self.kernel_map = FixedMap(self.log_variance)
        self.n_steps = 0

    def __call__(self) -> None:
        """Take a step: loss, gradients of all that is trained, statistics and rows kept."""
        batch = self.n_steps % BATCHES
        u = self.u[batch].requires_grad_()
        new = self.new[batch].requires_grad_()
        index = self.policy.drawn(NEW)
        rows = Rows(index=index, u=new, targets=self.targets[index].double().to(u.device))
        queries = Queries(u=u, v=self.v[batch])
        objective = "predictive" if self.preset == "default" else "latent"
        loss, sums = step(self.policy, rows, queries, self.log_noise, objective)
        if self.preset == "default":
            features = torch.cat([u, new])
            v = torch.cat([self.v[batch], rows.targets])[..., 0]
            log_noise = self.log_noise.detach()
            loss = loss + observation.density(self.kernel_map, features, v, sums, log_noise)

        loss.backward()
        for leaf in (u, new, self.log_noise, self.log_variance):
            leaf.grad = None
        self.n_steps += 1


def repeated(part: Statistics, n: int, device: str = "cpu") -> Statistics:
    """Return the statistics of n rows that repeat the POOL different ones."""
    times = n / POOL
    return Statistics(
        a=(part.a * times).to(device),
        b=(part.b * times).to(device),
        c=(part.c * times).to(device),
        count=(part.count * times).to(device),
    )


class Released:
    """Steps of the released code's twin on M inducing points, on the numbers of `paper`."""

    def __init__(self, n: int) -> None:
        times = n // POOL
        norm = NORM["paper"]
        rows = unit(POOL, 0, norm).repeat(times, 1, 1)
        targets = outputs(POOL, 1)[..., 0].repeat(times, 1)
        self.twin = ReleasedTwin(rows, targets)
        self.u = unit(QUERIES, 2, norm)
        self.v = outputs(QUERIES, 3)[..., 0]
        self.new = unit(NEW, 4, norm)
        self.index = list(range(NEW))

    def __call__(self) -> None:
        """Take a step: loss, backward, update of the rows."""
        u = self.u.requires_grad_()
        new = self.new.requires_grad_()
        loss = self.twin.loss(u, self.v, self.index, new)
        loss.backward()
        self.twin.update(self.index, new.detach())
        u.grad = None
        new.grad = None


def passes(n: int) -> dict[str, float]:
    """Return seconds to read n rows and targets in memory, and of a pass with both products."""
    times = n // POOL
    rows = unit(POOL, 0, 1.0).repeat(times, 1, 1)
    targets = outputs(POOL, 1).repeat(times, 1, 1)

    def read_all() -> None:
        rows.view(-1).sum()
        targets.view(-1).sum()

    calls = {
        "read": read_all,
        "float32": lambda: streamed([(rows, targets)], torch.float32),
        "float64": lambda: streamed([(rows, targets)], torch.float64),
    }
    return dict(zip(calls, cheapest(list(calls.values()), 5), strict=True))


def predictions(sizes: Sequence[int]) -> list[float]:
    """Return seconds per item of mean and variance, at each number of inducing points."""
    u = unit(POOL, 0, 1.0)
    part = posterior.statistics(u, outputs(POOL, 1))
    one = torch.ones(HEADS, dtype=torch.float64)

    calls = []
    for n in sizes:
        state = posterior.condition(repeated(part, n), one, 0 * one, one)
        calls.append(partial(posterior.predict, state, u[:QUERIES]))
    return [seconds / QUERIES for seconds in cheapest(calls, 5)]


def search(n: int) -> float:
    """Return seconds to find the 10 most similar of n rows for 64 queries of one head."""
    rows = unit(POOL, 0, 1.0).repeat(n // POOL, 1, 1)
    u = unit(QUERIES, 2, 1.0)[:, 0].double()

    def scores() -> Iterator[Tensor]:
        for block in rows.split(nearest.BLOCK):
            normed = torch.nn.functional.normalize(block[:, 0].double(), dim=1)
            yield u @ normed.T

    return cheapest([lambda: nearest.largest(scores(), 10)], 3)[0]


# --- memory, each in a process of its own ---


def memory(what: str = "VmHWM") -> int:
    """Return bytes of this process: its peak (VmHWM) or now (VmRSS)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("Memory is measured on Linux only.")
    return int(found[1]) * 1024


def train_memory(preset: Preset, n: int, folder: Path) -> dict[str, float]:
    """Return bytes before and at the peak of building and training on n points."""
    Training(preset, POOL, folder)()  # what is needed at any size
    before = memory("VmRSS")
    training = Training(preset, n, folder)
    for _ in range(300):
        training()
    return {"before": before, "peak": memory()}


def write_rows(n: int, folder: Path) -> dict[str, float]:
    """Write n rows in 16-bit numbers and their targets to disk; return the bytes."""
    rows, targets = _stores(n, folder)
    u = unit(POOL, 0, 1.0)
    v = outputs(POOL, 1)
    for start in range(0, n, POOL):
        rows[start : start + POOL] = u
        targets[start : start + POOL] = v

    # the next reader reads from the disk
    for name in ("rows", "v"):
        with (folder / name).open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return {"bytes": sum((folder / name).stat().st_size for name in ("rows", "v"))}


def read_rows(n: int, folder: Path) -> dict[str, float]:
    """Return seconds and extra bytes of an exact pass over n rows on disk, and its error."""
    rows, targets = _stores(n, folder)
    before = memory("VmRSS")
    wall = time.perf_counter()
    cpu = time.process_time()
    sums = streamed(zip(rows.blocks(), targets.blocks(), strict=True), torch.float32)
    wall = time.perf_counter() - wall
    cpu = time.process_time() - cpu

    part = posterior.statistics(rows.rounded(unit(POOL, 0, 1.0)), outputs(POOL, 1))
    truth = repeated(part, n).a
    error = float((sums.a - truth).abs().max() / truth.abs().max())
    return {"wall": wall, "cpu": cpu, "extra": memory() - before, "error": error}


def _stores(n: int, folder: Path) -> tuple[RowStore, RowStore]:
    """Return rows in 16-bit numbers and targets, in files."""
    rows = RowStore((n, HEADS, DIM), "int16", 1.0, folder / "rows")
    return rows, RowStore((n, HEADS, 1), path=folder / "v")


# --- on a GPU ---


def network_share(
    device: str, folder: Path, batch: int = QUERIES + NEW, size: int = 32
) -> tuple[float, float]:
    """Return wall seconds of the GP part of a step, and of a ResNet-18 forward and backward."""
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
        start = time.perf_counter()
        for _ in range(times):
            call()
        _wait(device)
        return (time.perf_counter() - start) / times

    times = 100 if device.startswith("cuda") else 1
    ours = min(timed(training, times) for _ in range(5))
    theirs = min(timed(both_ways, times) for _ in range(5))
    return ours, theirs


def _wait(device: str) -> None:
    """Wait until a GPU is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
