"""What plug-ins declare: cards for the report, lines of `gpex-bench list`, generated pages."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from gpex_bench.plugins.homes import without_folders
from gpex_bench.plugins.registry import Plugin, plugins
from gpex_bench.types import Axiom, Explainer, Metric, Recipe, Role, Source
from gpex_bench.types.values import key_of

PAGES = {"method": "methods/README.md", "metric": "docs/metrics.md"}
INTRODUCTIONS = {
    "method": """# Explainers

One file each; `_template.py` is the one to copy ([how](../docs/add-a-method.md)). What a method
computes, its reference, its cost in network rows and what is ours in it are at the top of its file.
References are keys in `docs/references.bib`. Rows go through the network: a batch of 8 is 8 rows.
`gpex-bench list` prints the same.

This page is generated: `gpex-bench list method --markdown > methods/README.md`.
""",
    "metric": """# Metrics

One file each in `gpex_bench/metrics/` ([how to add one](add-a-metric.md)). The table lists them;
below it is the docstring of each file: definition, equation, conventions, what is ours, cost.
References are keys in `docs/references.bib`. Cost is counted per explained sample, in rows that go
through the network. Chance is the expected score of a random map where it is known; elsewhere the
control `random_map` measures it. `make crosscheck` compares them with those of Quantus and captum
([table](../results/published/crosscheck/README.md)).

Of `faithfulness` and `truth` the planted evidence must score best, a random map worse and the
inverted evidence worst (`tests/test_benchmark_sanity.py`), unless a caveat says why not. The other
kinds cannot be asked this. `robustness`, `randomisation` and most of `axiom` compare maps made
under different conditions: planted evidence and its inverse stay the same whatever the input and
the network are, and so does a random map unless its seed changes; they score the same, best or
worst. The rest of `axiom` asks for a sum, which planted evidence does not promise. `complexity`
sees sizes only, so that a map and its inverse score the same. What all of these must prefer is
tested on explainers made for it (`gpex_bench/contract/metrics.py`). How each reacts to perturbed
networks and inputs: [trust](../results/published/metric_trust/README.md).

