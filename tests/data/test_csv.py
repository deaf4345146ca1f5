"""The plug-in `csv`: numbers and categories, scaled by the training rows; faults are named by row."""

import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gpex_bench import config
from gpex_bench.contract.checks import check_dataset
from gpex_bench.data.csv import Csv
from gpex_bench.data.files import splits
from gpex_bench.masking.units import unit_names, unit_values
from gpex_bench.run.provenance import described
from gpex_bench.types import Kind

N = 60
RNG = np.random.default_rng(0)
WORKS = np.array(["mine", "mill", "farm"])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frame(n=N):
    """Return a table with numbers, a category of text and one of codes."""
    return pd.DataFrame(
        {
            "age": np.arange(n) * 7 % 50 + 20,
            "work": WORKS[np.arange(n) % 3],
            "income": np.round(RNG.normal(3000, 500, n), 2),
            "code": np.arange(n) % 4 + 9,
            "rent": np.round(RNG.normal(800, 90, n), 1) + 0.5,
        }
    )


def written(table, name="own.csv", **settings):
    table.to_csv(name, index=False, **settings)
    return name


def made(table=None, **settings):
    written(frame() if table is None else table)
    return Csv(**{"file": "own.csv", "target": "rent"} | settings)


def test_columns_are_those_of_scikit_learns_scaler_and_encoder():
    table = frame()
    source = made(table, categorical=("code",), unit="EUR")
    check_dataset(source)
    data = source.load()
    twin = ColumnTransformer(
        [
            ("age", StandardScaler(), ["age"]),
            ("work", OneHotEncoder(sparse_output=False), ["work"]),
            ("income", StandardScaler(), ["income"]),
            ("code", OneHotEncoder(sparse_output=False), ["code"]),
        ]
    )
    twin.fit(table.iloc[data.train.sample])
    for split, n in ((data.train, 48), (data.test, 12)):
        rows = table.iloc[split.sample]
        np.testing.assert_allclose(split.x, twin.transform(rows), atol=1e-5)
        np.testing.assert_array_equal(split.y, rows["rent"].astype(np.float32))
        assert len(split.x) == n

    works, codes = (
        ("work=farm", "work=mill", "work=mine"),
        tuple(f"code={one}" for one in (9, 10, 11, 12)),
    )
    assert data.features == ("age", *works, "income", *codes)
    assert data.groups == ((1, 2, 3), (5, 6, 7, 8))
    assert unit_names(data) == ("age", "work", "income", "code")
    first = table.iloc[int(data.test.sample[0])]
    assert unit_values(data, data.test.x[0]) == tuple(
        f"{first[name]:.4g}" if name in ("age", "income") else str(first[name])
        for name in ("age", "work", "income", "code")
    )
    assert (data.kind, data.classes, data.unit) == (Kind.NUMBER, ("rent",), "EUR")


def test_an_absent_feature_is_the_mean_or_the_most_frequent_category():
    table = frame()
    table.loc[::2, "work"] = "mill"
    data = made(table).load()
    assert data.baseline.tolist() == [0, 0, 1, 0, 0, 0]
    assert not made(table, baseline="zero").load().baseline.any()


def test_numbers_may_stay_as_they_are():
    table = frame()
    data = made(table, standardise=False).load()
    rows = table.iloc[data.train.sample]
    np.testing.assert_allclose(data.train.x[:, 0], rows["age"])
    assert float(data.baseline[0]) == pytest.approx(rows["age"].mean())
    assert unit_values(data, data.train.x[0])[0] == str(rows["age"].iloc[0])


@pytest.mark.parametrize(
    "target, settings, kind, classes",
    [
        ("work", {}, Kind.CLASSES, ("farm", "mill", "mine")),
        ("work", {"classes": ("mine", "mill", "farm")}, Kind.CLASSES, ("mine", "mill", "farm")),
        ("code", {"kind": Kind.CLASSES}, Kind.CLASSES, ("9", "10", "11", "12")),
        ("code", {"kind": Kind.NUMBER}, Kind.NUMBER, ("code",)),
        ("income", {}, Kind.NUMBER, ("income",)),
        (("old", "poor"), {}, Kind.LABELS, ("old", "poor")),
        ("old", {}, Kind.CLASSES, ("0", "1")),
    ],
)
def test_the_kind_of_the_target(target, settings, kind, classes):
    table = frame()
    table["old"] = (table["age"] > 40).astype(int)
    table["poor"] = (table["income"] < 3000).astype(int)
    source = made(table, target=target, **settings)
    assert source.kind is kind
    check_dataset(source)
    data = source.load()
    assert data.classes == classes
    if kind is Kind.CLASSES:
        named = np.array(classes)[data.test.y]
        assert named.tolist() == table[target].iloc[data.test.sample].astype(str).tolist()


