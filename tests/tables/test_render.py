"""Tables as text: nothing for a failed cell, the same bytes in any order, formats that parse."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from gpex_bench.statistics.outcomes import outcome_table, summarise
from gpex_bench.tables import render
from gpex_bench.tables.columns import KEYS
from gpex_bench.tables.order import control_ids
from gpex_bench.tables.words import interval, number, wording
from tests.vocabulary import frames as synthetic


def outcomes(shuffle: int | None = None) -> pd.DataFrame:
    parts = [synthetic.scores(12), synthetic.cells(), synthetic.skipped()]
    if shuffle is not None:
        parts = [part.sample(frac=1, random_state=shuffle) for part in parts]
    scores, cells, skipped = parts
    up = {record["metric"]: record["higher_is_better"] for record in synthetic.metrics()}
    scores = scores[
        (scores["dataset"] != "mnist5k") & scores["metric"].isin(["srg", "class_purity"])
    ]
    skipped = skipped[skipped["metric"].isin(["srg", "class_purity"])]
    summary = summarise(scores, up, control_ids(synthetic.methods()))
    return outcome_table(summary, cells[cells["dataset"] != "mnist5k"], skipped)


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return outcomes()


def wide(found: pd.DataFrame) -> pd.DataFrame:
    return render.wide(found, synthetic.methods(), synthetic.metrics(), "srg")[
        "shapes", "thin_resnet"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8123, "0.812"),
        (-0.0001, "-1.00e-04"),
        (0.0, "0.000"),
        (3.14159, "3.14"),
        (15.26, "15.3"),
        (420.4, "420"),
    ]
    + [
        (12345.0, "1.23e+04"),
        (0.0123, "0.0123"),
        (0.00012, "1.20e-04"),
        (float("nan"), "not known"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_intervals_share_their_decimals() -> None:
    assert interval(0.0002, -0.0251, 0.026) == ("0.000", "[-0.025, 0.026]")
    assert interval(-0.0002, -0.0251, 0.026) == ("0.000", "[-0.025, 0.026]")
    assert interval(0.5, float("nan"), float("nan")) == ("0.500", "[too few samples]")


def test_a_cell_without_a_number_says_why(found: pd.DataFrame) -> None:
    table = wide(found)
    assert table.loc["lrp_epsilon", "srg"] == (
        "failed: ValueError: no rule for layer 'downsample'",
        "",
    )
    assert table.loc["sobol", "srg"] == ("failed (timeout): took longer than 900 s", "")
    assert table.loc["lime", "class_purity"] == ("n/a: scores training examples", "")
    with pytest.raises(ValueError, match="status must not be 'ok'"):
        wording("ok", "")


@pytest.mark.parametrize("method", ["sobol", "lrp_epsilon"])
def test_failed_rows_hold_no_score(found: pd.DataFrame, method: str) -> None:
    table = wide(found)
    for text in (render.markdown(table), render.latex(table, "c", "l")):
        row = next(
            line
            for line in text.splitlines()
            if method in line.replace("\\", "") and "lus" not in line
        )
        assert not re.search(r"\d\.\d", row)


def test_order_of_the_inputs_does_not_show(found: pd.DataFrame) -> None:
    other = outcomes(shuffle=1)
    assert render.csv(other) == render.csv(found)
    assert render.markdown(wide(other)) == render.markdown(wide(found))
    assert render.latex(wide(other), "c", "l") == render.latex(wide(found), "c", "l")


def test_csv_reads_back(found: pd.DataFrame) -> None:
    text = render.csv(found)
    assert "\r" not in text and text.startswith("dataset,model,method,metric,")
    back = pd.read_csv(io.StringIO(text))
    assert np.allclose(back["mean"], found["mean"], rtol=1e-7, equal_nan=True)


def test_csv_does_not_depend_on_the_order_of_the_columns(found: pd.DataFrame) -> None:
    keys = [column for column in KEYS if column in found.columns]
    assert render.csv(found.sample(frac=1, random_state=3)) == render.csv(found)
    assert render.csv(found[keys[::-1]]).startswith(",".join(keys))


def test_markdown_is_aligned_and_marks(found: pd.DataFrame) -> None:
    lines = render.markdown(wide(found)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set(lines[1]) == set("|- ")
    assert any("**" in line for line in lines) or any(" =" in line for line in lines)


def test_markdown_escapes_bars() -> None:
    assert render.plain_markdown(pd.DataFrame({"a": ["x|y"]})) == "| a    |\n| ---- |\n| x\\|y |\n"


def test_latex_is_booktabs_and_escaped(found: pd.DataFrame) -> None:
    text = render.latex(wide(found), "50 % of a_b", "tab:x")
    assert r"\caption{50 \% of a\_b}" in text and r"\toprule" in text and r"\bottomrule" in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert {line.count(" & ") for line in body.splitlines()[1:]} == {2}
    assert render.escape("-0.5 [-0.6, x-y]") == "$-$0.5 [$-$0.6, x-y]"


def test_missing_column_is_named(found: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"outcomes lacks the columns \['state'\]"):
        render.wide(found.drop(columns="state"), synthetic.methods(), synthetic.metrics(), "srg")
