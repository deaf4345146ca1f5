"""What a user brings: arrays, a file with a network of their own, and its weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

NETWORKS = """
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x):
        out = self.conv2(F.relu(self.conv1(x)))
        out += x
        return F.relu(out)


class SmallResNet(nn.Module):
    def __init__(self, width, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.block = Block(width)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, x):
        out = self.block(F.relu(self.stem(x)))
        return self.linear(F.avg_pool2d(out, out.shape[3]).flatten(1))


def small():
    return SmallResNet(6, 3)
"""


def load(path: Path):
    """Import a file under a name that no other test uses."""
    spec = importlib.util.spec_from_file_location(f"brought_{abs(hash(str(path)))}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A folder with photos.npz, networks.py and small.pt, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 30), ("test", 15)):
        y = np.arange(n) % 3
        x = draw.random((n, 3, 12, 12), dtype=np.float32)
        x[np.arange(n), y] *= 0.5  # the colour that is dark names the class
        arrays |= {f"x_{part}": x, f"y_{part}": y}
    np.savez("photos.npz", **arrays)

    Path("networks.py").write_text(NETWORKS)
    torch.manual_seed(0)
    network = load(tmp_path / "networks.py").small()
    torch.save(network.state_dict(), "small.pt")
    return tmp_path
