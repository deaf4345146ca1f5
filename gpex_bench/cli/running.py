"""`gpex-bench run`: a whole run, by Snakemake."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gpex_bench.cli import configs
from gpex_bench.cli.showing import show_report


def run(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="Config of the run: a file, or its name.")
    ],
    others: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGUMENTS]", help="Further arguments, of Snakemake."),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="How many jobs run at a time; otherwise all processors."
        ),
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only list the jobs that would run.")
    ] = False,
) -> None:
    """Run a config to its report; what is there already and still right is not made again.

    Results go to results/ in the working folder.

    Examples:
      gpex-bench run mine.yaml
      gpex-bench run mine.yaml --cores 2 -n
      gpex-bench run mine.yaml -- --until train --keep-going
    """
    from gpex_bench import config as checked
    from gpex_bench.run import workflow

    path = configs.found(config)
    checked.load(path)  # its mistakes in one line, before Snakemake starts

    n_cores = cores or len(os.sched_getaffinity(0))
    arguments = [*(["--dry-run"] if is_dry else []), *(others or [])]
    if workflow.run(path, n_cores, *arguments) != 0:
        typer.echo(
            "gpex-bench: the run has not ended well; the log files that Snakemake names say why.",
            err=True,
        )
        raise typer.Exit(1)
    if not arguments:
        show_report(path)
