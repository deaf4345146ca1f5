"""Artefacts are whole or absent, the same bytes every time, and refused when they are not what was written."""

import dataclasses
import json
import resource
import signal

import pandas as pd
import pytest
import torch

from gpex_bench.contract import calls
from gpex_bench.run import artefacts
from gpex_bench.types import Attribution, Dataset, Kind, Query, Split, Truth
from tests.vocabulary import datasets


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cell" / "a.safetensors"
    artefacts.write_tensors(
        path, {"b": torch.arange(3.0), "a": torch.ones(2)}, {"status": "ok", "reason": ""}
    )
    artefacts.describe(path, kind="explanation", key={"seed": "1"}, seed=1, fingerprint="abc")
    return path


def test_tensors_come_back(stored):
    tensors, note = artefacts.read_tensors(stored)
    assert tensors["b"].tolist() == [0, 1, 2]
    assert note == {"status": "ok", "reason": ""}


def test_the_same_content_gives_the_same_bytes(stored):
    first = stored.read_bytes()
    artefacts.write_tensors(
        stored, {"a": torch.ones(2), "b": torch.arange(3.0)}, {"reason": "", "status": "ok"}
    )
    assert stored.read_bytes() == first


def test_no_tensors_is_a_valid_artefact(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "failed.safetensors"
    artefacts.write_tensors(path, {}, {"status": "failed", "reason": "boom"})
    artefacts.describe(path, kind="explanation")
    with pytest.raises(artefacts.DamagedFile, match="key"):
        artefacts.read_key(path)
    tensors, note = artefacts.read_tensors(path)
    assert (tensors, note) == ({}, {"status": "failed", "reason": "boom"})


def test_sidecar_says_where_it_came_from(stored, tmp_path):
    other = tmp_path / "b.parquet"
    artefacts.write_table(other, pd.DataFrame({"x": [1]}))
    artefacts.describe(other, kind="scores", inputs=[stored], seed=3)
    record = artefacts.read_sidecar(other)
    assert list(record["inputs"]) == ["cell/a.safetensors"]
    assert (
        record["environment"]["torch"] == torch.__version__.split("+")[0]
        or record["environment"]["torch"]
    )
    assert record["seed"] == 3
    assert "commit" in record["code"]
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "has 20 bytes, its sidecar says"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "content differs"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: artefacts.sidecar(path).unlink(), "sidecar a.json cannot be read"),
        (lambda path: artefacts.sidecar(path).write_text("{"), "sidecar a.json cannot be read"),
    ],
    ids=["cut", "changed", "missing", "no sidecar", "damaged sidecar"],
)
def test_damage_is_refused(stored, damage, message):
    damage(stored)
    with pytest.raises(artefacts.DamagedFile, match=f"{message}.*Delete it and run again"):
        artefacts.read_tensors(stored)


