"""The promises that every explainer and every metric keeps, and the checks that hold them to it.

`check_explainer` and `check_metric` try a plug-in on tiny tasks with known answers (`toys`), through the same guarded
calls as real cells (`guard`).
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gpex_bench.contract import toys
from gpex_bench.contract.calls import explain, score, tensors
from gpex_bench.contract.untouched import ADVICE, RANDOM, BrokenPromise, require
from gpex_bench.measurements import measured
from gpex_bench.tables.order import METRIC_KINDS
from gpex_bench.types import (
    Attribution,
    Axiom,
    Case,
    Examples,
    Explainer,
    Explanation,
    Metric,
    Need,
    Prototype,
    Query,
    Task,
)

__all__ = ["BrokenPromise", "check_explainer", "check_metric", "example"]

ROWS = 1e-4  # a row alone and in a batch may differ by this share of its largest value: other kernels, other sums
COMPLETE = 1e-3  # quadrature error that a complete attribution may have, as a share of max(1, |f(x) - f(baseline)|)
KINDS = (
    "gradient",
    "propagation",
    "perturbation",
    "evolutionary",
    "surrogate",
    "examples",
    "control",
)
EXPLANATIONS = (Attribution, Examples, Prototype)


def check_explainer(explainer: Explainer) -> None:
    """Try an explainer on every tiny task that it applies to.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    _declared(explainer)
    has_surrogate = explainer.surrogate is not None
    tried = 0
    for kind, task, query in toys.tasks(toys.Smooth, has_surrogate):
        if not _applies(explainer.needs, task):
            continue
        tried += 1
        with _works(kind):
            first = explain(explainer, task, query)
            _repeats(first, explain(explainer, task, query), kind)
            for row in range(len(query.x)):
                alone = explain(explainer, task, query.rows(slice(row, row + 1)))
                _same_row(first, alone, row, kind)
            if isinstance(first, Attribution):
                _residual(explainer, first)
                _axioms(explainer, task, query, first.values, kind)
    require(
        tried > 0,
        "applies somewhere",
        f"no task offers {', '.join(sorted(explainer.needs))} together.",
    )


