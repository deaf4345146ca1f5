"""Weights of others are read without running code, and fitted by name, shape and prefix."""

import argparse

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.weights import load_weights, read_weights
from tests.vocabulary.networks import ready


def network(n_outputs=3):
    return ready(
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, n_outputs))
    )


WEIGHTS = network().state_dict()


def prefixed(prefix):
    return {f"{prefix}{name}": tensor for name, tensor in WEIGHTS.items()}


CHECKPOINTS = {
    "a state_dict": (WEIGHTS, ""),
    "of DataParallel": (prefixed("module."), "module."),
    "compiled": (prefixed("_orig_mod."), "_orig_mod."),
    "compiled and parallel": (prefixed("module._orig_mod."), "module._orig_mod."),
    "with options and scores": (
        {
            "state_dict": prefixed("module."),
            "args": argparse.Namespace(lr=0.1),
            "best": np.float64(0.9),
            "epoch": 3,
        },
        "module.",
    ),
    "beside an optimiser": ({"model": WEIGHTS, "optimizer": {"state": {}}}, ""),
    "averaged": ({**prefixed("module."), "n_averaged": torch.tensor(7)}, "module."),
    "of a framework, with a loss": (
        {"state_dict": {**prefixed("model."), "loss.weight": torch.ones(3)}},
        "model.",
    ),
    "in half precision": ({name: tensor.half() for name, tensor in WEIGHTS.items()}, ""),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_what_training_scripts_save_is_read(case, tmp_path):
    saved, prefix = CHECKPOINTS[case]
    path = tmp_path / "weights.pt"
    torch.save(saved, path)
    target = network().apply(lambda module: setattr(module, "seen", True))
    for weight in target.parameters():
        weight.data.zero_()

    notes = load_weights(target, read_weights(path), path)
    for name, tensor in target.state_dict().items():
        assert torch.allclose(tensor.float(), WEIGHTS[name].float(), atol=1e-3), name
    assert any(prefix in note for note in notes) == bool(prefix)


def test_safetensors_are_read_whatever_the_ending(tmp_path):
    path = tmp_path / "weights.bin"
    save_file(WEIGHTS, path)
    assert all(torch.equal(tensor, WEIGHTS[name]) for name, tensor in read_weights(path).items())


def test_a_file_that_holds_objects_runs_no_code(tmp_path):
    path = tmp_path / "object.pt"
    torch.save(network(), path)
    with pytest.raises(CannotWrap, match=r"Python objects \(torch.nn.*\).*state_dict\(\), path"):
        read_weights(path)


def damaged(kind, path):
    if kind == "cut":
        torch.save(WEIGHTS, path)
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "zip":
        with path.open("wb") as file:
            np.savez(file, x=np.zeros(3))
    elif kind == "cut safetensors":
        save_file(WEIGHTS, path)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "list":
        torch.save([torch.zeros(2)], path)
    elif kind == "no tensors":
        torch.save({"epoch": 3}, path)
    elif kind == "NaN":
        torch.save({**WEIGHTS, "0.bias": torch.full((5,), torch.nan)}, path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text({"empty": "", "text": "hello", "LFS": "version https://git-lfs.x"}[kind])


@pytest.mark.parametrize(
    "kind, words",
    [
        ("missing", "cannot be read"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "holds no weights"),
        ("LFS", "pointer of Git LFS"),
        ("cut", "cut short"),
        ("zip", "zip file of something else"),
        ("cut safetensors", "not a whole safetensors file"),
        ("list", "a list"),
        ("no tensors", "a dict with the entries epoch"),
        ("NaN", "'0.bias' holds NaN"),
    ],
)
def test_a_file_of_something_else_is_refused_by_what_it_is(kind, words, tmp_path):
    path = tmp_path / "weights.pt"
    damaged(kind, path)
    with pytest.raises(CannotWrap, match=words):
        read_weights(path)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda w: network(7).state_dict(), r"3.weight: the file has \[7, 5\].*has 7 outputs"),
        (lambda w: {**w, "extra": torch.ones(2)}, r"not in the network \(extra \[2\]\)"),
        (
            lambda w: {name.replace("0.weight", "first.weight"): t for name, t in w.items()},
            r"missing in the file \(0.weight \[5, 4\]\).*Is 'first.weight' of the file",
        ),
    ],
)
def test_weights_of_another_network_are_refused_with_key_and_shape(change, words):
    with pytest.raises(CannotWrap, match=words):
        load_weights(network(), change(dict(WEIGHTS)), "w.pt")


def test_an_old_file_without_counters_of_batches_is_accepted():
    old = {name: t for name, t in WEIGHTS.items() if "num_batches" not in name}
    assert load_weights(network(), old, "w.pt") == []