This page is generated: `gpex-bench list metric --markdown > docs/metrics.md`.
""",
}


HEADS = {
    "method": (
        "name",
        "what it is",
        "kind",
        "gives",
        "relative to",
        "needs",
        "cost",
        "hyperparameters",
        "reference",
    ),
    "metric": (
        "name",
        "what it is",
        "measures",
        "better",
        "range",
        "margin",
        "chance",
        "cost",
        "explains again",
        "needs",
        "hyperparameters",
        "reference",
    ),
}


# --- cards: what the tables and the report know about the plug-ins of a run ---------------------


def card(section: str, run_id: str, plugin: Any, **more: Any) -> dict[str, Any]:
    """Return the card of a plug-in: run id, class, first line of its docstring, settings."""
    reads = getattr(plugin, "reads", ())
    hyperparameters = {
        key_of(field): without_folders(repr(getattr(plugin, field.name)), reads)
        for field in fields(plugin)
        if field.repr
    }
    return {
        section: run_id,
        "class": type(plugin).__name__,
        "description": first_line(type(plugin)),
        "hyperparameters": hyperparameters,
        **more,
    }


def method_cards(explainers: Mapping[str, Explainer]) -> list[dict[str, Any]]:
    """Return the card of each method, by run id."""
    return [_method_card(run_id, explainers) for run_id in explainers]


def _method_card(run_id: str, explainers: Mapping[str, Explainer]) -> dict[str, Any]:
    """Return the card of one method; a wrapper names the method of the run that it changes."""
    explainer = explainers[run_id]
    changed = _changed(explainer)
    names = [name for name, other in explainers.items() if other == changed]

    # A wrapper sees no more than what it changes: a blurred edge map is as blind as the edges.
    innermost = explainer
    while (inner := _changed(innermost)) is not None:
        innermost = inner

    return card(
        "method",
        run_id,
        explainer,
        needs=sorted(need.value for need in explainer.needs),
        surrogate=explainer.surrogate,
        reference=explainer.reference,
        title=method_title(explainer),
        kind=explainer.kind,
        relative_to=str(explainer.relative_to),
        adds_up=adds_up(explainer),
        role=_role(explainer).value,
        of=names[0] if names else "",
        is_blind=innermost.role.is_blind,
        explains=explainer.explains.__name__,
    )


def method_title(explainer: Explainer) -> str:
    """Return the name that people know a method by: what its file begins with.

    A wrapper also names the method whose map it changes.
    """
    text = (sys.modules[type(explainer).__module__].__doc__ or "").strip()
    head, colon, _ = text.split("\n", 1)[0].partition(":")
    title = head if colon else type(explainer).__name__

    changed = _changed(explainer)
    return title if changed is None else f"{title}: {method_title(changed)}"


def adds_up(explainer: Explainer) -> bool:
    """Return whether a method promises what the values of its map sum to."""
    is_complete = Axiom.COMPLETENESS in explainer.axioms
    return explainer.sum_tolerance is not None or is_complete


def unusable_method_card(run_id: str, reason: str) -> dict[str, Any]:
    """Return the card of a method that cannot be used: its cells fail with this reason."""
    return {
        "method": run_id,
        "description": reason,
        "class": "",
        "kind": "",
        "title": run_id,
        "reference": "",
        "relative_to": "",
        "adds_up": False,
        "role": Role.METHOD.value,
        "of": "",
        "is_blind": False,
        "needs": [],
        "surrogate": None,
        "explains": "",
        "hyperparameters": {},
    }


def _changed(explainer: Explainer) -> Explainer | None:
    """Return the explainer whose map this one changes, or None if it is no wrapper."""
    inner = getattr(explainer, "of", None)
    return inner if isinstance(inner, Explainer) else None


def _role(explainer: Explainer) -> Role:
    """Return the declared role; a control that declares none is just a control."""
    is_undeclared = explainer.kind == "control" and explainer.role is Role.METHOD
    return Role.CONTROL if is_undeclared else explainer.role


def metric_card(run_id: str, metric: Metric) -> dict[str, Any]:
    """Return the card of a metric."""
    return card(
        "metric",
        run_id,
        metric,
        title=metric.title,
        reference=metric.reference,
        measures=metric.measures,
        higher_is_better=metric.higher_is_better,
        range=list(metric.range),
        margin=metric.margin,
        resolution=metric.resolution,
        chance=metric.chance,
        is_share_of_truth=metric.is_share_of_truth,
        blind_can_be_perfect=metric.blind_can_be_perfect,
    )


def dataset_card(run_id: str, source: Source) -> dict[str, Any]:
    """Return the card of a dataset."""
    return card("dataset", run_id, source, offers=sorted(need.value for need in source.offers))


def surrogate_card(run_id: str, recipe: Recipe) -> dict[str, Any]:
    """Return the card of a surrogate."""
    return card("surrogate", run_id, recipe, exact=recipe.exact)


# --- lines and pages: what the plug-ins that ship with the suite declare -------------------------


def first_line(thing: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


def hyperparameters(cls: type) -> str:
    """Return the hyperparameters of a plug-in and their defaults, e.g. "n_steps=50, batch=64"."""
    shown = []
    for field in fields(cls):  # type: ignore[arg-type] # plug-ins are dataclasses
        if field.default is not MISSING:
            shown.append(f"{key_of(field)}={field.default!r}")
        elif field.default_factory is not MISSING:
            shown.append(f"{key_of(field)}={field.default_factory()!r}")
        else:
            shown.append(f"{key_of(field)} (required)")
    return ", ".join(shown)


def summary(plugin: Plugin) -> str:
    """Return a line on the plug-in, or why it cannot be used."""
    cls: Any = plugin.cls
    if cls is None:
        return f"CANNOT BE USED: {plugin.problem}"

    text = f"{first_line(cls)} ({hyperparameters(cls) or 'no hyperparameters'})"
    if issubclass(cls, Explainer):
        text += f" Kind: {_kind(cls)}. Relative to: {_relative_to(cls)}. Needs: {_needs(cls)}."
        text += f" Reference: {cls.reference}. Cost: {cls.cost}."
    return text


def page(kind: str) -> str:
    """Return the generated Markdown page of the methods or the metrics that ship with the suite.

    Raises:
        ValueError: there is no page of this kind.
    """
    if kind not in PAGES:
        raise ValueError(f"kind must be one of {', '.join(PAGES)} to have a page, got {kind!r}.")

    usable = {plugin.name: plugin.cls for plugin in plugins(kind).values() if plugin.cls}
    rows = [HEADS[kind], ["---"] * len(HEADS[kind])]
    rows += [row(kind, name, cls) for name, cls in usable.items()]
    table = "".join(_markdown_row(cells) for cells in rows)

    sections = ""
    if kind == "metric":
        sections = "".join(_metric_section(name, cls) for name, cls in usable.items())
    return f"{INTRODUCTIONS[kind]}\n{table}{sections}"


def row(kind: str, name: str, cls: Any) -> list[str]:
    """Return what a method or a metric declares, in the order of HEADS."""
    return _method_row(name, cls) if kind == "method" else _metric_row(name, cls)


def _markdown_row(cells: Any) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _method_row(name: str, cls: Any) -> list[str]:
    """Return the cells of a method, in the order of HEADS."""
    return [
        f"`{name}`",
        first_line(cls),
        _kind(cls),
        cls.explains.__name__.lower(),
        _relative_to(cls),
        _needs(cls),
        cls.cost,
        hyperparameters(cls) or "–",
        f"`{cls.reference}`",
    ]


def _metric_row(name: str, cls: Any) -> list[str]:
    """Return the cells of a metric, in the order of HEADS."""
    metric = cls()  # range and needs may depend on settings
    return [
        f"`{name}`",
        first_line(cls),
        cls.measures,
        "higher" if cls.higher_is_better else "lower",
        _interval(metric.range),
        "0.1 sd" if metric.margin is None else f"{metric.margin:g}",
        "depends on the data" if cls.chance is None else f"{cls.chance:g}",
        cls.cost,
        "yes" if metric.re_explains else "no",
        ", ".join(sorted(need.value for need in metric.needs)) or "–",
        hyperparameters(cls) or "–",
        f"`{cls.reference}`",
    ]


def _metric_section(name: str, cls: Any) -> str:
    """Return the section on a metric: the top of its file, its cost and its caveat."""
    text = (sys.modules[cls.__module__].__doc__ or "").strip()
    section = f"\n## {name}\n\n{text}\n\nCost: {cls.cost}.\n"
    if cls.caveat is not None:
        section += f"\nCaveat: {cls.caveat}\n"
    return section


def _kind(cls: Any) -> str:
    """Return the kind of a method; a wrapper has that of the method it changes."""
    return "that of the other method" if isinstance(cls.kind, property) else cls.kind


def _relative_to(cls: Any) -> str:
    """Return what the numbers of a method are relative to, with its default settings."""
    declared = cls.relative_to
    if not isinstance(declared, property):
        return str(declared)
    if isinstance(cls.needs, property):
        return "what those of the other method are"
    has_defaults = "(required)" not in hyperparameters(cls)
    return str(cls().relative_to) if has_defaults else "depends on its settings"


def _needs(cls: Any) -> str:
    """Return what a method needs; a wrapper needs at least what the other method needs."""
    if isinstance(cls.needs, property):
        return "what the other method needs"

    words = sorted(need.value for need in cls.needs)
    if isinstance(cls.surrogate, str):
        words.append(f"surrogate {cls.surrogate}")
    return ", ".join(words) or "–"


def _interval(ends: tuple[float, float]) -> str:
    """Return the range of a score, e.g. "[0, ∞]"."""
    low, high = (str(end) if math.isinf(end) else f"{end:g}" for end in ends)
    return f"[{low}, {high}]".replace("-inf", "−∞").replace("inf", "∞")
