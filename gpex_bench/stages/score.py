"""Explanations → scores and removal curves of one cell.

A measurement or a metric that fails, or does not apply, leaves its reason; the others are scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gpex_bench.contract import calls, isolation
from gpex_bench.masking.fills import alike
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
    curves: Mapping[Curves, Removals]
    # the fills of the curves that differ on this network, each with those that show the same
    fills: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # status and reason of each metric that could not be computed
    unscored: Mapping[str, Fate] = field(default_factory=dict)
    lost_curves: Mapping[Measurement, Fate] = field(default_factory=dict)  # the same of curves


@dataclass(frozen=True)
class Limits:
    """How much of a cell the costly metrics see."""

    robustness_samples: int  # samples that are explained again
    # for each measurement that explains again: the explainer may fail there, the suite may not
    timeout_seconds: float
    # samples of measurements and curves that the headline does not read; None: all
    removal_samples: int | None = None


def score(
    metrics: Mapping[str, Metric],
    curves: Sequence[Curves],
    case: Case,
    limits: Limits,
    variants: Sequence[Curves] = (),
) -> Scored:
    """Return the scores of a cell; everything that several metrics read is measured once.

    Args:
        metrics: by run id; those that apply to this explanation and do not summarise curves.
        curves: the removal curves that metrics read.
        case: with nothing measured.
        limits: how much the costly measurements see.
        variants: the same curves under other fills; fills that show the same are measured once.
    """
    again = {name: metric for name, metric in metrics.items() if metric.re_explains}
    others = {name: metric for name, metric in metrics.items() if not metric.re_explains}
    asking = {name: metric for name, metric in others.items() if metric.measurements()}
    of_maps = {name: metric for name, metric in others.items() if name not in asking}
    some = first(case, limits.removal_samples or len(case.query.x))
    asked_some, broken = _here(some, asking)
    few, broken_again = _isolated(
        first(case, limits.robustness_samples), again, limits.timeout_seconds
    )

    tables, unscored = [empty()], {}
    lost = broken | broken_again
    for part, seen in ((of_maps, case), (asking, asked_some), (again, few)):
        for name, metric in part.items():
            fates = [lost[each] for each in metric.measurements() if each in lost]
            table = _table(name, seen, metric) if not fates else fates[0]
            if isinstance(table, tuple):
                unscored[name] = table
            else:
                tables.append(table)

    scores = pd.concat([table for table in tables if len(table)] or tables)
    if not isinstance(case.explanation, Attribution):
        return Scored(scores, {}, unscored=unscored)

    fills = alike(case, ["baseline", *(key.fill for key in variants)])
    different = [key for key in variants if key.fill in fills]
    wanted = {key: case if _is_of_headline(key, variants) else some for key in curves}
    found, lost_curves = _curves(wanted | dict.fromkeys(different, case))
    return Scored(scores, found, fills, unscored, lost_curves)


def _is_of_headline(key: Curves, variants: Sequence[Curves]) -> bool:
    """Return whether curves are those of single positions, or are measured under other fills."""
    is_main = key.unit == "position" and key.fill == "baseline"
    return is_main or any(key.under(one.fill) == one for one in variants)


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
    wanted: Mapping[Curves, Case],
) -> tuple[dict[Curves, Removals], dict[Measurement, Fate]]:
    """Return the removal curves, each of its samples, and status and reason of those lost."""
    found: dict[Curves, Removals] = {}
    lost: dict[Measurement, Fate] = {}
    for key, case in wanted.items():
        try:
            found[key] = key.measure(case)
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
