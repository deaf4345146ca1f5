"""The command line: what it answers, its exit status, and how it ends."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpex_bench import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["list"], 0, "integrated_gradients: "),
        (["list", "dataset"], 0, "shapes: "),
        (["check", "sparseness"], 0, "keeps every promise"),
        (["check", "nothing"], 2, "unknown plug-in 'nothing'; known: "),
        (
            ["show", "config", "--config", str(ROOT / "config/smoke.yaml")],
            0,
            "methods.oracle: Oracle()",
        ),
        (["show", "config", "--config", "none.yaml"], 2, "none.yaml: cannot be read"),
        (["show", "report", "--config", "none.yaml"], 2, "none.yaml: cannot be read"),
        (["list", "meth"], 2, "kind must be one of dataset, method, metric, model, surrogate"),
        (["lists"], 2, "No such command 'lists'"),
        (["compare", "one"], 2, "RUN_B"),
        (["show", "--confg", "x"], 2, "--config"),
    ],
)
def test_the_command_line_answers(arguments, status, text, capsys):
    assert cli.main(arguments) == status
    captured = capsys.readouterr()
    assert text in captured.out + captured.err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_shows_an_example(command, capsys):
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"  gpex-bench {command}" in text
    assert cli.main(["--help"]) == 0
    assert re.search(rf"^  {command} +\S", capsys.readouterr().out, re.MULTILINE)


def test_the_text_is_plain_and_the_same_at_any_width(capsys, monkeypatch):
    texts = []
    for width in ("30", "200"):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert cli.main(["show", "--help"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].isascii() and "\x1b" not in texts[0]


def started(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "gpex_bench.cli", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def test_the_command_line_ends_quietly_when_its_reader_does():
    with started("list", "metric", "--markdown") as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_shells_complete_commands():
    environment = os.environ | {
        "_GPEX_BENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "gpex-bench co",
        "COMP_CWORD": "1",
    }
    with started(env=environment) as process:
        assert process.stdout.read().split() == [b"compare"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["show", "report", "--config", "config/smoke.yaml"]]
)
def test_help_and_where_the_report_is_need_no_torch(arguments):
    code = (
        "import sys; from gpex_bench import cli;"
        f"cli.main({arguments}); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
