"""Explanations → scores: one long table per cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gpex_bench import guard, isolation
from gpex_bench.removal import removal_curves
from gpex_bench.stages.queries import some
from gpex_bench.types import Attribution, Case, Examples, Explanation, Metric, Removal

SCORES = {"metric": "str", "sample": "int64", "target": "int64", "score": "float64"}
CURVES = {"sample": "int64", "order": "str", "fraction": "float64", "probability": "float64"}


def empty(columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def score(
    metrics: Mapping[str, Metric], case: Case, robustness_samples: int, timeout_seconds: float
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Return the scores, the removal curves, and why a metric that explains again could not be computed.

    Args:
        metrics: by run id; those that apply to this explanation.
        case: without removal curves; they are computed once, if a metric uses them.
        robustness_samples: how many of the samples the metrics that explain again see.
        timeout_seconds: for each metric that explains again; the explainer may fail there, the suite may not.
    """
    removal = None
    if any(metric.uses_removal for metric in metrics.values()) and isinstance(case.explanation, Attribution):
        removal = removal_curves(case.task.model, case.query, case.explanation.values, case.task.data.baseline)
        case = _with(case, removal)
    tables, failed = [empty(SCORES)], {}
    for name, metric in metrics.items():
        if metric.re_explains:
            few = _first(case, robustness_samples)
            outcome = isolation.run(lambda m=metric, c=few: _numbers(m, c), timeout_seconds)  # type: ignore[misc]
            if outcome.value is None:
                failed[name] = f"{outcome.status}: {outcome.reason}"
                continue
            tables.append(_table(name, few, outcome.value))
        else:
            tables.append(_table(name, case, _numbers(metric, case)))
    curves = empty(CURVES) if removal is None else _curves(case, removal)
    return pd.concat([table for table in tables if len(table)] or tables), curves, failed


def _numbers(metric: Metric, case: Case) -> np.ndarray:
    """Return a metric's scores; a promise that a metric breaks is a fault of the suite."""
    return guard.score(metric, case).detach().double().numpy()


def _table(name: str, case: Case, numbers: np.ndarray) -> pd.DataFrame:
    query = case.query
    return pd.DataFrame(
        {"metric": name, "sample": query.sample.numpy(), "target": query.target.numpy(), "score": numbers}
    )


def _with(case: Case, removal: Removal | None) -> Case:
    return Case(
        task=case.task,
        query=case.query,
        explanation=case.explanation,
        explainer=case.explainer,
        removal=removal,
    )


def _first(case: Case, n_samples: int) -> Case:
    return Case(
        task=case.task,
        query=some(case.query, n_samples),
        explanation=_rows(case.explanation, n_samples),
        explainer=case.explainer,
    )


def _rows(explanation: Explanation, n_samples: int) -> Explanation:
    if isinstance(explanation, Attribution):
        return Attribution(values=explanation.values[:n_samples])
    if isinstance(explanation, Examples):
        return Examples(index=explanation.index[:n_samples], weight=explanation.weight[:n_samples])
    return explanation


def _curves(case: Case, removal: Removal) -> pd.DataFrame:
    n_samples, n_points = removal.most_first.shape
    fraction = removal.fraction.double().repeat(n_samples).numpy()
    sample = case.query.sample.repeat_interleave(n_points).numpy()
    parts = [("most_first", removal.most_first), ("least_first", removal.least_first)]
    return pd.concat(
        pd.DataFrame(
            {"sample": sample, "order": order, "fraction": fraction, "probability": values.double().flatten().numpy()}
        )
        for order, values in parts
    )
