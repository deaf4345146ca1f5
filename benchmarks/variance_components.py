"""Split the variance of a run's scores: data seed, training seed, explainer seed, sample, residual.

    make study STUDY=variance
    python benchmarks/variance_components.py [--config config/studies/variance.yaml]

Reads the stored scores of a finished run, and writes the answer to results/{run}/study/; no model pass. Entries of
`datasets` that differ in `seed` alone are data seeds of one dataset. A method and its `reseeded` copies are draws of
one method.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from gpex_bench import plots
from gpex_bench.config import Config, parse
from gpex_bench.run import artefacts
from gpex_bench.run.provenance import fingerprint
from gpex_bench.studies.variance.answer import repetition
from gpex_bench.tables.columns import REPEATED
from gpex_bench.tables.render import csv

LOG = logging.getLogger("variance_components")


def placed(scores: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return the scores with data seeds and draws in columns of their own."""
    data = {name: data_seed(name, config) for name in config.entries["dataset"]}
    draws = {name: draw(name, config) for name in config.entries["method"]}
    found = scores.assign(data_seed=[data[name][1] for name in scores["dataset"]])
    found["draw"] = [draws[name][1] for name in scores["method"]]
    found["dataset"] = [data[name][0] for name in scores["dataset"]]
    found["method"] = [draws[name][0] for name in scores["method"]]
    return found[list(REPEATED)]


def data_seed(run_id: str, config: Config) -> tuple[str, int]:
    """Return the first entry that differs from this one in `seed` alone, by the name of its plug-in, and the seed."""
    source: Any = config.dataset(run_id)
    known = {name: entry.settings for name, entry in config.entries["dataset"].items()}
    alike = [name for name, other in known.items() if _unseeded(other) == _unseeded(source)]
    return alike[0], getattr(source, "seed", 0)


def _unseeded(source: Any) -> Any:
    return dataclasses.replace(source, seed=0) if hasattr(source, "seed") else source


def draw(run_id: str, config: Config) -> tuple[str, int]:
    """Return the method that a run id is a draw of, and which draw; 0 for the method itself."""
    explainer: Any = config.method(run_id)
    if type(explainer).__name__ != "Reseeded":
        return run_id, 0
    known = {name: entry.settings for name, entry in config.entries["method"].items()}
    return next(name for name, other in known.items() if other == explainer.of), explainer.draw


def main() -> None:
    """Read, split and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--config", default="config/studies/variance.yaml")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = parse(yaml.safe_load(Path(options.config).read_text()))
    stored = Path("results") / config.run / "tables" / "scores.parquet"
    found = repetition(placed(artefacts.read_table(stored), config))
    folder = Path("results") / config.run / "study"
    artefacts.write_bytes(folder / "table.csv", csv(found.table).encode())
    artefacts.write_bytes(folder / "sentences.md", found.sentences.encode())
    for stem, drawing in found.drawings.items():
        artefacts.write_bytes(folder / f"{stem}.svg", plots.to_svg(drawing, stem).encode())
        artefacts.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
    artefacts.describe(
        folder / "table.csv",
        kind="variance components",
        inputs=[stored],
        params={"config": options.config},
        fingerprint=fingerprint(Path(__file__)),
    )
    LOG.info("%s", found.sentences)


if __name__ == "__main__":
    main()
