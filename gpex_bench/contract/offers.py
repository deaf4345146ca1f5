"""What a dataset or a network offers, and why not: lines that `gpex-bench check` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gpex_bench.contract import toys
from gpex_bench.contract.calls import explain
from gpex_bench.contract.datasets import listed, notes
from gpex_bench.contract.explainers import example
from gpex_bench.contract.isolation import NOT_APPLICABLE, failure
from gpex_bench.contract.models import datasets_for
from gpex_bench.contract.promises import with_defaults
from gpex_bench.models.given.offered import as_modules, without_gradient
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import (
    Architecture,
    Dataset,
    Explainer,
    Kind,
    Metric,
    Need,
    Source,
    Split,
    Task,
)

N_TRIED = 2  # rows that methods are tried on


def of_dataset(source: Source) -> list[str]:
    """Return what a dataset holds and offers, and which methods and metrics it rules out."""
    data = source.load()
    offers = source.offers | data.kind.offers
    lines = [*contents(data), *(f"note: {remark}" for remark in source.remarks)]
    lines.append(f"offers {', '.join(sorted(offers))}")
    # What networks, methods and every dataset offer is not the dataset's to rule out.
    elsewhere = frozenset({Need.GRADIENT, Need.MODULES, Need.RESIDUAL, Need.TRAINING})
    for kind in ("method", "metric"):
        lines += _ruled_out(kind, offers | elsewhere)
    return lines


def contents(data: Dataset) -> list[str]:
    """Return what a dataset holds: rows, classes or a number, and what can surprise."""
    shape = " x ".join(map(str, data.baseline.shape))
    n_train = len(data.train.sample)
    n_test = len(data.test.sample)
    lines = [
        f"{n_train} training and {n_test} test rows of {shape}, in {_range(data.train.x)}",
        *_targets(data),
        f"baseline in {_range(data.baseline)}",
    ]
    if data.truth is not None:
        share = float(data.truth.mask.double().mean())
        lines.append(f"planted truth, {100 * share:.3g} % of the entries of test")
    return lines + [f"note: {note}" for note in notes(data)]


def _range(values: Tensor) -> str:
    low = float(values.min())
    high = float(values.max())
    return f"{low:.4g} ... {high:.4g}"


def _targets(data: Dataset) -> list[str]:
    """Return how often each class or label is there, or the range of the number."""
    if data.kind is Kind.NUMBER:
        y = data.train.y
        name = f"{data.classes[0]} {data.unit}".rstrip()
        return [f"number {name}, in {_range(y)}, mean {float(y.mean()):.4g}"]

    train = _counts(data.train, data)
    test = _counts(data.test, data)
    counts, absent = [], []
    for name, of_train, of_test in zip(data.classes, train, test, strict=True):
        if of_train + of_test:
            counts.append(f"{name} {of_train} + {of_test}")
        else:
            absent.append(name)

    lines = [f"{len(train)} {data.kind} (train + test): {listed(counts)}"]
    return [*lines, f"without a row: {listed(absent)}"] if absent else lines


def _counts(split: Split, data: Dataset) -> list[int]:
    """Return how many rows each class or label has."""
    if data.kind is Kind.LABELS:
        return split.y.sum(0).tolist()
    return split.y.bincount(minlength=len(data.classes)).tolist()


def _ruled_out(kind: str, offers: frozenset[Need]) -> list[str]:
    """Return which plug-ins of a kind need what is not offered, by what they need."""
    by_need: dict[str, list[str]] = {}
    for name, plugin in _with_settings(kind).items():
        missing = ", ".join(sorted(plugin.needs - offers))
        if missing:
            by_need.setdefault(missing, []).append(name)
    return [
        f"{kind}s that do not apply, for they need {need}: {', '.join(names)}"
        for need, names in sorted(by_need.items())
    ]


def _with_settings(kind: str) -> Mapping[str, Any]:
    """Return every usable plug-in of a kind with its default settings; wrappers wrap a simple map.

    Neither a surrogate nor a file of maps is there when plug-ins are checked, so methods that need
    one are left out.
    """
    found: dict[str, Explainer | Metric] = {}
    for name, plugin in plugins(kind).items():
        if plugin.cls is None or getattr(plugin.cls, "is_stored", False) is True:
            continue
        made: Any = example(plugin.cls) if kind == "method" else with_defaults(plugin.cls)
        if getattr(made, "surrogate", None) is None:
            found[name] = made
    return found


def of_network(architecture: Architecture) -> list[str]:
    """Return what an untrained network offers on each form of input, and which methods fail on it.

    Methods that need modules are tried on two rows of one form.
    """
    lines = []
    tasks: list[Task] = []
    for kind, data in datasets_for(architecture).items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = architecture.build(data).eval()
        n_weights = sum(weight.numel() for weight in model.parameters())
        rewriting, problem = as_modules(model, data.test.x)
        gradient = without_gradient(model, data.test.x)
        parts = [
            f"{model.head.out_features} outputs, {n_weights:,} weights",
            f"gradient: {gradient or 'finite'}",
            f"modules: {problem or rewriting}",
        ]
        lines.append(f"{kind}: {'; '.join(parts)}")
        if problem is None and gradient is None:
            tasks.append(Task(model=model, data=data, surrogate=None, seed=1))

    lines.append(f"offers {', '.join(sorted(architecture.offers))}")
    if tasks and Need.MODULES in architecture.offers:
        lines += _tried(tasks[0])
    return lines


def _tried(task: Task) -> list[str]:
    """Return which methods that need modules apply to a network, and why the others do not."""
    form = Need.IMAGE if task.data.is_image else Need.TABLE
    offers = frozenset({form, Need.GRADIENT, Need.MODULES, Need.TRAINING}) | task.data.kind.offers
    query = toys.query(task.data).rows(slice(N_TRIED))

    names, refused = [], []
    for name, method in _with_settings("method").items():
        if Need.MODULES not in method.needs or not method.needs <= offers:
            continue
        try:
            explain(method, task, query)
        except Exception as error:
            outcome = failure(error)
            word = "does not apply" if outcome.status == NOT_APPLICABLE else "fails"
            refused.append(f"{name} {word}: {outcome.reason}")
        else:
            names.append(name)
    return [f"methods by modules that apply: {_listed(names)}", *refused]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
