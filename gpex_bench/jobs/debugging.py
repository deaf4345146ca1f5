"""The jobs of the experiment on wrong labels."""

from __future__ import annotations

import pandas as pd

from gpex_bench import io
from gpex_bench.debugging.plan import Plan
from gpex_bench.jobs import Job, job, log, write_cell_table


@job
def repair(this: Job) -> None:
    """Data → the curves of one training seed."""
    from gpex_bench.stages.repair import curves

    config, seed, path = this.config, int(this.wildcards["seed"]), this.path("curves")
    place = (this.wildcards["dataset"], this.wildcards["model"])
    network = next(network for network in config.networks if (network.dataset, network.model) == place)
    recipes = {name: config.surrogate(name) for name in network.surrogates}
    model = config.model(this.wildcards["model"])
    table = curves(model, recipes, this.data, _plan(this), seed, this.progress(seed))
    write_cell_table(this, path, table, seed, kind="debugging")


@job
def debugging(this: Job) -> None:
    """Curves of every seed → table, figures and sentences."""
    from gpex_bench import plots
    from gpex_bench.stages.debugging import debugging
    from gpex_bench.tables import csv

    found = debugging(pd.concat([io.read_table(path) for path in this.paths("curves")], ignore_index=True), _plan(this))
    folder = this.path("table").parent
    for name, table in (("table.csv", found.table), ("curves.csv", found.curves)):
        io.write_bytes(folder / name, csv(table).encode())
    for stem, drawing in found.drawings.items():
        io.write_bytes(folder / f"{stem}.svg", plots.to_svg(drawing, stem).encode())
        io.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
        io.write_bytes(folder / f"{stem}.csv", csv(drawing.data).encode())
    io.write_bytes(folder / "sentences.md", found.sentences.encode())
    this.describe(folder / "table.csv", kind="debugging")
    log.info("%s", found.sentences)


def _plan(this: Job) -> Plan:
    """Return the section `debugging`."""
    if this.config.debugging is None:
        raise ValueError("This config has no section `debugging`; add one, or do not ask for its files.")
    return this.config.debugging
