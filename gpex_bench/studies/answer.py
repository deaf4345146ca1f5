"""What a study found, and the one place where it is written: every study leaves the same kinds of files."""

from __future__ import annotations

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
from gpex_bench.tables.render import csv
from gpex_bench.types import value

HERE = Path(__file__).parent


@value
class Answer:
    """The answer to a study's question."""

    table: pd.DataFrame  # the numbers of the answer, rows in the order in which they are written
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # others, by file name
    drawings: Mapping[str, Drawing] = field(default_factory=dict)  # by file name
    sentences: str  # the page: answer, table, figure, how it was done


def page(study: str, **content: Any) -> str:
    """Return a study's page: its template `sentences.md.j2`, filled with frames and values.

    Raises:
        jinja2.UndefinedError: the template asks for something that was not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / study),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown
    )
    return environment.get_template("sentences.md.j2").render(**content)


def write(this: Job, answer: Answer) -> None:
    """Write an answer beside the rule's output `table`: CSV files, every figure with its numbers, and the page."""
    folder = this.path("table").parent

    for name, table in {"table": answer.table, **answer.tables}.items():
        text = table.to_csv(index=False, float_format="%.8g", lineterminator="\n")
        artefacts.write_bytes(folder / f"{name}.csv", text.encode())

    for stem, drawing in answer.drawings.items():
        artefacts.write_bytes(folder / f"{stem}.svg", plots.to_svg(drawing, stem).encode())
        artefacts.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
        artefacts.write_bytes(folder / f"{stem}.csv", csv(drawing.data).encode())

    artefacts.write_bytes(folder / "sentences.md", answer.sentences.encode())
    this.describe(folder / "table.csv", kind=f"study {this.config.study_name}")
    log.info("%s", answer.sentences)
