"""Networks as people write them: what is found in them, and outputs that stay their own."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from gpex_bench.models.given.wrapping import wrap
from tests.vocabulary.networks import ready

IMAGES = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TABLE = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A residual block with a functional ReLU, an addition in place and a shortcut by a lambda."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        pad = (n_out - n_in) // 2
        self.shortcut = (
            (lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))) if pad else None
        )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu(out)


class Cifar(nn.Module):
    """A small residual network as others write them for CIFAR-10."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.linear = nn.Linear(16, 10)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


def mlp(*last):
    return ready(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), *last))


def test_a_residual_network_of_others_is_read_as_it_is():
    network = ready(Cifar())
    model = wrap(network, IMAGES)
    assert torch.equal(model(IMAGES), network(IMAGES))
    assert torch.equal(model(IMAGES), model.head(model.embed(IMAGES)))
    assert model.found.lines() == [
        "head: linear (16 → 10)",
        "features: layer2 [16, 16, 16]",
        model.found.lines()[2],
    ]
    assert model.found.modules.endswith("outputs differ by 0e+00") or "e-0" in model.found.modules
    assert model.found.withdrawn == {}


def test_the_trunk_gives_the_last_maps_and_a_copy_has_no_later_layer():
    network = ready(Cifar())
    model = wrap(network, IMAGES)
    maps = network.layer2(network.layer1(F.relu(network.bn1(network.conv1(IMAGES)))))
    assert torch.equal(model.trunk(IMAGES), maps)

    copied = copy.deepcopy(model.trunk)
    assert torch.equal(copied(IMAGES), maps)
    n_weights = sum(weight.numel() for weight in copied.parameters())
    of_head = sum(weight.numel() for weight in network.linear.parameters())
    assert n_weights == sum(weight.numel() for weight in network.parameters()) - of_head


class OneRelu(nn.Module):
    """Its last maps are of an activation that has run before, on larger maps."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.relu = nn.ReLU6()
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        maps = self.relu(self.second(self.relu(self.first(x))))
        return self.linear(maps.mean((2, 3)))


def test_an_activation_that_runs_twice_is_no_end_of_the_trunk_and_no_obstacle():
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    network = OneRelu()
    model = wrap(network, x)
    assert torch.equal(model(x), network(x))
    assert "relu, which runs several times" in " ".join(model.found.lines())
    assert torch.equal(model.trunk(x), model.embed(x))
