"""Writes what `explainers` measured: CSV, Markdown, and where the numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench.plugins.registry import plugins
from gpex_bench.run import provenance
from gpex_bench.tables.render import plain_markdown

PLUGINS = ("method", "model", "dataset", "metric")  # kinds whose code is loaded by name
SOURCES = (
    "explainers.py",
    "explainers_subjects.py",
    "explainers_measures.py",
    "explainers_report.py",
)


def row(
    what: str, value: float | None, target: float | None, detail: str, at_least: bool = False
) -> dict[str, Any]:
    """Return a row of the table of targets."""
    reached = None
    if target is not None:
        reached = value is not None and (value >= target if at_least else value <= target)
    sign = "" if target is None else (">= " if at_least else "<= ") + f"{target:g}"
    return {"what": what, "value": value, "target": sign, "reached": reached, "detail": detail}


def write(
    targets: list[dict], tables: Mapping[str, pd.DataFrame], folder: Path, options: dict[str, Any]
) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    code = [plugin.path for kind in PLUGINS for plugin in plugins(kind).values()]
    record = {
        "command": "python benchmarks/explainers.py",
        "options": options,
        "code": provenance.commit()
        | {"fingerprint": provenance.fingerprint(*(here / name for name in SOURCES), *code)},
        "environment": provenance.environment() | {"threads": 1},
    }
    (folder / "provenance.json").write_text(json.dumps(record, indent=2) + "\n")
    pd.DataFrame(targets).to_csv(folder / "table.csv", index=False, float_format="%.6g")
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    (folder / "table.md").write_text(markdown(targets, tables, record))


def markdown(
    targets: list[dict], tables: Mapping[str, pd.DataFrame], record: dict[str, Any]
) -> str:
    """Return the targets, the tables and their origin."""
    lines = [
        "# Speed of the explainers",
        "",
        "| what | measured | must be | reached | detail |",
        "|---|---|---|---|---|",
    ]
    for one in targets:
        value = "none" if one["value"] is None else f"{one['value']:.3g}"
        reached = "" if one["reached"] is None else ("yes" if one["reached"] else "**no**")
        lines.append(f"| {one['what']} | {value} | {one['target']} | {reached} | {one['detail']} |")
    code, machine = record["code"], record["environment"]
    dirty = ", with uncommitted changes" if code["dirty"] else ""
    origin = (
        f"`{record['command']}`, one thread of {machine['processor']} ({machine['cores']} cores, "
        "shared with other "
        f"work), Python {machine['python']}, torch {machine['torch']}, lime {machine['lime']}, "
        "captum "
        f"{machine['captum']}; commit {str(code['commit'])[:12]}{dirty}, code "
        f"{code['fingerprint']}. Seconds are those "
        "of the processor; what is compared takes turns, a ratio is taken within a turn, and the "
        "median over the turns "
        "is shown. Forward rows are timed in the same turns, in batches of 256: as the network "
        "gets them from a loader "
        "and laid out in memory as masked images are, which suits this network's pooling. All "
        "images are training "
        "images; the network for 64 x 64 is untrained."
    )
    page = "\n".join([*lines, "", origin, ""])
    for name, table in tables.items():
        shown = table.map(
            lambda cell: (
                "" if pd.isna(cell) else f"{cell:.3g}" if isinstance(cell, float) else str(cell)
            )
        )
        page += f"\n## {name}\n\n{plain_markdown(shown)}"
    return page
