"""What `explainers` explains, by which methods, and how it measures.

Processor seconds in turns, peaks of memory.
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn import functional

from gpex_bench.masking import answers
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Dataset, Explainer, Query, Split, Task

SAMPLES, SEED, EPOCHS = 1000, 1, 4
Call = Callable[[], object]


def method(name: str, **settings: Any) -> Explainer:
    """Return an explainer by name."""
    return plugins("method")[name].cls(**settings)


def source(explainer: Explainer) -> dict[str, Any]:
    """Return the names of the module that a method lives in."""
    return vars(sys.modules[type(explainer).__module__])


# --- what is explained ----------------------------------------------------------------------------


def digits(n: int) -> tuple[Task, Query]:
    """Return a trained network for digits, the first training images, their predicted classes."""
    data = plugins("dataset")["mnist5k"].cls().load()
    architecture = plugins("model")["cnn"].cls()
    architecture = replace(architecture, training=replace(architecture.training, epochs=EPOCHS))
    return _task_and_query(architecture.train(data, SEED, lambda text: None), data, n)


def large(n: int) -> tuple[Task, Query]:
    """Return an untrained network for images of 64 x 64, and the first training images."""
    data = plugins("dataset")["shapes"].cls(n_train=300, n_test=100).load()
    x = functional.interpolate(data.train.x[:64], 64, mode="bilinear")
    split = Split(x=x, y=data.train.y[:64], sample=data.train.sample[:64])
    baseline = data.baseline[:, :1, :1].expand(-1, 64, 64).clone()
    data = Dataset(
        name="shapes64",
        train=split,
        test=split,
        classes=data.classes,
        features=(),
        baseline=baseline,
        truth=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return _task_and_query(
            plugins("model")["cnn"].cls().build(data).eval().requires_grad_(False), data, n
        )


def _task_and_query(model: torch.nn.Module, data: Dataset, n: int) -> tuple[Task, Query]:
    x = data.train.x[:n]
    with torch.no_grad():
        target = model(x).argmax(1)
    query = Query(x=x, target=target, sample=data.train.sample[:n])
    return Task(model=model, data=data, surrogate=None, seed=SEED), query


def rows(query: Query, first: int, last: int) -> Query:
    """Return some of the images."""
    part = slice(first, last)
    return query.rows(part)


# --- by what --------------------------------------------------------------------------------------


def forward(task: Task, query: Query, as_masked: bool, n_chunks: int = 8) -> Call:
    """Return forward passes of some chunks; as_masked: laid out in memory as masked images are."""
    x = query.x.repeat(-(-answers.CHANGED_ROWS // len(query.x)), 1, 1, 1)[: answers.CHANGED_ROWS]
    x = answers._channels_last(x) if as_masked else x

    def passes() -> None:
        with torch.no_grad():
            for _ in range(n_chunks):
                task.model(x)

    return passes


def there_and_back(task: Task, query: Query) -> Call:
    """Return one forward and one backward pass of the query."""

    def both() -> None:
        x = query.x.clone().requires_grad_()
        torch.autograd.grad(task.model(x).gather(1, query.target[:, None]).sum(), x)

    return both


class PackageLime:
    """The lime package with batches of its default size, 10; `lime` itself asks for larger ones."""

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the attributions of `lime`."""
        with self._batches(10):
            return method("lime", budget=SAMPLES).explain(task, query)

    @contextmanager
    def _batches(self, chunk: int) -> Iterator[None]:
        names = source(method("lime"))
        before, names["CHANGED_ROWS"] = names["CHANGED_ROWS"], chunk
        try:
            yield
        finally:
            names["CHANGED_ROWS"] = before


class CaptumShap:
    """KernelSHAP of captum on the segments that ours has, so many masks at a time."""

    def __init__(self, together: int) -> None:
        self.together = together

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return captum's values, divided over a segment as ours are."""
        from captum.attr import KernelShap

        cut, found = answers.regions(query.x, "slic", 50), []
        torch.manual_seed(SEED)
        for i in range(len(query.x)):
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                values = KernelShap(task.model).attribute(
                    query.x[i : i + 1],
                    baselines=task.data.baseline[None],
                    target=int(query.target[i]),
                    feature_mask=cut.index[i : i + 1, None].expand_as(query.x[i : i + 1]),
                    n_samples=SAMPLES,
                    perturbations_per_eval=self.together,
                )
            found.append(values)
        size = torch.stack(
            [index.flatten().bincount()[index.flatten()].view(index.shape) for index in cut.index]
        )
        return Attribution(values=torch.cat(found).float() / size[:, None] / query.x.shape[1])


# --- time and memory ------------------------------------------------------------------------------


def turns(calls: Mapping[str, list[Call]]) -> pd.DataFrame:
    """Return processor seconds, [turn, what], of calls that take turns.

    A busy machine then hurts all alike. Each turn starts with another call.
    """
    names, found = list(calls), []
    for turn in range(len(calls[names[0]])):
        seconds = {}
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            began = time.process_time()
            calls[name][turn]()
            seconds[name] = time.process_time() - began
        found.append(seconds)
    return pd.DataFrame(found)[names]


def memory(what: str) -> int:
    """Return bytes of this process: its peak (VmHWM) or now (VmRSS)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("Memory is measured on Linux only.")
    return int(found[1]) * 1024


def peaks(sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the largest batch and the additional peak memory of one image with so many rows."""
    task, query = large(1)
    found = []
    for name in ("lime_fast", "kernel_shap", "shapley_sampling", "rise", "sobol", "hsic", "elime"):
        batches: list[int] = []
        handle = task.model.register_forward_hook(
            lambda _m, args, _o, seen=batches: seen.append(len(args[0]))
        )
        method(name, budget=sizes[0]).explain(task, query)  # what is needed at any size
        record: dict[str, Any] = {"what": name}
        for size in sizes:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
            before = memory("VmRSS")
            method(name, budget=size).explain(task, query)
            record[f"MB, {size} rows"] = (memory("VmHWM") - before) / 1e6
        found.append(record | {"largest batch": max(batches)})
        handle.remove()
    return found