def test_the_test_split_may_be_a_list_of_rows(folder):
    np.savetxt("split.txt", [3, 1, 50], fmt="%d")
    source = made(test="split.txt")
    assert source.reads == ("own.csv", "split.txt")
    data = source.load()
    assert sorted(data.test.sample.tolist()) == [1, 3, 50]
    np.savetxt("split.txt", [3, 1, 50])  # 3.000000000000000000e+00, numpy's default
    assert splits.dataset_digest(source.load()) == splits.dataset_digest(data)


def test_the_test_split_may_be_a_table_of_its_own():
    table = frame()
    written(table.iloc[:10][table.columns[::-1]], "test.csv")
    data = made(table.iloc[10:], test="test.csv").load()
    np.testing.assert_array_equal(data.test.y, table["rent"][:10].astype(np.float32))
    assert data.test.sample.tolist() == list(range(10))
    assert len(data.train.y) == N - 10


def test_other_forms_of_text_give_the_same_dataset():
    table = frame()
    expected = splits.dataset_digest(made(table).load())
    forms = [
        ({"sep": ";", "decimal": ","}, {"separator": ";", "decimal": ","}),
        ({"sep": "\t", "quoting": 1}, {"separator": "\t"}),
        ({"encoding": "utf-8-sig", "lineterminator": "\r\n"}, {}),
    ]
    for how, settings in forms:
        written(table, "other.csv", **how)
        source = Csv(file="other.csv", target="rent", **settings)
        assert splits.dataset_digest(source.load()) == expected
    with open("own.csv", "rb") as file, gzip.open("own.csv.gz", "wb") as packed:
        packed.write(file.read().replace(b",", b" , "))
    assert splits.dataset_digest(Csv(file="own.csv.gz", target="rent").load()) == expected


def with_holes():
    table = frame().astype(object)
    table.loc[[4, 9], "age"] = ""
    table.loc[7, "work"] = "?"
    return table


def test_missing_entries_are_refused_dropped_or_filled():
    with pytest.raises(ValueError, match="age has 2 missing entries, the first in row 4; set miss"):
        made(with_holes()).load()

    dropped = made(with_holes(), missing="drop").load()
    assert len(dropped.train.y) + len(dropped.test.y) == N - 3
    assert not {4, 7, 9} & {*dropped.train.sample.tolist(), *dropped.test.sample.tolist()}
    assert "3 of 60 rows lack an entry, and are left out" in dropped.notes

    data = made(with_holes(), missing="fill").load()
    rows = {
        int(sample): x
        for split in (data.train, data.test)
        for sample, x in zip(split.sample, split.x, strict=True)
    }
    assert abs(float(rows[4][0])) < 1e-6  # the mean
    usual = data.features[int(data.train.x[:, 1:4].sum(0).argmax()) + 1]
    assert rows[7][data.features.index(usual)] == 1
    assert any(
        note.startswith("2 missing entries of age are the training mean") for note in data.notes
    )


def test_rows_without_a_target_are_never_filled():
    data = made(entry("rent", 5, ""), missing="fill").load()
    assert "1 of 60 rows lack the target, and are left out" in data.notes
    assert 5 not in {*data.train.sample.tolist(), *data.test.sample.tolist()}


def test_the_mean_of_training_rows_alone_fills():
    table = with_holes()
    table["age"] = [1000 if row in (0, 1) else 30 + row % 2 if row != 4 else "" for row in range(N)]
    np.savetxt("split.txt", [0, 1, 4], fmt="%d")
    data = made(table, missing="fill", test="split.txt").load()
    assert abs(float(data.test.x[data.test.sample == 4][0, 0])) < 1e-6


def test_what_was_decided_is_noted():
    table = frame()
    table["place"] = "here"
    table["number"] = np.arange(N)
    table["work"] = np.where(np.arange(N) == 3, "sea", table["work"])
    np.savetxt("split.txt", [3, 4], fmt="%d")
    data = made(table, test="split.txt").load()
    notes = "\n".join(data.notes)
    for words in (
        "place is constant in the training rows, and left out",
        "number seems to count the rows",
        "code has 4 different whole numbers, taken as a quantity",
        "work holds text: taken as a category of 4",
        "work has values in 1 test rows that no training row has.*: sea",
    ):
        assert pd.Series([notes]).str.contains(words).all(), words
    at = [column for column, name in enumerate(data.features) if name.startswith("work=")]
    assert not data.test.x[data.test.sample == 3][0, at].any()


