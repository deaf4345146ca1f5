"""The command line `gpex-bench`: one file a command. PyTorch is imported only where it is needed.

Exit status: 0 fine; 1 a check failed, runs differ, or there is no result yet; 2 wrong use or input.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable

import typer

from gpex_bench.cli.checking import check
from gpex_bench.cli.comparing import compare
from gpex_bench.cli.explaining import explain
from gpex_bench.cli.initialising import init
from gpex_bench.cli.listing import list_plugins
from gpex_bench.cli.running import run
from gpex_bench.cli.scoring import score
from gpex_bench.cli.showing import show

# The same text at any width of the terminal, in logs and in tests: no boxes, no colours.
SETTINGS = {"help_option_names": ["-h", "--help"], "terminal_width": 100}
app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings=SETTINGS,
)


def commands() -> None:
    """Compare explainers of neural networks: ours, or yours, on your networks and data.

    A run in three steps:
      gpex-bench init mine                 writes mine.yaml
      gpex-bench check --config mine.yaml  says in seconds what fits and what doesn't
      gpex-bench run mine.yaml             ends with a report

    Exit status:
      0  fine
      1  a check failed, runs differ, or there is no result yet
      2  wrong use or input
    """


COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "check": check,
    "explain": explain,
    "score": score,
    "run": run,
    "show": show,
    "compare": compare,
    "list": list_plugins,
}


# Errors whose message says what to do, by their module.
OURS = {
    "gpex_bench.contract.promises": "BrokenPromise",
    "gpex_bench.run.artefacts": "DamagedFile",
}


def shown(command: Callable[..., None]) -> str:
    """Return the help text of a command: its docstring, with the lines of examples kept."""
    paragraphs = str(inspect.getdoc(command)).split("\n\n")
    # A paragraph that begins with the character backspace is not wrapped.
    return "\n\n".join(f"\b\n{text}" if "\n  " in text else text for text in paragraphs)


app.callback(help=shown(commands))(commands)
for name, command in COMMANDS.items():
    app.command(name, help=shown(command))(command)


def main(arguments: list[str] | None = None) -> int:
    """Run `gpex-bench`; return the exit status."""
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has ended. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _mistakes() as error:
        typer.echo(f"gpex-bench: {error}", err=True)
        return 2
    return status


def _mistakes() -> tuple[type[BaseException], ...]:
    """Return the kinds of errors that are a user's to mend, of the modules that are imported."""
    known = [
        getattr(sys.modules[name], error) for name, error in OURS.items() if name in sys.modules
    ]
    return (ValueError, OSError, *known)


def _run(arguments: list[str] | None) -> int:
    """Run a command; return the status that it ends with."""
    try:
        app(args=arguments, prog_name="gpex-bench")
    except SystemExit as end:
        return int(end.code or 0)
    return 0
