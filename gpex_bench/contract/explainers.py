"""The promises that every explainer keeps.

An explainer is tried on tiny tasks with known answers (`toys`), through the same guarded calls as
real cells (`calls`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from gpex_bench.contract import toys
from gpex_bench.contract.calls import explain, tensors
from gpex_bench.contract.promises import (
    ROWS,
    require,
    require_settings,
    with_defaults,
    works,
)
from gpex_bench.contract.sums import COMPLETE, missing
from gpex_bench.contract.untouched import ADVICE, RANDOM
from gpex_bench.types import (
    Attribution,
    Axiom,
    Examples,
    Explainer,
    Explanation,
    Need,
    Prototype,
    Query,
    RelativeTo,
    Task,
)
from gpex_bench.types.demands import Refused

KINDS = (
    "gradient",
    "attention",
    "propagation",
    "perturbation",
    "evolutionary",
    "surrogate",
    "examples",
    "control",
    "elsewhere",  # maps that were made by others
)
EXPLANATIONS = (Attribution, Examples, Prototype)


def check_explainer(explainer: Explainer) -> None:
    """Try an explainer on every tiny task that it applies to.

    Raises:
        BrokenPromise: at the first promise it breaks.
    """
    check_declared(explainer)
    tried = 0
    for kind, task, query in toys.tasks(toys.Smooth, explainer.surrogate is not None):
        if not toys.applies(explainer.needs, task):
            continue
        tried += 1
        with works(kind):
            check_task(explainer, _accepted(explainer, task, query), query, kind)
    needs = ", ".join(sorted(explainer.needs))
    require(tried > 0, "applies somewhere", f"no task offers {needs} together.")


def _accepted(explainer: Explainer, task: Task, query: Query) -> Task:
    """Return the task, with another network in the place of the smooth one if this is refused.

    One of ReLUs; or of images a transformer.
    """
    others = [toys.Rectified, toys.Tokens] if task.data.is_image else [toys.Rectified]
    for network in others:
        try:
            explain(explainer, task, query)
            return task
        except Refused:
            other = network(tuple(query.x.shape[1:])).eval()
            task = dataclasses.replace(task, model=other)
    return task


def check_task(explainer: Explainer, task: Task, query: Query, kind: str) -> None:
    """Explain the same queries twice, and each alone; raises BrokenPromise."""
    first = explain(explainer, task, query)
    _repeats(first, explain(explainer, task, query), kind)

    for row in range(len(query.x)):
        alone = explain(explainer, task, query.rows(slice(row, row + 1)))
        _same_row(first, alone, row, kind)

    if isinstance(first, Attribution):
        _residual(explainer, first)
        _axioms(explainer, task, query, first.values, kind)
        lost = missing(explainer, task, query, first)
        reason = None if lost is None else lost.reason()
        require(reason is None, "declared sum", f"on {kind} {reason}")


def example(cls: type[Explainer]) -> Explainer:
    """Return an explainer with its default settings.

    An explainer that it wraps is one with known answers.

    Raises:
        BrokenPromise: if another setting has no default.
    """
    return with_defaults(cls, wrapped=Explainer, example=_Wrapped)


@dataclass(frozen=True, kw_only=True)
class _Wrapped(Explainer):
    """The simplest map that depends on the input; wrappers are tested around it."""

    reference = "none"
    kind = "control"
    relative_to = "baseline"

    def explain(self, task: Task, query: Query) -> Attribution:
        return Attribution(values=query.x - task.data.baseline)


def check_declared(explainer: Explainer) -> None:
    """Check what an explainer says of itself; raises BrokenPromise."""
    require_settings(type(explainer))
    kind = getattr(explainer, "kind", None)
    what = f"kind must be one of {', '.join(KINDS)}, got {kind!r}."
    require(kind in KINDS, "declared kind", what)

    reference = getattr(explainer, "reference", None)
    what = f"reference must be a key of docs/references.bib, got {reference!r}."
    require(isinstance(reference, str) and reference != "", "declared reference", what)

    relative_to = getattr(explainer, "relative_to", None)
    known = [one.value for one in RelativeTo]
    what = f"relative_to must be one of {', '.join(known)}, got {relative_to!r}."
    require(relative_to in known, "declared reference point", what)

    what = f"explains must be Attribution, Examples or Prototype, got {explainer.explains!r}."
    require(explainer.explains in EXPLANATIONS, "declared type", what)

    what = f"needs must be a frozenset of Need, got {explainer.needs!r}."
    require(all(isinstance(need, Need) for need in explainer.needs), "declared needs", what)


def _repeats(first: Explanation, second: Explanation, kind: str) -> None:
    again = tensors(second)
    for name, tensor in tensors(first).items():
        what = (
            f"{name} differs between two calls with the same arguments ({kind}); {ADVICE[RANDOM]}."
        )
        require(torch.equal(tensor, again[name]), "same call, same bits", what)


def _same_row(batch: Explanation, alone: Explanation, row: int, kind: str) -> None:
    """Require the same explanation of a row in a batch and alone, up to rounding."""
    if isinstance(batch, Prototype):
        return
    single = tensors(alone)
    for name, whole in tensors(batch).items():
        one = whole[row].double()
        other = single[name][0].double()
        size = one.abs().max()
        if name == "residual":  # the rounding of the sum of the values, too
            size = one.abs() + single["values"].double().abs().sum()

        allowed = ROWS * float(size) if whole.is_floating_point() else 0.0
        off = float((one - other).abs().max())
        what = (
            f"{name} of a row changes by {off:.3g} when it is explained alone "
            f"({kind}; allowed is {allowed:.3g}); normalise and draw per row."
        )
        require(off <= allowed, "rows do not influence one another", what)


def _residual(explainer: Explainer, given: Attribution) -> None:
    offers, gives = Need.RESIDUAL in explainer.offers, given.residual is not None
    word, given_word = ("names" if offers else "lacks"), ("one" if gives else "none")
    what = f"offers {word} Need.RESIDUAL and explain gave {given_word}."
    require(offers == gives, "declared residual", what)


def _axioms(explainer: Explainer, task: Task, query: Query, values: Tensor, kind: str) -> None:
    """Require the axioms that are declared; their answers are known on the smooth network."""
    if Axiom.COMPLETENESS in explainer.axioms:
        with torch.no_grad():
            logits = task.model(torch.cat([query.x, task.data.baseline[None]])).double()
        change = (logits[:-1] - logits[-1:]).gather(1, query.target[:, None])[:, 0]
        total = values.double().flatten(1).sum(1)
        off = (total - change).abs() / change.abs().clamp(min=1)
        worst = float(off.max())
        what = f"on {kind} the sum of a row is off f(x) - f(baseline) by a share of {worst:.3g}."
        require(worst <= COMPLETE, "completeness", what)

    if Axiom.DUMMY in explainer.axioms:
        ignored = toys.ignored(tuple(query.x.shape[1:]))
        blind = float(values[:, ignored].abs().max())
        what = f"an entry of {kind} that the network ignores has relevance {blind:.3g}, not 0."
        require(blind == 0, "dummy", what)
