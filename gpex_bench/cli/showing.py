"""`gpex-bench show`: where the report of a run is, its tables, and the checked config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpex_bench.cli import configs


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="report, config, or a table of the run such as ranking, agreement or networks.",
            autocompletion=lambda: ["report", "config", "ranking", "agreement", "networks"],
        ),
    ] = "report",
    config: Annotated[str, configs.CONFIG] = "config/default.yaml",
) -> None:
    """Print where the report of a run is, one of its tables, or the checked config.

    Examples:
      gpex-bench show report --config mine.yaml
      gpex-bench show ranking --config mine.yaml
      gpex-bench show config --config mine.yaml
    """
    path = configs.found(config)
    if what == "config":
        _show_config(path)
    elif what == "report":
        show_report(path)
    else:
        _show_table(path, what)


def _show_config(path: Path) -> None:
    """Print every line of the plug-in sections with all its settings."""
    from gpex_bench import config

    for kind, entries in config.load(path).entries.items():
        for run_id, entry in entries.items():
            typer.echo(f"{kind}s.{run_id}: {entry.settings!r}")


def show_report(path: Path) -> None:
    """Print the paths of a finished run's report and page; status 1 if there are none yet."""
    folder = Path("results") / configs.run_name(path)
    pages = [folder / "report.html", folder / "sentences.md"]
    found = [str(page) for page in pages if page.is_file()]
    if not found:
        typer.echo(f"There is no report in {folder} yet; run `gpex-bench run {path}` first.")
        raise typer.Exit(1)

    typer.echo(
        f"The answer is in {' and '.join(found)}; tables and figures are in the same folder."
    )


def _show_table(path: Path, name: str) -> None:
    """Print a table of a finished run; status 1 if the run has no tables yet.

    Raises:
        ValueError: the run has no table of this name.
    """
    import pandas as pd

    folder = Path("results") / configs.run_name(path)
    tables = {file.stem: file for file in sorted(folder.glob("tables/*.parquet"))}
    if not tables:
        typer.echo(f"There are no tables in {folder} yet; run `gpex-bench run {path}` first.")
        raise typer.Exit(1)
    if name not in tables:
        known = ", ".join(["report", "config", *tables])
        raise ValueError(f"WHAT must be one of {known}, got {name!r}.")

    with pd.option_context("display.width", None):
        text = pd.read_parquet(tables[name]).to_string(index=False, float_format="{:.4g}".format)
    typer.echo(text)
