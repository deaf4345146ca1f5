"""`gpex-bench score`: maps from files, scored by metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpex_bench.cli import configs

if TYPE_CHECKING:
    import pandas as pd

    from gpex_bench.cli.networks import Ready
    from gpex_bench.families.stored_maps import StoredMaps
    from gpex_bench.types import Metric


Maps = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="Maps: .npz or .safetensors with values, sample and maybe target, or .npy of all "
        "test rows in order; may be given several times.",
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Such as srg,infidelity; otherwise those of the config."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE.csv", help="Table to write: one row a map and metric.")
]


def score(  # noqa: PLR0913 - options of a command
    *,
    config: Annotated[str, configs.CONFIG],
    maps: Maps,
    network: Annotated[str | None, configs.NETWORK] = None,
    metrics: Metrics = None,
    seed: Annotated[int | None, configs.SEED] = None,
    out: Out = None,
) -> None:
    """Score maps, whoever made them, and print means with 95 % intervals over samples.

    A metric that would have to ask the method again reads n/a, as do those that do not apply.

    Examples:
      gpex-bench score -c mine.yaml --maps maps.npz --metrics srg,infidelity
      gpex-bench score -c mine.yaml --maps lrp.npz --maps mine.npz --out scores.csv
    """
    if out is not None and (out.suffix != ".csv" or not out.parent.is_dir()):
        raise ValueError(f"--out must be a .csv in a folder that is there, got {out}.")

    from gpex_bench.cli.networks import ready

    one = ready(configs.found(config), network, seed)
    names = one.config.entries["metric"] if metrics is None else metrics.split(",")
    chosen = {name: one.metric(name) for name in names}
    by_name = {file.stem: file for file in maps}
    if len(by_name) < len(maps):
        raise ValueError("--maps: files must have different names, as they name the methods.")

    scores = _scores(one, by_name, chosen)
    if out is not None:
        scores.to_csv(out, index=False)
    typer.echo(_table(scores))
    if out is not None:
        typer.echo(f"{out} is written.")


def _scores(one: Ready, maps: Mapping[str, Path], metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """Return a row for each file of maps, metric and sample."""
    import pandas as pd
    import torch

    from gpex_bench.library.scoring import score as scored
    from gpex_bench.types import Query

    tables = []
    for name, file in maps.items():
        stored = _read(file)
        rows = one.rows_of(stored.sample)
        target = stored.target
        if target is None:
            target = torch.zeros(len(rows.x), dtype=torch.int64)
        query = Query(x=rows.x, target=target, sample=rows.sample)
        attribution = stored.of(query, one.data)
        tables.append(
            scored(
                one.model,
                rows,
                {name: attribution},
                metrics,
                target=stored.target,
                data=one.data,
                seed=one.seed,
            )
        )
    return pd.concat(tables, ignore_index=True)


def _read(file: Path) -> StoredMaps:
    """Return the maps of a file; those of a .npy are of all test rows in order."""
    import numpy as np

    from gpex_bench.families.stored_maps import read_maps, stored_maps

    if file.suffix != ".npy":
        return read_maps(file)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"--maps: {file} cannot be read as an array ({error}).") from error
    return stored_maps(values, where=str(file))


def _table(scores: pd.DataFrame) -> str:
    """Return means with intervals as text, and why a metric does not apply."""
    import pandas as pd

    from gpex_bench.library.concluding import summary
    from gpex_bench.tables.words import interval, wording

    lines = []
    for row in summary(scores).to_dict("records"):
        is_scored = row["status"] == "ok"
        mean, ends = interval(row["mean"], row["low"], row["high"])
        better = "higher" if row["higher_is_better"] else "lower"
        lines.append(
            {
                "metric": row["metric"],
                "maps": row["method"],
                "mean": mean if is_scored else wording(row["status"], row["reason"]),
                "95 % interval": ends if is_scored else "",
                "samples": row["n_samples"] if is_scored else "",
                "better": better,
            }
        )
    return pd.DataFrame(lines).to_string(index=False)
