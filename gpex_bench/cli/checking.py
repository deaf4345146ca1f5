"""`gpex-bench check`: plug-ins against their contract, or a whole config against its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gpex_bench.cli import configs

if TYPE_CHECKING:
    from gpex_bench.plugins.registry import Plugin


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
        from gpex_bench.cli.checked_config import check_config, run_ids

        path = configs.found(config)
        if name is None or name in run_ids(path):
            is_kept = check_config(path, name)
        else:
            is_kept = _check_plugin(name, configs.folders(path), run_ids(path))
    elif name is not None:
        is_kept = _check_plugin(name)
    else:
        raise ValueError("check needs the name of a plug-in, or --config FILE, or both.")

    if not is_kept:
        raise typer.Exit(1)


def _check_plugin(name: str, folders: Sequence[str] = (), others: Iterable[str] = ()) -> bool:
    """Print whether the plug-ins of a name keep the promises of their kinds.

    Args:
        name: of the plug-ins.
        folders: where plug-ins are, besides those of the suite.
        others: what else the name could have been, for the message.
    """
    from gpex_bench.contract.checks import CHECKS
    from gpex_bench.plugins.registry import plugins

    # A dataset and a model, say, may have the same name: all are checked.
    known = {kind: plugins(kind, folders) for kind in CHECKS}
    found = [(kind, of_kind[name]) for kind, of_kind in known.items() if name in of_kind]
    if not found:
        names = {*others, *(one for of_kind in known.values() for one in of_kind)}
        what = "run id or plug-in" if others else "plug-in"
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(sorted(names))}.")

    is_kept = [_keeps_promises(kind, plugin) for kind, plugin in found]
    return all(is_kept)


def _keeps_promises(kind: str, plugin: Plugin) -> bool:
    """Print whether a plug-in keeps the promises of its kind, and what it offers."""
    from gpex_bench.contract.checks import CHECKS, OFFERS, BrokenPromise

    if plugin.cls is None:
        raise ValueError(f"{plugin.problem}.")
    try:
        CHECKS[kind](plugin.cls)
    except BrokenPromise as broken:
        typer.echo(f"{kind} {plugin.name} {broken}", err=True)
        return False

    typer.echo(f"{kind} {plugin.name} keeps every promise.")
    for line in OFFERS[kind](plugin.cls) if kind in OFFERS else []:
        typer.echo(f"  {line}")
    return True