def test_no_space_left_leaves_nothing_behind_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "big.bin"
    artefacts.write_bytes(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(
            OSError, match=r"cannot write .*big\.bin \(100,000 bytes\).*free some space"
        ):
            artefacts.write_bytes(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["big.bin"]


def test_datasets_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def part(n, start):
        return Split(
            x=torch.rand(n, 1, 4, 4), y=torch.arange(n) % 2, sample=torch.arange(start, start + n)
        )

    truth = Truth(
        mask=torch.rand(3, 1, 4, 4) > 0.5, train_group=torch.arange(5), test_group=torch.arange(3)
    )
    data = Dataset(
        name="d",
        train=part(5, 0),
        test=part(3, 5),
        classes=("a", "b"),
        features=(),
        baseline=torch.zeros(1, 4, 4),
        truth=truth,
    )
    path = tmp_path / "data.safetensors"
    artefacts.write_dataset(path, data)
    artefacts.describe(path, kind="dataset")
    back = artefacts.read_dataset(path)
    assert torch.equal(back.test.x, data.test.x)
    assert torch.equal(back.truth.mask, truth.mask)
    assert (back.name, back.classes, back.features) == ("d", ("a", "b"), ())
    assert (back.kind, back.unit) == (Kind.CLASSES, "")


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.LABELS])
def test_other_kinds_of_targets_come_back(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    y = torch.tensor([0.5, 200.0]) if kind is Kind.NUMBER else torch.tensor([[1, 0], [0, 0]])
    split, test = (
        Split(x=torch.rand(2, 3), y=y.clone(), sample=torch.arange(first, first + 2))
        for first in (0, 2)
    )
    data = datasets.dataset(split, test)
    data = dataclasses.replace(data, kind=kind, classes=("height",), unit="cm")
    path = tmp_path / "data.safetensors"
    artefacts.write_dataset(path, data)
    artefacts.describe(path, kind="dataset")
    back = artefacts.read_dataset(path)
    assert (back.kind, back.classes, back.unit) == (kind, ("height",), "cm")
    assert torch.equal(back.train.y, y) and back.train.y.dtype == y.dtype


def test_an_artefact_without_a_kind_holds_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = datasets.dataset(torch.rand(2, 3), torch.rand(2, 3), classes=2)
    path = tmp_path / "data.safetensors"
    artefacts.write_dataset(path, data)
    artefacts.describe(path, kind="dataset")
    tensors, note = artefacts.read_tensors(path)
    del note["kind"], note["unit"]  # as it was written before there were kinds
    artefacts.write_tensors(path, tensors, note)
    artefacts.describe(path, kind="dataset")
    assert artefacts.read_dataset(path).kind is Kind.CLASSES


def test_explanations_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.safetensors"
    query = Query(x=torch.rand(2, 3), target=torch.tensor([1, 0]), sample=torch.tensor([7, 8]))
    artefacts.write_explanation(
        path, query, {"values": torch.rand(2, 3)}, {"status": "ok", "explains": "Attribution"}
    )
    artefacts.describe(path, kind="explanation")
    stored = artefacts.read_explanation(path)
    assert isinstance(stored.explanation, Attribution)
    assert stored.explanation.residual is None  # not known
    assert stored.note["status"] == "ok"
    stored.check_query(query)
    other = Query(x=query.x, target=query.target, sample=query.sample + 1)
    with pytest.raises(artefacts.DamagedFile, match="sample"):
        stored.check_query(other)


def test_an_explanation_that_failed_comes_back_as_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.safetensors"
    query = Query(x=torch.rand(2, 3), target=torch.tensor([1, 0]), sample=torch.tensor([7, 8]))
    artefacts.write_explanation(path, query, {}, {"status": "failed", "reason": "boom"})
    artefacts.describe(path, kind="explanation")
    stored = artefacts.read_explanation(path)
    assert stored.explanation is None
    assert stored.note == {"status": "failed", "reason": "boom"}
    stored.check_query(query)


def test_an_explanation_is_read_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.safetensors"
    query = Query(x=torch.rand(2, 3), target=torch.tensor([1, 0]), sample=torch.tensor([7, 8]))
    note = {"status": "ok", "explains": "Attribution"}
    artefacts.write_explanation(path, query, {"values": torch.rand(2, 3)}, note)
    artefacts.describe(path, kind="explanation")

    hashed = []
    sha256 = artefacts.provenance.sha256
    monkeypatch.setattr(
        artefacts.provenance, "sha256", lambda file: hashed.append(file) or sha256(file)
    )
    artefacts.read_explanation(path).check_query(query)
    assert hashed == [path]


def test_a_key_comes_from_the_sidecar_and_not_from_the_path(tmp_path, monkeypatch):
    """Whatever the folders are called; in the order of the tables, with the seed as a number."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "some" / "seed-9" / "explanations" / "other.safetensors"
    artefacts.write_tensors(path, {})
    key = {"seed": "2", "method": "lrp", "model": "cnn", "dataset": "shapes"}
    artefacts.describe(path, kind="explanation", key=key)
    found = artefacts.read_key(path)
    assert list(found.items()) == [
        ("dataset", "shapes"),
        ("model", "cnn"),
        ("seed", 2),
        ("method", "lrp"),
    ]


def test_what_an_attribution_leaves_over_comes_back(tmp_path, monkeypatch):
    """As the stage hands it on: the fields that are there, as tensors."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "e.safetensors"
    query = Query(x=torch.rand(2, 3), target=torch.tensor([1, 0]), sample=torch.tensor([7, 8]))
    gave = Attribution(values=torch.rand(2, 3), residual=torch.tensor([0.5, -2.0]))
    artefacts.write_explanation(
        path, query, calls.tensors(gave), {"status": "ok", "explains": "Attribution"}
    )
    artefacts.describe(path, kind="explanation")
    explanation = artefacts.read_explanation(path).explanation
    assert torch.equal(explanation.values, gave.values)
    assert torch.equal(explanation.residual, gave.residual)
