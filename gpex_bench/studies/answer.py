"""The answer of a study, and where it is written: every study leaves the same files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from gpex_bench import plots
from gpex_bench.plots import Drawing
from gpex_bench.run import artefacts
from gpex_bench.run.job import Job, log
from gpex_bench.tables.order import records
from gpex_bench.tables.render import csv, plain_markdown
from gpex_bench.tables.words import interval, listed, number
from gpex_bench.types import value

HERE = Path(__file__).parent


@value
class Answer:
    """The answer to a study's question."""

    # the numbers of the answer, in the order in which they are written
    table: pd.DataFrame
    # other tables, by file name
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    # figures, by file name
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    # the page: the answer in one sentence, a small table, the figure, how it was done
    sentences: str


def page(study: str, **content: Any) -> str:
    """Return a study's page: its template `sentences.md.j2`, filled with frames and values.

    A template decides nothing: what is significant, best or missing is a column of its frames. It
    formats with the filters `number`, `estimate`, `p_value`, `percent`, `count`, `listed`,
    `records` and `markdown`, and shows a figure with `image`.

    Raises:
        jinja2.UndefinedError: the template uses a name that was not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / study),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    environment.filters |= FILTERS
    environment.globals["image"] = image

    text = environment.get_template("sentences.md.j2").render(**content)
    return _without_gaps(text)


def write(this: Job, answer: Answer) -> None:
    """Write tables, figures and the page next to the rule's output `table`."""
    folder = this.path("table").parent

    for name, table in {"table": answer.table, **answer.tables}.items():
        text = table.to_csv(index=False, float_format="%.8g", lineterminator="\n")
        artefacts.write_bytes(folder / f"{name}.csv", text.encode())

    for stem, drawing in answer.drawings.items():
        svg = plots.to_svg(drawing, stem)
        numbers = csv(drawing.data)
        artefacts.write_bytes(folder / f"{stem}.svg", svg.encode())
        artefacts.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
        artefacts.write_bytes(folder / f"{stem}.csv", numbers.encode())

    artefacts.write_bytes(folder / "sentences.md", answer.sentences.encode())
    this.describe(folder / "table.csv", kind=f"study {this.config.study_name}")
    log.info("%s", answer.sentences)


# --- how templates write numbers, names, tables and figures ---


def estimate(row: Mapping[str, Any], name: str = "mean") -> str:
    """Write a number of a row with its interval, such as "0.812 [0.790, 0.831]".

    The number alone where the interval is not known, as with one seed.

    Args:
        row: of a frame; the ends are in `low` and `high`, or in `{name}_low` and `{name}_high`.
        name: the column of the number.
    """
    prefix = "" if name == "mean" else f"{name}_"
    low = row[f"{prefix}low"]
    high = row[f"{prefix}high"]
    text, ends = interval(row[name], low, high)

    is_known = math.isfinite(low) and math.isfinite(high)
    return f"{text} {ends}" if is_known else text


def p_value(value: float) -> str:
    """Write a p value, such as "0.042" or "< 0.001"."""
    return "< 0.001" if value < 0.001 else number(value)


def percent(share: float, places: int = 0) -> str:
    """Write a share in percent, such as "12 %"."""
    return f"{100 * share:.{places}f} %"


def count(value: float | int) -> str:
    """Write a whole number, or a dash where it is not known."""
    return f"{value:.0f}" if math.isfinite(value) else "–"


def image(stem: str, title: str) -> str:
    """Return the Markdown of a figure in the same folder."""
    return f"![{title}]({stem}.svg)"


def _without_gaps(text: str) -> str:
    """Return Markdown with one empty line between paragraphs, and one line end at the end."""
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


FILTERS = {
    "number": number,
    "estimate": estimate,
    "p_value": p_value,
    "percent": percent,
    "count": count,
    "listed": listed,
    "records": records,
    "markdown": plain_markdown,
}
