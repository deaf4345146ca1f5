"""`gpex-bench list`: every plug-in of a kind."""

from __future__ import annotations

from typing import Annotated

import typer


def list_plugins(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="dataset, model, surrogate, method or metric.")
    ] = "method",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the generated page of methods or metrics.")
    ] = False,
) -> None:
    """Print every plug-in of a kind with its settings, and why one cannot be used.

    Examples:
      gpex-bench list
      gpex-bench list metric
    """
    from gpex_bench.plugins import cards, registry

    if markdown:
        typer.echo(cards.page(kind), nl=False)
        return
    for plugin in registry.plugins(kind).values():
        typer.echo(f"{plugin.name}: {cards.summary(plugin)}")
