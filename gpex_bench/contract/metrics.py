"""The promises that every metric keeps.

A metric is tried on explanations of tiny tasks of which it is known which are better (`toys`),
through the same guarded calls as real cells (`calls`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from gpex_bench.contract import toys
from gpex_bench.contract.calls import explain, score
from gpex_bench.contract.promises import ROWS, require, require_settings, works
from gpex_bench.contract.untouched import ADVICE, RANDOM
from gpex_bench.measurements import measured
from gpex_bench.tables.order import METRIC_KINDS
from gpex_bench.types import Case, Explainer, Metric, Query, Retrained, Task

# By what a metric measures: an explanation that must score better than the other.
BETTER_AND_WORSE: dict[str, tuple[Explainer, Explainer]] = {
    "faithfulness": (toys.Known(how="exact"), toys.Known(how="inverse")),
    "truth": (toys.Known(how="exact"), toys.Known(how="inverse")),
    "robustness": (toys.Known(how="steady"), toys.Known(how="jumpy")),
    "complexity": (toys.Known(how="narrow"), toys.Known(how="even")),
    "randomisation": (toys.Known(how="exact"), toys.Known(how="even")),
    "axiom": (toys.Known(how="exact"), toys.Known(how="crooked")),
    "examples": (toys.KnownExamples(own=True), toys.KnownExamples(own=False)),
}


def check_metric(metric: Metric) -> None:
    """Try a metric on tiny linear tasks, on explanations of which it is known which are better.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    _declared(metric)
    tried = 0
    for kind, task, query in toys.tasks(toys.Linear):
        if not toys.applies(metric.needs, task):
            continue
        tried += 1
        good, bad = BETTER_AND_WORSE[metric.measures]
        with works(kind):
            better = _scores(metric, task, query, good, kind)
            worse = _scores(metric, task, query, bad, kind)
        _direction(metric, float(better.mean()), float(worse.mean()), kind)

    needs = ", ".join(sorted(metric.needs))
    require(tried > 0, "applies somewhere", f"no task offers {needs} together.")


def _declared(metric: Metric) -> None:
    require_settings(type(metric))
    measures = getattr(metric, "measures", "")
    what = f"measures must be one of {', '.join(METRIC_KINDS)}, got {measures!r}."
    require(measures in METRIC_KINDS, "declared measure", what)

    low, high = metric.range
    chance = low if metric.chance is None else metric.chance
    what = f"{metric.range} with chance {metric.chance}."
    require(low < high and low <= chance <= high, "declared range", what)


def _direction(metric: Metric, better: float, worse: float, kind: str) -> None:
    """Require that the better explanation scores better, unless a caveat says why it need not."""
    gap = better - worse if metric.higher_is_better else worse - better
    word = "higher" if metric.higher_is_better else "lower"
    what = (
        f"{word} is declared to be better, and on {kind} the better explanation "
        f"scores {better:.4g}, the worse one {worse:.4g}."
    )
    require(gap > 0 or metric.caveat is not None, "declared direction", what)


def _case(metric: Metric, task: Task, query: Query, explainer: Explainer) -> Case:
    """Return the case of an explainer, with the metric's measurements."""
    explanation = explain(explainer, task, query)
    case = Case(
        task=task,
        query=query,
        explanation=explanation,
        explainer=explainer,
        retrained=tuple(_retrained(task, query, explainer, number) for number in (1, 2)),
    )
    return measured(case, [metric])


def _retrained(task: Task, query: Query, explainer: Explainer, number: int) -> Retrained:
    """Return the explanations of another training seed, of a network that came out the same."""
    elsewhere = replace(task, seed=task.seed + number)
    explanation = explain(explainer, elsewhere, query)
    return Retrained(sample=query.sample, target=query.target, explanation=explanation)


def _scores(metric: Metric, task: Task, query: Query, explainer: Explainer, kind: str) -> Tensor:
    """Return scores after checking that they repeat and do not depend on the batch."""
    case = _case(metric, task, query, explainer)
    scores = score(metric, case)
    what = f"scores differ between two calls with the same arguments ({kind}); {ADVICE[RANDOM]}."
    require(torch.equal(scores, score(metric, case)), "same call, same bits", what)

    for row, expected in enumerate(scores.tolist()):
        part = query.rows(slice(row, row + 1))
        alone = float(score(metric, _case(metric, task, part, explainer))[0])
        is_kept = math.isclose(alone, expected, rel_tol=ROWS, abs_tol=ROWS)
        what = f"a row scores {expected:.6g} in a batch and {alone:.6g} alone ({kind})."
        require(is_kept, "rows do not influence one another", what)
    return scores
