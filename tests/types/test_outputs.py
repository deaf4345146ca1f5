"""What the outputs of a network mean, by kind of target."""

import dataclasses

import pytest
import torch

from gpex_bench.stages.queries import queries
from gpex_bench.types import Kind, Split
from gpex_bench.types.demands import Refused
from gpex_bench.types.outputs import (
    class_logits,
    explained,
    n_outputs,
    names_target,
    prediction,
    probabilities,
)
from tests.vocabulary import datasets
from tests.vocabulary.networks import Linear

OUTPUTS = torch.tensor([[2.0, -1.0, 0.5], [-3.0, -2.0, -4.0]])


def test_probabilities_by_hand():
    e = OUTPUTS.exp()
    torch.testing.assert_close(probabilities(OUTPUTS, Kind.CLASSES), e / e.sum(1, keepdim=True))
    torch.testing.assert_close(probabilities(OUTPUTS, Kind.LABELS), e / (1 + e))
    one = OUTPUTS[:, :1]
    torch.testing.assert_close(probabilities(one, Kind.CLASSES), e[:, :1] / (1 + e[:, :1]))
    with pytest.raises(Refused, match="a number, which has no probability"):
        probabilities(one, Kind.NUMBER)


def test_what_a_network_says():
    assert prediction(OUTPUTS, Kind.CLASSES).tolist() == [0, 1]
    assert prediction(OUTPUTS[:, :1], Kind.CLASSES).tolist() == [1, 0]  # positive: the second class
    assert prediction(OUTPUTS, Kind.LABELS).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert prediction(OUTPUTS[:, :1], Kind.NUMBER).tolist() == [2.0, -3.0]
    assert class_logits(OUTPUTS[:, :1]).tolist() == [[0.0, 2.0], [0.0, -3.0]]


def test_what_is_explained_and_whether_the_network_names_it():
    assert explained(OUTPUTS).tolist() == [0, 1]
    target = torch.tensor([0, 1])
    assert names_target(OUTPUTS, target, Kind.CLASSES).tolist() == [1, 1]
    assert names_target(OUTPUTS, 1 - target, Kind.CLASSES).tolist() == [0, 0]
    assert names_target(OUTPUTS, target, Kind.LABELS).tolist() == [1, 0]
    assert names_target(OUTPUTS[:, :1], 0 * target, Kind.CLASSES).tolist() == [1, 0]
    assert names_target(OUTPUTS[:, :1], 0 * target, Kind.NUMBER).isnan().all()


def test_how_many_outputs():
    x = torch.zeros(2, 3)
    two = datasets.dataset(x, classes=2)
    assert (n_outputs(two), n_outputs(two, one_logit=True)) == (2, 1)
    number = dataclasses.replace(two, kind=Kind.NUMBER, classes=("weight",))
    assert n_outputs(number) == 1
    assert n_outputs(dataclasses.replace(two, kind=Kind.LABELS)) == 2
    for other in (datasets.dataset(x, classes=3), number):
        with pytest.raises(ValueError, match="one_logit must be False for 'toy'"):
            n_outputs(other, one_logit=True)


def test_queries_of_each_kind():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    weight = torch.tensor([[1.0, -2.0], [0.5, -1.0]])
    many = datasets.dataset(Split(x=x, y=torch.tensor([[1, 0], [0, 1]]), sample=torch.arange(2)))
    labels = dataclasses.replace(many, kind=Kind.LABELS, classes=("a", "b"))
    query = queries(Linear(weight), labels, 2)
    assert query.target[query.sample.argsort()].tolist() == [0, 1]
    y = torch.tensor([0.3, 1e5])
    one = datasets.dataset(Split(x=x, y=y, sample=torch.arange(2)))
    number = dataclasses.replace(one, kind=Kind.NUMBER, classes=("weight",), unit="kg")
    assert queries(Linear(weight[:1]), number, 2).target.tolist() == [0, 0]
    assert queries(Linear(weight[:1]), datasets.dataset(x, classes=2), 2).target.tolist() == [0, 0]
