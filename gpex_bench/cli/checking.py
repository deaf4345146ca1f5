"""`gpex-bench check`: plug-ins, held to their contract."""

from __future__ import annotations

from typing import Annotated

import typer


def check(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a plug-in.")]) -> None:
    """Hold a plug-in of any kind to its contract; say what it offers.

    Examples:
      gpex-bench check lrp
      gpex-bench check breast_cancer
    """
    from gpex_bench.contract.checks import CHECKS
    from gpex_bench.plugins.registry import plugins

    # A dataset and a model, say, may have the same name: all are checked.
    kinds = [kind for kind in CHECKS if name in plugins(kind)]
    if not kinds:
        known = ", ".join(sorted({name for kind in CHECKS for name in plugins(kind)}))
        raise ValueError(f"unknown plug-in {name!r}; known: {known}.")

    is_kept = [_keeps_promises(kind, name) for kind in kinds]
    if not all(is_kept):
        raise typer.Exit(1)


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
