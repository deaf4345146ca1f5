"""The command line: looks things up and checks them; the benchmark itself is run by Snakemake."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# The commands import what they need: PyTorch takes longer to import than most of them take to run.


def main(arguments: list[str] | None = None) -> int:
    """Run `gpex-bench`; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has ended. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ValueError as error:
        sys.stderr.write(f"gpex-bench: {error}\n")
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="gpex-bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    what = "print every plug-in of a kind, and why one cannot be used"
    command = commands.add_parser("list", help=what)
    command.add_argument("kind", nargs="?", default="method")
    what = "print the generated page of methods or metrics"
    command.add_argument("--markdown", action="store_true", help=what)
    command.set_defaults(run=_list)

    command = commands.add_parser(
        "check", help="hold a plug-in to the contract; say what it offers"
    )
    command.add_argument("name")
    command.set_defaults(run=_check)

    command = commands.add_parser("show", help="print where the report is, or the checked config")
    command.add_argument("what", choices=["report", "config"])
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.set_defaults(run=_show)

    what = "say which numbers moved between two runs; status 1 if any did"
    command = commands.add_parser("compare", help=what)
    for run in ("run_a", "run_b"):
        command.add_argument(run, help="name of a run, or a folder that holds its tables")
    command.set_defaults(run=_compare)
    return parser


def _list(options: argparse.Namespace) -> int:
    from gpex_bench.plugins import cards, registry

    if options.markdown:
        sys.stdout.write(cards.page(options.kind))
        return 0
    for plugin in registry.plugins(options.kind).values():
        sys.stdout.write(f"{plugin.name}: {cards.summary(plugin)}\n")
    return 0


def _check(options: argparse.Namespace) -> int:
    from gpex_bench.contract.checks import CHECKS, OFFERS, BrokenPromise
    from gpex_bench.plugins.registry import plugins

    # A dataset and a model, say, may have the same name: all are checked.
    kinds = [kind for kind in CHECKS if options.name in plugins(kind)]
    if not kinds:
        known = ", ".join(sorted({name for kind in CHECKS for name in plugins(kind)}))
        raise ValueError(f"unknown plug-in {options.name!r}; known: {known}.")

    status = 0
    for kind in kinds:
        plugin = plugins(kind)[options.name]
        if plugin.cls is None:
            raise ValueError(f"{plugin.path.name} {plugin.reason}.")
        try:
            CHECKS[kind](plugin.cls)
        except BrokenPromise as broken:
            sys.stderr.write(f"{kind} {options.name} {broken}\n")
            status = 1
        else:
            sys.stdout.write(f"{kind} {options.name} keeps every promise.\n")
            for line in OFFERS[kind](plugin.cls) if kind in OFFERS else []:
                sys.stdout.write(f"  {line}\n")
    return status


def _show(options: argparse.Namespace) -> int:
    if options.what == "report":
        return _show_report(options.config)

    from gpex_bench import config

    for kind, entries in config.load(options.config).entries.items():
        for run_id, entry in entries.items():
            sys.stdout.write(f"{kind}s.{run_id}: {entry.settings!r}\n")
    return 0


def _show_report(path: Path) -> int:
    """Print the paths of a finished run's report and page; status 1 if there are none yet."""
    folder = Path("results") / _run_name(path)
    pages = [folder / "report.html", folder / "sentences.md"]
    found = [str(page) for page in pages if page.is_file()]
    if not found:
        sys.stdout.write(f"There is no report in {folder} yet; run snakemake first.\n")
        return 1

    sys.stdout.write(
        f"The answer is in {' and '.join(found)}; tables and figures are in the same folder.\n"
    )
    return 0


def _run_name(path: Path) -> str:
    """Return the name of the run of a config; the rest of the config is not checked."""
    import yaml

    try:
        return str(yaml.safe_load(path.read_text())["run"])
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); give a config.") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: must be a YAML mapping with the key `run`.") from error


def _compare(options: argparse.Namespace) -> int:
    """Print what differs between two runs; return 1 if anything does."""
    from gpex_bench.report.compare import compare, page

    differences = compare(_outcomes(options.run_a), _outcomes(options.run_b))
    sys.stdout.write(page(differences, options.run_a, options.run_b))
    return int(bool(len(differences)))


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


if __name__ == "__main__":
    sys.exit(main())
