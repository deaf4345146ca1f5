"""`gpex-bench list`: every plug-in of a kind."""

from __future__ import annotations

from typing import Annotated

import typer

from gpex_bench.cli import configs


def list_plugins(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="dataset, model, surrogate, method or metric.",
            autocompletion=lambda: ["dataset", "model", "surrogate", "method", "metric"],
        ),
    ] = "method",
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="Also those of the folders that it names."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the generated page of methods or metrics.")
    ] = False,
) -> None:
    """Print every plug-in of a kind with its settings, and why one cannot be used.

    Examples:
      gpex-bench list
      gpex-bench list metric
      gpex-bench list method --config mine.yaml
    """
    from gpex_bench.plugins import cards, registry

    if markdown:
        typer.echo(cards.page(kind), nl=False)
        return
    folders = () if config is None else configs.folders(configs.found(config))
    for plugin in registry.plugins(kind, folders).values():
        typer.echo(f"{plugin.name}: {cards.summary(plugin)}")
