"""The guarded calls for real cells.

They hold a plug-in to every promise that can be checked on real data. They are cheap: checksums are
taken of what must not change.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.contract.promises import BrokenPromise, require
from gpex_bench.contract.untouched import untouched
from gpex_bench.types import (
    Attribution,
    Case,
    Examples,
    Explainer,
    Explanation,
    Metric,
    Query,
    Task,
)
from gpex_bench.types.batches import explained_in_parts

RANGE = 1e-6  # rounding outside the declared range of a score


def explain(explainer: Explainer, task: Task, query: Query) -> Explanation:
    """Explain, and hold the explainer to every promise that can be checked on real data.

    Raises BrokenPromise.
    """
    return timed(explainer, task, query)[0]


def timed(explainer: Explainer, task: Task, query: Query) -> tuple[Explanation, float]:
    """Return the explanation and the wall seconds of the explainer's own call, without the checks.

    Raises:
        BrokenPromise: if the explanation is malformed or anything but the explanation has changed.
            Random states and train modes are put back; other changes stay, so do not use the task
            any more.
    """
    with untouched(task, query):
        start = time.perf_counter()
        explanation = explained_in_parts(explainer, task, query)
        seconds = time.perf_counter() - start

    declared, came = explainer.explains.__name__, type(explanation).__name__
    is_declared = isinstance(explanation, explainer.explains)
    require(is_declared, "declared type", f"it says {declared} and returned {came}.")
    for name, tensor in tensors(explanation).items():
        what = f"{name} must be a torch.Tensor, got {type(tensor).__name__}."
        require(isinstance(tensor, Tensor), "tensors", what)
    _content(explanation, task, query)
    return explanation, seconds


def _content(explanation: Explanation, task: Task, query: Query) -> None:
    """Require tensors of the right shape and type with finite values."""
    if isinstance(explanation, Attribution):
        _shape("values", explanation.values, tuple(query.x.shape), query)
        _finite("values", explanation.values, query)
        if explanation.residual is not None:
            _shape("residual", explanation.residual, (len(query.x),), query)
            _finite("residual", explanation.residual[:, None], query)
    elif isinstance(explanation, Examples):
        _examples(explanation, len(task.data.train.y), query)
    else:
        shape = (*explanation.x.shape[:2], *query.x.shape[1:])
        _shape("x", explanation.x, shape, query)
        is_finite = bool(explanation.x.isfinite().all())
        require(is_finite, "finite values", "some entries of x are NaN or infinite.")


def _shape(
    name: str,
    tensor: Tensor,
    shape: tuple[int, ...],
    query: Query,
    dtype: torch.dtype = torch.float32,
) -> None:
    got = tuple(tensor.shape)
    require(got == shape, "shape", f"{name} must have shape {shape}, got {got}.")

    what = f"{name} must be {dtype}, got {tensor.dtype}; use {name}.to(...)."
    require(tensor.dtype == dtype, "dtype", what)

    here = query.x.device
    what = f"{name} must be on {here} as query.x is, got {tensor.device}."
    require(tensor.device == here, "device", what)

    what = f"{name} still hangs on its graph; return {name}.detach()."
    require(not tensor.requires_grad, "no graph", what)


def _finite(name: str, tensor: Tensor, query: Query) -> None:
    bad = (~tensor.isfinite()).flatten(1).sum(1)
    for row in bad.nonzero().flatten().tolist():
        size, sample = tensor[0].numel(), int(query.sample[row])
        what = f"{int(bad[row])} of {size} {name} of sample {sample} are NaN or infinite"
        raise BrokenPromise(
            "finite values", f"{what}; guard divisions and logarithms against zero."
        )


def _examples(examples: Examples, n_train: int, query: Query) -> None:
    index, weight = examples.index, examples.weight
    what = f"index must be [batch, k], got {tuple(index.shape)}."
    require(index.ndim == 2, "shape", what)

    shape = (len(query.x), index.shape[1])
    _shape("index", index, shape, query, torch.int64)
    _shape("weight", weight, shape, query)
    _finite("weight", weight, query)

    low = int(index.min()) if index.numel() else 0
    high = int(index.max()) if index.numel() else 0
    last = n_train - 1
    what = f"index must lie in 0 ... {last}, the rows of task.data.train, got {low} ... {high}."
    require(low >= 0 and high <= last, "index inside the training split", what)

    distinct = all(len(set(row)) == len(row) for row in index.tolist())
    require(distinct, "different examples", "index names a training sample twice for one query.")

    falling = bool((weight.diff(dim=1) <= 0).all())
    what = "weight must not increase along a row; sort the examples by weight."
    require(falling, "strongest first", what)


def score(metric: Metric, case: Case) -> Float[Tensor, "batch"]:
    """Score, and hold the metric to every promise that can be checked on real data.

    Raises:
        BrokenPromise: if the scores are malformed or anything else has changed.
    """
    with untouched(case.task, case.query):
        found = metric.score(case)
    return scores(metric, found, case.query.sample)


def scores(metric: Metric, found: Any, sample: Tensor) -> Float[Tensor, "batch"]:
    """Return a metric's numbers if they are one finite number in its range for each row.

    Raises:
        BrokenPromise: if they are malformed.
    """
    got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    require(got == (len(sample),), "one number per row", f"got {got} for {len(sample)} rows.")
    what = f"scores must be floating point, got {found.dtype}."
    require(found.is_floating_point(), "dtype", what)

    bad = sample[~found.isfinite().to(sample.device)].tolist()
    what = f"the scores of samples {bad[:5]} are NaN or infinite; guard the divisions."
    require(not bad, "finite scores", what)

    low, high = metric.range
    inside = bool(((found >= low - RANGE) & (found <= high + RANGE)).all())
    least, most = float(found.min()), float(found.max())
    what = f"scores must lie in [{low:g}, {high:g}], got {least:.6g} ... {most:.6g}."
    require(inside, "declared range", what)
    return found


def tensors(explanation: Explanation) -> dict[str, Any]:
    """Return the fields of an explanation by name, without those that it leaves open."""
    found = {
        field.name: getattr(explanation, field.name) for field in dataclasses.fields(explanation)
    }
    return {name: tensor for name, tensor in found.items() if tensor is not None}
