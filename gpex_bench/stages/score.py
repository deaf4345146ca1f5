"""Explanations → scores and removal curves of one cell.

A measurement or a metric that fails, or does not apply, leaves its reason; the others are scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gpex_bench.contract import calls, isolation
from gpex_bench.masking.fills import CurveFill
from gpex_bench.measurements import asked, first, with_measured
from gpex_bench.measurements.curves import Curves, Removals
from gpex_bench.types import Attribution, Case, Measurement, Metric

Fate = tuple[str, str]  # status and reason of what is missing
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
    # status and reason of each metric that could not be computed
    unscored: Mapping[str, Fate] = field(default_factory=dict)
    lost_curves: Mapping[Measurement, Fate] = field(default_factory=dict)  # the same of curves


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
    whole, broken = _here(case, plain)
    few, broken_again = _isolated(
        first(case, limits.robustness_samples), again, limits.timeout_seconds
    )

    tables, unscored = [empty()], {}
    for part, seen, lost in ((plain, whole, broken), (again, few, broken_again)):
        for name, metric in part.items():
            fates = [lost[each] for each in metric.measurements() if each in lost]
            table = _table(name, seen, metric) if not fates else fates[0]
            if isinstance(table, tuple):
                unscored[name] = table
            else:
                tables.append(table)

    scores = pd.concat([table for table in tables if len(table)] or tables)
    found, lost_curves = _curves(case, curves, limits)
    return Scored(scores, found, unscored, lost_curves)


def _here(case: Case, metrics: Mapping[str, Metric]) -> tuple[Case, dict[Measurement, Fate]]:
    """Return the case with what could be measured in this process, and why the rest could not."""
    found: dict[Measurement, Any] = {}
    broken: dict[Measurement, Fate] = {}
    for each in asked(metrics.values()):
        try:
            found[each] = each.measure(case)
        except Exception as error:
            broken[each] = _fate(error)
    return with_measured(case, found), broken


def _fate(error: Exception) -> Fate:
    """Return status and reason of what raised this error."""
    outcome = isolation.failure(error)
    return outcome.status, outcome.reason


def _isolated(
    case: Case, metrics: Mapping[str, Metric], timeout: float
) -> tuple[Case, dict[Measurement, Fate]]:
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
    broken: dict[Measurement, Fate] = {}
    for each in wanted:
        outcome = isolation.run(lambda one=each: _packed(one.measure(case)), timeout)  # type: ignore[misc]
        if outcome.value is None:
            broken[each] = (outcome.status, outcome.reason)
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


def _curves(
    case: Case, curves: Sequence[Curves], limits: Limits
) -> tuple[dict[Curves, Removals], dict[Measurement, Fate]]:
    """Return the curves of all samples, those of the first ones under the other fills, and losses.

    What is lost comes with status and reason, by measurement.
    """
    if not isinstance(case.explanation, Attribution):
        return {}, {}

    few = first(case, limits.fill_samples)
    wanted: dict[Curves, Case] = dict.fromkeys(curves, case)
    for key in curves:
        is_main = key.unit == "position" and key.fill == "baseline"
        for fill in limits.fills if is_main else ():
            wanted.setdefault(replace(key, fill=fill), few)

    found: dict[Curves, Removals] = {}
    lost: dict[Measurement, Fate] = {}
    for key, seen in wanted.items():
        try:
            found[key] = key.measure(seen)
        except Exception as error:
            lost[key] = _fate(error)
    return found, lost


def _table(name: str, case: Case, metric: Metric) -> pd.DataFrame | Fate:
    """Return a metric's scores, or why there are none."""
    try:
        numbers, query = calls.score(metric, case).detach().double().numpy(), case.query
    except Exception as error:
        return _fate(error)
    return pd.DataFrame(
        {
            "metric": name,
            "sample": query.sample.numpy(),
            "target": query.target.numpy(),
            "score": numbers,
        }
    )
