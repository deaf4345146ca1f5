"""The job that answers a study's question."""

from __future__ import annotations

import pandas as pd

from gpex_bench import io
from gpex_bench.frames import SURROGATE_COSTS
from gpex_bench.jobs import Job, job, log
from gpex_bench.jobs.results import fits


@job
def study(this: Job) -> None:
    """Agreement of every setting → table, figure and sentences."""
    from gpex_bench import plots
    from gpex_bench.stages.study import answer
    from gpex_bench.tables import csv

    asked = this.config.study
    if asked is None:
        raise ValueError("This config has no section `study`; add one, or run it without the rule `study`.")
    fates, costs = fits(this)
    failed = [fate for fate in fates if fate["status"] != "ok"]
    costs = [cost for cost, fate in zip(costs, fates, strict=True) if fate["status"] == "ok"]
    found = answer(
        asked,
        this.config.grid,
        agreement=[io.read_table(path) for path in this.paths("agreement")],
        costs=pd.DataFrame(costs, columns=list(SURROGATE_COSTS)),
        reasons={f"{fate['dataset']}/{fate['model']}/{fate['surrogate']}": fate["reason"] for fate in failed},
        n_seeds=len(this.config.seeds),
    )
    folder = this.path("table").parent
    texts = {
        "table.csv": found.table.to_csv(index=False, float_format="%.8g", lineterminator="\n"),
        "table.md": found.markdown,
        "sentences.md": found.sentences,
        "figure.svg": plots.to_svg(found.drawing, "study"),
        "figure.csv": csv(found.drawing.data),
    }
    for name, text in texts.items():
        io.write_bytes(folder / name, text.encode())
    io.write_bytes(folder / "figure.png", plots.to_png(found.drawing))
    this.describe(folder / "table.csv", kind="study")
    log.info("%s", found.sentences)
