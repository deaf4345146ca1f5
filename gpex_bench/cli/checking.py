"""`gpex-bench check`: plug-ins against their contract, or a whole config against its files."""

from __future__ import annotations

from typing import Annotated

import typer

from gpex_bench.cli import configs


def check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Name of a plug-in; with --config, a run id of the config."
        ),
    ] = None,
    config: Annotated[str | None, configs.CONFIG] = None,
) -> None:
    """Check a plug-in, or all data files and networks of a config, as the run would.

    With --config it says in seconds what each file holds, how well a given network does, which
    methods and metrics apply and why the others do not, and what the run will do. Nothing is
    trained or written.

    Examples:
      gpex-bench check --config mine.yaml
      gpex-bench check resnet20 --config mine.yaml
      gpex-bench check lrp
    """
    if config is not None:
        from gpex_bench.cli.checked_config import check_config

        is_kept = check_config(configs.found(config), name)
    elif name is not None:
        is_kept = _check_plugin(name)
    else:
        raise ValueError("check needs the name of a plug-in, or --config FILE, or both.")

    if not is_kept:
        raise typer.Exit(1)


def _check_plugin(name: str) -> bool:
    """Print whether the plug-ins of a name keep the promises of their kinds."""
    from gpex_bench.contract.checks import CHECKS
    from gpex_bench.plugins.registry import plugins

    # A dataset and a model, say, may have the same name: all are checked.
    kinds = [kind for kind in CHECKS if name in plugins(kind)]
    if not kinds:
        known = ", ".join(sorted({name for kind in CHECKS for name in plugins(kind)}))
        raise ValueError(f"unknown plug-in {name!r}; known: {known}.")

    is_kept = [_keeps_promises(kind, name) for kind in kinds]
    return all(is_kept)


def _keeps_promises(kind: str, name: str) -> bool:
    """Print whether a plug-in keeps the promises of its kind, and what it offers."""
    from gpex_bench.contract.checks import CHECKS, OFFERS, BrokenPromise
    from gpex_bench.plugins.registry import plugins

    plugin = plugins(kind)[name]
    if plugin.cls is None:
        raise ValueError(f"{plugin.path.name} {plugin.reason}.")
    try:
        CHECKS[kind](plugin.cls)
    except BrokenPromise as broken:
        typer.echo(f"{kind} {name} {broken}", err=True)
        return False

    typer.echo(f"{kind} {name} keeps every promise.")
    for line in OFFERS[kind](plugin.cls) if kind in OFFERS else []:
        typer.echo(f"  {line}")
    return True
