"""`gpex-bench compare`: what differs between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd


def compare(
    run_a: Annotated[
        str, typer.Argument(metavar="RUN_A", help="Name of a run, or a folder with its tables.")
    ],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The other run.")],
) -> None:
    """Say which numbers moved between two runs; status 1 if any did.

    Example:
      gpex-bench compare mine results/published/default
    """
    from gpex_bench.report.compare import compare as differences_between
    from gpex_bench.report.compare import page

    differences = differences_between(_outcomes(run_a), _outcomes(run_b))
    typer.echo(page(differences, run_a, run_b), nl=False)
    if len(differences):
        raise typer.Exit(1)


def _outcomes(run: str) -> pd.DataFrame:
    """Return the outcomes of a run, by its name or by a folder that holds its tables."""
    import pandas as pd

    from gpex_bench.run import artefacts

    places = [
        Path("results") / run / "tables",
        Path("results/published") / run,
        Path(run) / "tables",
        Path(run),
    ]
    for folder in places:
        if (folder / "outcomes.parquet").is_file():
            return artefacts.read_table(folder / "outcomes.parquet")
        if (folder / "outcomes.csv").is_file():
            words = ("mark", "reason", "state")
            table = pd.read_csv(folder / "outcomes.csv", dtype=dict.fromkeys(words, "str"))
            return table.fillna(dict.fromkeys(words, ""))

    tried = ", ".join(str(folder) for folder in places)
    raise ValueError(
        f"run {run!r} has no outcomes.parquet and no outcomes.csv; looked in {tried}. Run it first."
    )
