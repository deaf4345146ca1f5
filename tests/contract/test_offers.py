"""What `gpex-bench check` says of datasets and networks: what they offer, and why not."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gpex_bench.contract import offers, toys
from gpex_bench.types import Architecture, Kind, Model, Need, Source, settings


def source(data, *needs, kind=Kind.CLASSES):
    members = {"offers": frozenset(needs), "kind": kind, "load": lambda self: data}
    return settings(type("Given", (Source,), members))()


def test_a_dataset_says_what_it_holds_and_rules_out():
    lines = offers.of_dataset(source(toys.dataset("table"), Need.TABLE, Need.TRUTH))
    text = "\n".join(lines)
    assert lines[0].startswith("24 training and 6 test rows of 8, in 0.")
    assert "3 classes (train + test): a 8 + 2, b 8 + 2, c 8 + 2" in lines
    assert "baseline in 0.1 ... 0.1" in lines
    assert "planted truth, 25 % of the entries of test" in lines
    assert any(line.startswith("methods that do not apply, for they need image:") for line in lines)
    assert "grad_cam" in text
    assert "saliency" not in text


def test_a_number_and_labels_are_described_as_such():
    data = toys.dataset("table")
    y = torch.linspace(-1, 3, 24)
    number = replace(
        data,
        train=replace(data.train, y=y),
        test=replace(data.test, y=y[:6]),
        classes=("weight",),
        kind=Kind.NUMBER,
        unit="kg",
        truth=None,
    )
    lines = offers.of_dataset(source(number, Need.TABLE, kind=Kind.NUMBER))
    assert "number weight kg, in -1 ... 3, mean 1" in lines
    assert any("srg" in line and "probabilities" in line for line in lines)

    y = torch.tensor([[1, 0], [1, 1]] * 12)
    labels = replace(
        data,
        train=replace(data.train, y=y),
        test=replace(data.test, y=y[:6]),
        classes=("red", "round"),
        kind=Kind.LABELS,
    )
    lines = offers.of_dataset(source(labels, Need.TABLE, Need.TRUTH, kind=Kind.LABELS))
    assert "2 labels (train + test): red 24 + 6, round 12 + 3" in lines


class Net(Model):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def embed(self, x):
        return self.trunk(x)


class Hidden(Net):
    """Leaves torch on the way."""

    def embed(self, x):
        return self.trunk(x) * float(x.detach().numpy().sum() * 0 + 1)


class Sorted(Net):
    def embed(self, x):
        return self.trunk(x).sort(1).values


def network(cls):
    members = {
        "takes": frozenset({Need.TABLE}),
        "build": lambda self, data: cls(),
        "train": lambda self, data, seed, progress: cls(),
    }
    return settings(type("Given", (Architecture,), members))()


def test_a_network_says_what_becomes_modules_and_who_applies():
    first, offered, applying, *refused = offers.of_network(network(Net))
    assert first.startswith("table: 3 outputs, 51 weights; gradient: finite; modules: ")
    assert "outputs differ by" in first
    assert offered == "offers gradient, modules"
    assert {"lrp", "deep_taylor"} <= set(applying.split(": ")[1].split(", "))
    assert refused == []


def test_a_network_that_cannot_be_rewritten_says_why():
    first, offered = offers.of_network(network(Hidden))
    assert "modules: " in first
    assert "outputs differ by" not in first
    assert offered == "offers gradient, modules"


@pytest.mark.parametrize("name", ["lrp", "deep_taylor"])
def test_a_method_without_a_rule_for_an_operation_is_named_with_its_reason(name):
    lines = offers.of_network(network(Sorted))
    (line,) = [one for one in lines if one.startswith(f"{name} does not apply: ")]
    assert "sort" in line
