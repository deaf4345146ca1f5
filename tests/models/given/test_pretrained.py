"""Networks brought along by a config: built from a file, with weights, and held to the dataset."""

from __future__ import annotations

import sys

import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.models.given.building import built, local_file
from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.pretrained import Pretrained
from gpex_bench.run.provenance import described, forget
from gpex_bench.stages.train import check_trained, rebuilt

NETWORKS = """
from torch import nn

from parts import activation


class Net(nn.Module):
    def __init__(self, classes=3, wide=8):
        super().__init__()
        self.first = nn.Linear(8, wide)
        self.last = nn.Linear(wide, classes)

    def forward(self, x):
        return self.last(activation(self.first(x)))


def made(**arguments):
    return Net(**arguments)


def loaded():
    import torch

    network = Net()
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(0.1)
    return network


def state():
    return Net().state_dict()


READY = loaded()
"""
DATA = toys.dataset("table")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working folder of a user with networks, a neighbour of theirs, and weights."""
    (tmp_path / "nets.py").write_text(NETWORKS)
    (tmp_path / "parts.py").write_text("from torch.nn.functional import relu as activation\n")
    monkeypatch.chdir(tmp_path)
    network = built("nets.py:Net", {})
    torch.save({"state_dict": network.state_dict()}, tmp_path / "weights.pt")
    return tmp_path


def given(**settings):
    return Pretrained(**{"build_by": "nets.py:Net", "weights": "weights.pt"} | settings)


def trained(architecture, data=DATA):
    return architecture.train(data, 7, lambda line: None)


def test_a_network_keeps_its_weights_and_needs_no_training(folder):
    lines = []
    model = given().train(DATA, 1, lines.append)
    network = built("nets.py:Net", {})
    network.load_state_dict(torch.load("weights.pt", weights_only=True)["state_dict"])
    assert torch.equal(model(DATA.test.x), network(DATA.test.x))
    assert "head: last (8 → 3)" in lines

    check_trained(given(), model, DATA)
    again = rebuilt(given(), DATA, model.state_dict())
    assert torch.equal(again(DATA.test.x), model(DATA.test.x))
    assert given().is_given
    assert given().reads == ("nets.py", "weights.pt")


@pytest.mark.parametrize("name", ["loaded", "READY"])
def test_a_function_may_load_the_weights_itself(folder, name):
    model = trained(given(build_by=f"nets.py:{name}", weights=""))
    assert all((weight == 0.1).all() for weight in model.parameters())


def test_random_weights_are_no_trained_network(folder):
    with pytest.raises(CannotWrap, match=r"'first.weight' other values each time.*set `weights`"):
        trained(given(weights=""))


def test_files_leave_nothing_behind(folder):
    before = set(sys.modules), list(sys.path), torch.get_rng_state()
    trained(given())
    assert {"parts", "nets"}.isdisjoint(set(sys.modules) - before[0])
    assert sys.path == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_neighbours_of_one_name_in_two_folders_do_not_meet(folder):
    other = folder / "other"
    other.mkdir()
    (other / "nets.py").write_text(NETWORKS)
    (other / "parts.py").write_text("from torch import tanh as activation\n")
    first = trained(given())
    second = trained(given(build_by="other/nets.py:Net"))
    assert not torch.equal(first(DATA.test.x), second(DATA.test.x))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"arguments": {"classes": 5}, "weights": ""}, "has 5 outputs.*3 classes, which need 3"),
        ({"arguments": {"classes": 1}, "weights": ""}, "has 1 output,.*which need 3"),
        ({"arguments": {"depth": 5}}, r"fails with the arguments \(depth=5\): TypeError"),
        ({"build_by": "nets.py:Nett"}, "no 'Nett'. Did you mean 'Net'"),
        ({"build_by": "missing.py:Net"}, "no file missing.py"),
        ({"build_by": "no_such_package.x:Net"}, "'no_such_package.x' cannot be imported"),
        ({"build_by": "nets.py:state"}, "makes a OrderedDict"),
        ({"build_by": "nets.py:READY", "arguments": {"a": 1}}, "arguments must be empty"),
        ({"weights": "missing.pt"}, "missing.pt cannot be read"),
        ({"arguments": {"wide": 4}}, r"first.weight: the file has \[8, 8\], the network \[4, 8\]"),
        ({"head": "lst"}, "got 'lst'.*Known: first, last"),
        ({"normalise": {"mean": [0, 1], "std": 1}}, "normalise.mean must be one finite number"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(folder, settings, words):
    with pytest.raises(CannotWrap, match=words):
        trained(given(**settings))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"build_by": "nets.py"}, "build must be file.py:function_or_class"),
        ({"normalise": {"mean": 0}}, "entries mean and std"),
    ],
)
def test_settings_are_checked_before_anything_is_read(settings, words):
    with pytest.raises(CannotWrap, match=words):
        given(**settings)


def test_the_file_of_a_module_in_the_working_folder_counts(folder):
    assert local_file("nets:Net") == "nets.py"
    assert local_file("torchvision.models:resnet18") == ""


def test_weights_and_files_count_by_content(folder):
    before = described(given())
    (folder / "weights.pt").touch()
    assert described(given()) == before

    network = built("nets.py:Net", {})
    torch.save(network.state_dict(), folder / "weights.pt")
    with_other_weights = described(given())
    assert with_other_weights != before


def test_a_neighbour_of_the_file_that_builds_counts_by_content(folder):
    before = described(given())
    (folder / "parts.py").write_text("from torch import tanh as activation\n")
    forget()  # as a new process does
    assert described(given()) != before


def test_a_package_in_the_working_folder_may_import_its_own_parts(folder):
    package = folder / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("from torch import tanh as activation\n")
    (package / "nets.py").write_text(NETWORKS.replace("from parts", "from .parts"))
    model = trained(given(build_by="mine.nets:Net"))
    assert model.found.head == "last"
    assert "mine" not in sys.modules
