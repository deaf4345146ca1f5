"""The jobs of the budget study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log
from gpex_bench.studies.answer import write
from gpex_bench.studies.budget.plan import Budget

PARTS = ("runs", "scores", "stability", "convergence")
# the kind of method that "ten times faster than LIME" is claimed for
EVOLVES = "evolutionary"


@job
def spend(this: Job) -> None:
    """Networks of every seed → what one method gives at every budget."""
    from gpex_bench.studies.budget.measure import spend

    config = this.config
    plan = this.study(Budget)
    method = this.wildcards["method"]
    explainer = config.method(method)
    if explainer is None:
        reason = config.entry("method", method).reason
        raise ValueError(f"{method} cannot be used: {reason}; repair it or leave it out.")

    found = spend(
        explainer,
        [one.needed() for one in this.tasks()],
        config.metric(config.headline),
        plan=plan,
        budgets=plan.budgets_of(method, explainer, this.wildcards["model"]),
        n_samples=config.explain.samples,
        progress=lambda text: log.info("%s %s: %s", this.name, method, text),
    )
    for name, table in found.tables.items():
        for column in ("method", "model", "dataset"):
            table.insert(0, column, this.wildcards[column])
        artefacts.write_table(this.path(name), table)
        cost = {"runs": found.seconds} if name == "runs" else {}
        this.describe(this.path(name), kind=f"budget {name}", cost=cost)


@job
def budget(this: Job) -> None:
    """Cells of all methods → tables, figures and page."""
    from gpex_bench.studies.budget.answer import answer

    config = this.config
    parts = {
        name: _joined([artefacts.read_table(path) for path in this.paths(name)]) for name in PARTS
    }
    seconds = []
    for path in this.paths("runs"):
        seconds += _seconds(path)
    parts["seconds"] = pd.DataFrame(seconds)

    explainers = {name: config.method(name) for name in config.entries["method"]}
    evolutionary = {
        name for name, explainer in explainers.items() if explainer and explainer.kind == EVOLVES
    }
    plan = this.study(Budget)
    found = answer(parts, plan, config.headline, evolutionary)
    write(this, found)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all tables; an empty one decides no column's type."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _seconds(path: Path) -> list[dict[str, Any]]:
    """Return the measured seconds of one method on one network, from the sidecar of its runs."""
    key = artefacts.read_key(path)
    rows = artefacts.read_sidecar(path)["cost"]["runs"]
    return [{**key, **row} for row in rows]
