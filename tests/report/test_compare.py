"""`gpex-bench compare`: what moved between two runs, and by more than their intervals."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gpex_bench import cli
from gpex_bench.report.compare import compare
from gpex_bench.run import artefacts


def outcomes() -> pd.DataFrame:
    rows = [
        ("d", "m", "a", "srg", 0.5, 0.4, 0.6, "best", "ok"),
        ("d", "m", "b", "srg", 0.3, 0.2, 0.4, "", "ok"),
        ("d", "m", "c", "srg", 0.1, 0.0, 0.2, "", "ok"),
    ]
    columns = ["dataset", "model", "method", "metric", "mean", "low", "high", "mark", "state"]
    return pd.DataFrame(rows, columns=columns).assign(reason="")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / "results" / name / "tables").mkdir(parents=True)
    outcomes().to_csv("results/one/tables/outcomes.csv", index=False)
    return tmp_path


def compared(capsys: pytest.CaptureFixture[str], other: pd.DataFrame) -> tuple[int, str]:
    other.to_csv("results/two/tables/outcomes.csv", index=False)
    status = cli.main(["compare", "one", "two"])
    return status, capsys.readouterr().out


@pytest.mark.usefixtures("runs")
def test_the_same_run_has_moved_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(capsys, outcomes()) == (
        0,
        "one and two have the same numbers, states and marks.\n",
    )


@pytest.mark.usefixtures("runs")
def test_what_moved_beyond_its_interval_is_named_and_the_rest_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = outcomes()
    # by 0.4; the intervals explain 0.14 together
    other.loc[0, ["mean", "low", "high"]] = [0.9, 0.8, 1.0]
    other.loc[1, "mean"] = 0.31
    status, text = compared(capsys, other)
    assert status == 1 and re.findall(r"\d+", text.splitlines()[0]) == ["2", "1"]
    row = next(line for line in text.splitlines() if line.startswith("| d (m)"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("d (m)", "a", "srg", "0.500 [0.400, 0.600]", "0.900 [0.800, 1.00]", "0.400")
    ]
    assert "| b" not in text


@pytest.mark.usefixtures("runs")
def test_states_marks_and_new_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    other = outcomes()
    other.loc[0, "mark"] = "equal"
    other.loc[1, "state"] = "failed"
    other.loc[2, "method"] = "new"
    text = compared(capsys, other)[1]
    assert "- d (m), a, srg: best → equal" in text and "- d (m), b, srg: ok → failed" in text
    assert "Only in one: 1\n- d (m), c, srg" in text and "Only in two: 1\n- d (m), new, srg" in text


def test_a_run_that_is_not_there_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "one", "three"]) == 2
    assert "run 'three' has no outcomes.parquet and no outcomes.csv" in capsys.readouterr().err
    artefacts.write_table(runs / "results/two/tables/outcomes.parquet", outcomes())


def test_compare_two_runs() -> None:
    a = pd.DataFrame(
        [
            (name, 1.0, 0.9, 1.1, "ok", "")
            for name in ("same", "little", "far", "mark", "lost", "broken")
        ],
        columns=["method", "mean", "low", "high", "state", "mark"],
    ).assign(dataset="d", model="m", metric="srg")
    b = a[a["method"] != "lost"].copy().set_index("method")
    b.loc["little", "mean"] = 1.1
    b.loc["far", "mean"] = 1.2
    b.loc["mark", "mark"] = "best"
    b.loc["broken", ["mean", "low", "high"]] = np.nan
    b.loc["broken", "state"] = "failed"
    differences = compare(a, b.reset_index()).set_index("method")
    assert differences["kind"].to_dict() == {
        "little": "number",
        "far": "number",
        "mark": "mark",
        "lost": "only_a",
        "broken": "state",
    }
    assert differences["is_beyond_intervals"].to_dict() == {
        name: name == "far" for name in differences.index
    }
    assert compare(a, a).empty
