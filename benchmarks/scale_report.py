"""Writes what `gpex_scale` measured: CSV, Markdown, a figure, and where the numbers come from."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, MARKERS, Drawing, styled, to_png, to_svg
from gpex_bench.run import provenance

TITLE = "A training step over the number of inducing points"


def write(
    rows: list[dict], curves: pd.DataFrame, folder: Path, options: dict[str, str | float]
) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "table.csv", index=False, float_format="%.6g")
    curves.to_csv(folder / "steps.csv", index=False, float_format="%.6g")

    here = Path(__file__).parent
    sources = [
        here / name
        for name in ("gpex_scale.py", "scale_measures.py", "released_twin.py", "scale_report.py")
    ]
    record = {
        "command": "python benchmarks/gpex_scale.py",
        "options": options,
        "code": provenance.commit() | {"fingerprint": provenance.fingerprint(*sources)},
        "environment": provenance.environment() | {"threads": 1, "gpytorch": version("gpytorch")},
    }
    (folder / "provenance.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "table.md").write_text(markdown(table, record))

    drawing = figure(curves)
    (folder / "steps.svg").write_text(to_svg(drawing, "gpex-scale") + "\n")
    (folder / "steps.png").write_bytes(to_png(drawing))


def markdown(table: pd.DataFrame, record: dict) -> str:
    """Return the table with its origin."""
    lines = ["| what | measured | must be | reached | detail |", "|---|---|---|---|---|"]
    for row in table.itertuples():
        value = "not measured" if pd.isna(row.value) else f"{row.value:.3g}"
        reached = ""
        if row.reached is not None and not pd.isna(row.reached):
            reached = "yes" if row.reached else "**no**"
        lines.append(f"| {row.what} | {value} | {row.target or ''} | {reached} | {row.detail} |")

    code = record["code"]
    machine = record["environment"]
    dirty = ", with uncommitted changes" if code["dirty"] else ""
    origin = (
        f"`{record['command']}`, one thread of {machine['processor']} ({machine['cores']} cores), "
        f"Python {machine['python']}, torch {machine['torch']}; commit "
        f"{str(code['commit'])[:12]}{dirty}, code {code['fingerprint']}. Seconds are those of the "
        "processor, the best of several blocks. A step of the default preset includes the density "
        "that trains the noise of intervals, with a factor and a solve of its own."
    )
    return "\n".join([*lines, "", origin, ""])


@styled
def figure(curves: pd.DataFrame) -> Drawing:
    """Draw step times over M on two logarithmic axes."""
    sheet = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = sheet.subplots()
    for number, (what, part) in enumerate(curves.groupby("what", sort=False)):
        part = part.sort_values("m")
        axes.loglog(
            part.m, 1e3 * part.seconds, color=COLOURS[number], marker=MARKERS[number], label=what
        )
    axes.set(xlabel="inducing points M", ylabel="step, milliseconds", title=TITLE)
    axes.xaxis.set_major_formatter(lambda m, _: f"{m:,.0f}")
    axes.yaxis.set_major_formatter(lambda milliseconds, _: f"{milliseconds:,g}")
    axes.legend()

    ends = []
    for what, part in curves.groupby("what"):
        last = part.iloc[-1]
        ends.append(f"{what}: {1e3 * last.seconds:.3g} ms at M = {int(last.m):,}")
    alt = "Two logarithmic axes. " + "; ".join(ends) + "."
    return Drawing(figure=sheet, title=TITLE, alt=alt, data=curves)