def changed(**columns):
    return frame().assign(**columns)


def entry(column, row, value):
    table = frame().astype(object)
    table.loc[row, column] = value
    return table


BAD = [
    (
        None,
        {"target": "rents"},
        "target must name columns, and rents are not there; there are age, work",
    ),
    (None, {"drop": ("works",)}, "drop must name columns, and works are not there"),
    (
        None,
        {"categorical": ("rent",)},
        r"target must not be in categorical or drop, got \['rent'\]",
    ),
    (None, {"target": "code"}, "kind must be given for targets of 4 different whole numbers"),
    (
        None,
        {"target": "work", "kind": Kind.NUMBER},
        "target work must be numbers .* row 0 has 'mine'",
    ),
    (None, {"target": "work", "classes": ("mine", "mill")}, "classes must list .* lacks farm"),
    (None, {"target": ("age", "code")}, "target age must be 0 or 1"),
    (None, {"test": 1.5}, "test must be a share between 0 and 1, got 1.5"),
    (None, {"test": "none.txt"}, "test must be a share, a file .* got 'none.txt'"),
    (
        None,
        {"separator": ";"},
        "separator must be .* got ';', which leaves one column .*separator: \",\"",
    ),
    (None, {"decimal": ","}, "separator and decimal must differ"),
    (None, {"file": "none.csv"}, "file must be a table .* got 'none.csv'"),
    (None, {"unit": "EUR", "target": "work"}, "unit must be left out"),
    (entry("age", 5, "abc"), {}, "column age must hold numbers, and row 5 has 'abc'; mend it"),
    (entry("age", 5, "3,5"), {}, "row 5 has '3,5'; if it is a decimal comma, set decimal"),
    (entry("age", 5, "inf"), {}, "column age must hold numbers, and row 5 has 'inf'"),
    (entry("rent", 5, ""), {}, "column rent has 1 missing entries, the first in row 5"),
    (entry("rent", 5, "x"), {"kind": Kind.NUMBER}, "target rent must be numbers .*row 5 has 'x'"),
    (
        changed(day=pd.date_range("2020-01-01", periods=N)),
        {},
        "column day holds dates, such as '2020",
    ),
    (
        changed(name=[f"person {row}" for row in range(N)]),
        {},
        "name has 60 different texts in 60 rows",
    ),
    (
        changed(rare=["once"] + ["often"] * (N - 1)),
        {"target": "rare"},
        "test must leave at least one",
    ),
    (changed(work=""), {"missing": "fill"}, "column work has no entry in the training rows"),
]


@pytest.mark.parametrize("table, settings, words", BAD)
def test_what_cannot_be_used_is_refused_with_column_and_row(table, settings, words):
    with pytest.raises(ValueError, match=words):
        made(table, **settings).load()


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "own.csv cannot be read as a table"),
        ("a,b\n", "own.csv must have rows below its header"),
        ("a,b\n1,2\n3,4,5\n", "own.csv cannot be read .*line 3, saw 3"),
        ("a,a,b\n1,2,3\n", "the columns of own.csv must differ, and a are there twice"),
        (",a,b\n0,1,2\n", "that of column 0 is empty; name it, or write the file without an index"),
        ("a,b\n1\n3,4\n5,6\n", "column b has 1 missing entries, the first in row 0"),
    ],
)
def test_text_that_is_no_table_is_refused(folder, text, words):
    (folder / "own.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        Csv(file="own.csv", target="b", kind=Kind.NUMBER).load()


def test_other_encodings_are_refused(folder):
    (folder / "own.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match="own.csv must be text in UTF-8"):
        Csv(file="own.csv", target="b")


def test_a_test_table_of_other_columns_is_refused():
    written(frame().drop(columns="age"), "test.csv")
    with pytest.raises(ValueError, match="test.csv must have rows .* they differ in age"):
        made(test="test.csv").load()


def test_a_config_names_the_entry_and_content_counts():
    written(frame())
    raw = {
        "run": "own",
        "seeds": [1],
        "headline": "srg",
        "networks": [{"dataset": "survey", "model": "mlp"}],
        "datasets": {"survey": {"dataset": "csv", "file": "own.csv", "target": "rent"}},
        "models": {"mlp": None},
        "methods": {"gradient_x_input": None},
        "metrics": {"srg": None},
    }
    before = described(config.parse(raw).dataset("survey"))
    written(frame().assign(age=1))
    assert described(config.parse(raw).dataset("survey")) != before
    raw["datasets"]["survey"]["target"] = "rents"
    with pytest.raises(config.ConfigError, match="datasets.survey: target must name columns"):
        config.parse(raw)
