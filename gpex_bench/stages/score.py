"""Explanations → scores and removal curves of one cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gpex_bench.contract import calls, isolation
from gpex_bench.masking.fills import CurveFill
from gpex_bench.measurements import asked, first, measured, with_measured
from gpex_bench.measurements.curves import Curves, Removals
from gpex_bench.types import Attribution, Case, Measurement, Metric

SCORES = {"metric": "str", "sample": "int64", "target": "int64", "score": "float64"}


def empty(columns: Mapping[str, str] = SCORES) -> pd.DataFrame:
    """Return a table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


@dataclass(frozen=True)
class Scored:
    """What became of one cell."""

    # of the metrics that do not summarise curves; the others read the stored ones
    scores: pd.DataFrame
    # of all samples, and of the first ones under other fills
    curves: Mapping[Curves, Removals]
    # why a metric that explains again could not be computed
    failed: Mapping[str, str]


@dataclass(frozen=True)
class Limits:
    """How much of a cell the costly metrics see."""

    robustness_samples: int  # samples that are explained again
    fill_samples: int  # samples whose curves are measured under the other fills
    fills: Sequence[CurveFill]  # the other fills
    # for each measurement that explains again: the explainer may fail there, the suite may not
    timeout_seconds: float


def score(
    metrics: Mapping[str, Metric], curves: Sequence[Curves], case: Case, limits: Limits
) -> Scored:
    """Return the scores of a cell; everything that several metrics read is measured once.

    Args:
        metrics: by run id; those that apply to this explanation and do not summarise curves.
        curves: which removal curves are recorded, of all samples.
        case: with nothing measured.
        limits: how much the costly measurements see.
    """
    plain = {name: metric for name, metric in metrics.items() if not metric.re_explains}
    again = {name: metric for name, metric in metrics.items() if metric.re_explains}
    whole = measured(case, plain.values())
    few, broken = _isolated(first(case, limits.robustness_samples), again, limits.timeout_seconds)
    tables, failed = [empty()], {}
    for name, metric in plain.items():
        tables.append(_table(name, whole, metric))
    for name, metric in again.items():
        reasons = [
            broken[measurement] for measurement in metric.measurements() if measurement in broken
        ]
        if reasons:
            failed[name] = reasons[0]
        else:
            tables.append(_table(name, few, metric))
    scores = pd.concat([table for table in tables if len(table)] or tables)
    return Scored(scores, _curves(case, curves, limits), failed)


def _isolated(
    case: Case, metrics: Mapping[str, Metric], timeout: float
) -> tuple[Case, dict[Measurement, str]]:
    """Return the case with what could be measured, and why the rest could not.

    Measurements run in a process of their own. All are tried in one process, since starting one
    costs more than many explanations; if it fails, each in its own.
    """
    wanted = asked(metrics.values())
    if not wanted:
        return case, {}
    together = isolation.run(lambda: [_packed(each.measure(case)) for each in wanted], timeout)
    if together.value is not None:
        return with_measured(
            case, dict(zip(wanted, map(_unpacked, together.value), strict=True))
        ), {}
    found: dict[Measurement, Any] = {}
    broken: dict[Measurement, str] = {}
    for each in wanted:
        outcome = isolation.run(lambda one=each: _packed(one.measure(case)), timeout)  # type: ignore[misc]
        if outcome.value is None:
            broken[each] = f"{outcome.status}: {outcome.reason}"
        else:
            found[each] = _unpacked(outcome.value)
    return with_measured(case, found), broken


def _packed(measurement: Any) -> tuple[type, dict[str, Any]]:
    """Return a value of tensors as arrays: tensors of a process that has ended cannot be read."""
    content = {field.name: getattr(measurement, field.name) for field in fields(measurement)}
    return type(measurement), {
        name: part.detach().cpu().numpy() if isinstance(part, Tensor) else part
        for name, part in content.items()
    }


def _unpacked(packed: tuple[type, dict[str, Any]]) -> Any:
    kind, content = packed
    return kind(
        **{
            name: torch.from_numpy(part) if isinstance(part, np.ndarray) else part
            for name, part in content.items()
        }
    )


def _curves(case: Case, curves: Sequence[Curves], limits: Limits) -> dict[Curves, Removals]:
    """Return the curves of all samples, and of the first ones those of the other fills."""
    if not isinstance(case.explanation, Attribution):
        return {}

    measured = {key: key.measure(case) for key in curves}
    few = first(case, limits.fill_samples)
    for key in curves:
        is_main = key.unit == "position" and key.fill == "baseline"
        if not is_main:
            continue

        others = [replace(key, fill=fill) for fill in limits.fills]
        for other in others:
            if other not in measured:
                measured[other] = other.measure(few)
    return measured


def _table(name: str, case: Case, metric: Metric) -> pd.DataFrame:
    """Return a metric's scores; a promise that a metric breaks is a fault of the suite."""
    numbers, query = calls.score(metric, case).detach().double().numpy(), case.query
    return pd.DataFrame(
        {
            "metric": name,
            "sample": query.sample.numpy(),
            "target": query.target.numpy(),
            "score": numbers,
        }
    )
