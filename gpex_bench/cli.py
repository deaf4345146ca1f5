"""The command line: looks things up and checks them; the benchmark itself is run by Snakemake."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpex_bench import config
from gpex_bench.plugins import cards, registry
from gpex_bench.run import artefacts

if TYPE_CHECKING:
    import pandas as pd


def main(arguments: list[str] | None = None) -> int:
    """Run `gpex-bench`; return the exit status."""
    parser = argparse.ArgumentParser(prog="gpex-bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "list", help="print every plug-in that was found, and why one cannot be used"
    )
    command.add_argument("kind", nargs="?", choices=sorted(registry.KINDS), default="method")
    command.add_argument(
        "--markdown", action="store_true", help="print the generated page of methods or metrics"
    )
    command.set_defaults(run=_list)
    command = commands.add_parser("check", help="hold a plug-in of any kind to the contract")
    command.add_argument("name")
    command.set_defaults(run=_check)
    command = commands.add_parser("show", help="print where the report is, or the checked config")
    command.add_argument("what", choices=["report", "config"])
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.set_defaults(run=_show)
    command = commands.add_parser(
        "compare", help="say which numbers moved between two runs; status 1 if any did"
    )
    for run in ("run_a", "run_b"):
        command.add_argument(run, help="name of a run, or a folder that holds its tables")
    command.set_defaults(run=_compare)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (config.ConfigError, ValueError) as error:
        sys.stderr.write(f"gpex-bench: {error}\n")
        return 2


def _list(options: argparse.Namespace) -> int:
    if options.markdown:
        sys.stdout.write(cards.page(options.kind))
        return 0
    for plugin in registry.plugins(options.kind).values():
        sys.stdout.write(f"{plugin.name}: {cards.summary(plugin)}\n")
    return 0


def _check(options: argparse.Namespace) -> int:
    from gpex_bench.contract.checks import CHECKS, BrokenPromise

    found = {
        kind: plugin
        for kind in CHECKS
        if (plugin := registry.plugins(kind).get(options.name)) is not None
    }
    if not found:
        known = ", ".join(sorted({name for kind in CHECKS for name in registry.plugins(kind)}))
        raise ValueError(f"unknown plug-in {options.name!r}; known: {known}.")

    status = 0
    for kind, plugin in found.items():
        if plugin.cls is None:
            raise ValueError(f"{plugin.path.name} {plugin.reason}.")
        try:
            CHECKS[kind](plugin.cls)
        except BrokenPromise as broken:
            sys.stderr.write(f"{kind} {options.name} {broken}\n")
            status = 1
        else:
            sys.stdout.write(f"{kind} {options.name} keeps every promise.\n")
    return status


def _show(options: argparse.Namespace) -> int:
    settings = config.load(options.config)
    if options.what == "report":
        path = Path("results") / settings.run / "report.html"
        sys.stdout.write(
            f"The report is {path} - open it in a browser; its tables and figures lie beside it.\n"
        )
        return 0 if path.is_file() else 1
    for kind, entries in settings.entries.items():
        for run_id, entry in entries.items():
            sys.stdout.write(f"{kind}s.{run_id}: {entry.settings!r}\n")
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Print what differs between two runs: beyond the intervals first, then states and marks; count the rest."""
    from gpex_bench.report.compare import compare, page

    differences = compare(_outcomes(options.run_a), _outcomes(options.run_b))
    sys.stdout.write(page(differences, options.run_a, options.run_b))
    return int(bool(len(differences)))


def _outcomes(run: str) -> pd.DataFrame:
    """Return the outcomes of a run: of results/RUN, or of a folder with `tables/outcomes.parquet` or outcomes.csv."""
    import pandas as pd

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
            words = {"mark": "str", "reason": "str", "state": "str"}
            return pd.read_csv(folder / "outcomes.csv", dtype=words).fillna(
                dict.fromkeys(words, "")
            )
    tried = ", ".join(str(folder) for folder in places)
    raise ValueError(
        f"run {run!r} has no outcomes.parquet and no outcomes.csv; looked in {tried}. Run it first."
    )


if __name__ == "__main__":
    sys.exit(main())
