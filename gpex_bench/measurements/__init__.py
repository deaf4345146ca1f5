"""What metrics learn from a network or an explainer, measured once per cell for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gpex_bench.types import Case, Measurement, Metric, Prototype


def measured(case: Case, metrics: Iterable[Metric]) -> Case:
    """Return the case with all measurements of its metrics; earlier measurements are kept."""
    found = dict(case.measured)
    for measurement in asked(metrics):
        if measurement not in found:
            found[measurement] = measurement.measure(case)
    return with_measured(case, found)


def asked(metrics: Iterable[Metric]) -> list[Measurement]:
    """Return the different measurements of metrics, in their order."""
    return list(
        dict.fromkeys(measurement for metric in metrics for measurement in metric.measurements())
    )


def with_measured(case: Case, found: dict) -> Case:
    """Return the case with these measurements."""
    return replace(case, measured=found)


def first(case: Case, n_samples: int) -> Case:
    """Return the case of the first samples, with nothing measured."""
    rows, explanation = slice(n_samples), case.explanation
    return Case(
        task=case.task,
        query=case.query.rows(rows),
        explanation=explanation if isinstance(explanation, Prototype) else explanation.rows(rows),
        explainer=case.explainer,
        retrained=tuple(one.rows(rows) for one in case.retrained),
    )
