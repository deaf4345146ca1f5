"""What plug-ins say of themselves, as text for people: `gpex-bench list` and the generated pages."""

from __future__ import annotations

import inspect
import math
import sys
from dataclasses import MISSING, fields
from typing import Any

from gpex_bench.plugins.registry import Plugin, plugins
from gpex_bench.types import Explainer

PAGES = {"method": "methods/README.md", "metric": "docs/metrics.md"}
INTRODUCTIONS = {
    "method": """# Explainers

One file each; `_template.py` is the one to copy ([how](../CONTRIBUTING.md)). What a method computes, its reference, its
cost in network rows and what is ours in it stand at the top of its file. References are keys in `docs/references.bib`.
Rows go through the network: a batch of 8 is 8 rows. `gpex-bench list` prints the same.
This page is generated: `gpex-bench list method --markdown > methods/README.md`.
""",
    "metric": """# Metrics

One file each in `gpex_bench/metrics/` ([how to add one](add-a-metric.md)). The table lists them; below it stands what
the top of each file says: definition, equation, conventions, what is ours, cost. References are keys in
`docs/references.bib`. Cost is counted per explained sample, in rows that go through the network. Chance is the expected
score of a random map where it is known; elsewhere the control `random_map` measures it. `make crosscheck` compares them
with those of Quantus and captum ([table](../results/published/crosscheck/README.md)).

Of `faithfulness` and `truth` the planted evidence must score best, a random map worse and the inverted evidence worst
(`tests/test_benchmark_sanity.py`), unless a caveat says why not. The other kinds cannot be asked this. `robustness`,
`randomisation` and most of `axiom` compare maps made under different conditions: planted evidence and its inverse stay
the same whatever the input and the network are, and so does a random map unless its seed changes; they score the same,
best or worst. The rest of `axiom` asks for a sum, which planted evidence does not promise. `complexity` sees sizes
only, so that a map and its inverse score the same. What all of these must prefer is tested on explainers made for it
(`gpex_bench/contract/metrics.py`). How each reacts to perturbed networks and inputs:
[trust](../results/published/metric_trust/README.md).

This page is generated: `gpex-bench list metric --markdown > docs/metrics.md`.
""",
}


def hyperparameters(cls: type) -> str:
    """Return the hyperparameters of a plug-in and their defaults, e.g. "n_steps=50, batch=64"."""
    shown = []
    for field in fields(cls):  # type: ignore[arg-type] # plug-ins are dataclasses
        if field.default is not MISSING:
            shown.append(f"{field.name}={field.default!r}")
        elif field.default_factory is not MISSING:
            shown.append(f"{field.name}={field.default_factory()!r}")
        else:
            shown.append(f"{field.name} (required)")
    return ", ".join(shown)


def first_line(thing: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


def summary(plugin: Plugin) -> str:
    """Return a line on the plug-in, or why it cannot be used; on a method, all that its page says."""
    cls = plugin.cls
    if cls is None:
        return f"CANNOT BE USED: {plugin.path.name} {plugin.reason}"
    text = f"{first_line(cls)} ({hyperparameters(cls) or 'no hyperparameters'})"
    if not issubclass(cls, Explainer):
        return text
    return f"{text} Kind: {_kind(cls)}. Needs: {_needs(cls)}. Reference: {cls.reference}. Cost: {cls.cost}."


def _kind(cls: Any) -> str:
    return "that of the other method" if isinstance(cls.kind, property) else cls.kind


def _needs(cls: Any) -> str:
    needs, surrogate = cls.needs, cls.surrogate
    if isinstance(needs, property):
        return "what the other method needs"
    words = sorted(need.value for need in needs)
    return (
        ", ".join([*words, *([f"surrogate {surrogate}"] if isinstance(surrogate, str) else [])])
        or "–"
    )


def _interval(cls: Any) -> str:
    ends = [str(end) if math.isinf(end) else f"{end:g}" for end in cls.range]
    return f"[{ends[0]}, {ends[1]}]".replace("-inf", "−∞").replace("inf", "∞")


def _row(kind: str, name: str, cls: Any) -> tuple[str, ...]:
    if kind == "method":
        middle: tuple[str, ...] = (
            _kind(cls),
            cls.explains.__name__.lower(),
            _needs(cls),
            cls.cost,
        )
    else:
        direction = "higher" if cls.higher_is_better else "lower"
        chance = "depends on the data" if cls.chance is None else f"{cls.chance:g}"
        again = "yes" if cls().re_explains else "no"
        needs = ", ".join(sorted(need.value for need in cls.needs)) or "–"
        middle = (cls.measures, direction, _interval(cls), chance, cls.cost, again, needs)
    return (
        f"`{name}`",
        first_line(cls),
        *middle,
        hyperparameters(cls) or "–",
        f"`{cls.reference}`",
    )


HEADS = {
    "method": (
        "name",
        "what it is",
        "kind",
        "gives",
        "needs",
        "cost",
        "hyperparameters",
        "reference",
    ),
    "metric": (
        *(
            "name",
            "what it is",
            "measures",
            "better",
            "range",
            "chance",
            "cost",
            "explains again",
            "needs",
        ),
        *("hyperparameters", "reference"),
    ),
}


def _definition(name: str, cls: Any) -> str:
    """Return the section on a metric: the top of its file, its cost, and its caveat if it has one."""
    text = (sys.modules[cls.__module__].__doc__ or "").strip()
    section = f"\n## {name}\n\n{text}\n\nCost: {cls.cost}.\n"
    if cls.caveat is not None:
        section += f"\nCaveat: {cls.caveat}\n"
    return section


def page(kind: str) -> str:
    """Return the generated Markdown page of the methods or the metrics that ship with the suite."""
    own = [plugin for plugin in plugins(kind).values() if plugin.cls is not None]
    rows = [
        HEADS[kind],
        tuple("---" for _ in HEADS[kind]),
        *(_row(kind, plugin.name, plugin.cls) for plugin in own),
    ]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    sections = [_definition(plugin.name, plugin.cls) for plugin in own] if kind == "metric" else []
    return INTRODUCTIONS[kind] + "\n" + "\n".join(lines) + "\n" + "".join(sections)