def example(cls: type[Explainer]) -> Explainer:
    """Return an explainer with its default settings; an explainer that it wraps is one with known answers.

    Raises:
        BrokenPromise: if another setting has no default.
    """
    require(
        dataclasses.is_dataclass(cls),
        "settings",
        f"{cls.__name__} must be decorated with @settings.",
    )
    hints = typing.get_type_hints(cls)
    given: dict[str, Explainer] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.default is field.default_factory is dataclasses.MISSING:
            wraps = hints[field.name] is Explainer
            require(
                wraps,
                "defaults",
                f"the setting {field.name!r} of {cls.__name__} needs a default value.",
            )
            given[field.name] = _Wrapped()
    return cls(**given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wrapped(Explainer):
    """The simplest map that depends on the input; what a wrapper is tried with."""

    reference = "none"
    kind = "control"

    def explain(self, task: Task, query: Query) -> Attribution:
        return Attribution(values=query.x - task.data.baseline)


def _declared(explainer: Explainer) -> None:
    name = type(explainer).__name__
    require(
        dataclasses.is_dataclass(explainer), "settings", f"{name} must be decorated with @settings."
    )
    kind, reference = getattr(explainer, "kind", None), getattr(explainer, "reference", None)
    require(
        kind in KINDS, "declared kind", f"kind must be one of {', '.join(KINDS)}, got {kind!r}."
    )
    what = f"reference must be a key of docs/references.bib, got {reference!r}."
    require(isinstance(reference, str) and reference != "", "declared reference", what)
    what = f"explains must be Attribution, Examples or Prototype, got {explainer.explains!r}."
    require(explainer.explains in EXPLANATIONS, "declared type", what)
    what = f"needs must be a frozenset of Need, got {explainer.needs!r}."
    require(all(isinstance(need, Need) for need in explainer.needs), "declared needs", what)


def _applies(needs: frozenset[Need], task: Task) -> bool:
    return needs.isdisjoint({Need.TABLE if task.data.is_image else Need.IMAGE})


@contextmanager
def _works(kind: str) -> Iterator[None]:
    """Turn a crash on a tiny task into a broken promise."""
    try:
        yield
    except BrokenPromise:
        raise
    except Exception as error:
        raise BrokenPromise(
            "works on tiny tasks", f"{type(error).__name__} on {kind}: {error}"
        ) from error


def _repeats(first: Explanation, second: Explanation, kind: str) -> None:
    for (name, one), two in zip(tensors(first).items(), tensors(second).values(), strict=True):
        what = (
            f"{name} differs between two calls with the same arguments ({kind}); {ADVICE[RANDOM]}."
        )
        require(torch.equal(one, two), "same call, same bits", what)


def _same_row(batch: Explanation, alone: Explanation, row: int, kind: str) -> None:
    if isinstance(batch, Prototype):
        return
    for (name, whole), single in zip(tensors(batch).items(), tensors(alone).values(), strict=True):
        one, other = whole[row].double(), single[0].double()
        size = (
            one.abs().max()
            if name != "residual"
            else one.abs() + tensors(alone)["values"].double().abs().sum()
        )
        allowed = ROWS * float(size) if whole.is_floating_point() else 0.0
        off = float((one - other).abs().max())
        what = f"{name} of a row changes by {off:.3g} when it is explained alone ({kind}; allowed is {allowed:.3g})"
        require(
            off <= allowed,
            "rows do not influence one another",
            f"{what}; normalise and draw per row.",
        )


def _residual(explainer: Explainer, given: Attribution) -> None:
    offers, gives = Need.RESIDUAL in explainer.offers, given.residual is not None
    what = f"offers {'names' if offers else 'lacks'} Need.RESIDUAL and explain gave {'one' if gives else 'none'}."
    require(offers == gives, "declared residual", what)


def _axioms(explainer: Explainer, task: Task, query: Query, values: Tensor, kind: str) -> None:
    if Axiom.COMPLETENESS in explainer.axioms:
        with torch.no_grad():
            logits = task.model(torch.cat([query.x, task.data.baseline[None]])).double()
        change = (logits[:-1] - logits[-1:]).gather(1, query.target[:, None])[:, 0]
        off = (values.double().flatten(1).sum(1) - change).abs() / change.abs().clamp(min=1)
        what = f"on {kind} the sum of a row is off f(x) - f(baseline) by a share of {float(off.max()):.3g}."
        require(bool((off <= COMPLETE).all()), "completeness", what)
    if Axiom.DUMMY in explainer.axioms:
        blind = values[:, toys.ignored(tuple(query.x.shape[1:]))].abs().max()
        what = (
            f"an entry of {kind} that the network ignores has relevance {float(blind):.3g}, not 0."
        )
        require(float(blind) == 0, "dummy", what)


# --- metrics --------------------------------------------------------------------------------------------------------

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
    known = ", ".join(METRIC_KINDS)
    measures = getattr(metric, "measures", "")
    require(
        measures in METRIC_KINDS,
        "declared measure",
        f"measures must be one of {known}, got {measures!r}.",
    )
    low, high = metric.range
    chance = low if metric.chance is None else metric.chance
    require(
        low < high and low <= chance <= high,
        "declared range",
        f"{metric.range} with chance {metric.chance}.",
    )
    tried = 0
    for kind, task, query in toys.tasks(toys.Linear):
        if not _applies(metric.needs, task):
            continue
        tried += 1
        with _works(kind):
            better, worse = (
                _scores(metric, task, query, explainer, kind)
                for explainer in BETTER_AND_WORSE[measures]
            )
        gap = float((better - worse).mean()) * (1 if metric.higher_is_better else -1)
        word = "higher" if metric.higher_is_better else "lower"
        what = f"{word} is said to be better, and on {kind} the better explanation scores {float(better.mean()):.4g}"
        require(
            gap > 0 or metric.caveat is not None,
            "declared direction",
            f"{what}, the worse one {float(worse.mean()):.4g}.",
        )
    require(
        tried > 0,
        "applies somewhere",
        f"no task offers {', '.join(sorted(metric.needs))} together.",
    )


def _case(metric: Metric, task: Task, query: Query, explainer: Explainer) -> Case:
    case = Case(
        task=task, query=query, explanation=explain(explainer, task, query), explainer=explainer
    )
    return measured(case, [metric])


def _scores(metric: Metric, task: Task, query: Query, explainer: Explainer, kind: str) -> Tensor:
    """Return the scores of an explainer after checking that they repeat and do not depend on the batch."""
    case = _case(metric, task, query, explainer)
    scores = score(metric, case)
    what = f"scores differ between two calls with the same arguments ({kind}); {ADVICE[RANDOM]}."
    require(torch.equal(scores, score(metric, case)), "same call, same bits", what)
    for row in range(len(query.x)):
        alone = float(
            score(metric, _case(metric, task, query.rows(slice(row, row + 1)), explainer))[0]
        )
        kept = math.isclose(alone, float(scores[row]), rel_tol=ROWS, abs_tol=ROWS)
        what = f"a row scores {float(scores[row]):.6g} in a batch and {alone:.6g} alone ({kind})."
        require(kept, "rows do not influence one another", what)
    return scores
