"""Methods on a wrapped network give what they give on one that is written as ours are."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gpex_bench.contract.cost import counted
from gpex_bench.models.altered.random_weights import n_layers, redraw
from gpex_bench.models.given.wrapping import wrap
from gpex_bench.types import Dataset, Model, Query, Split, Task
from methods.deeplift import DeepLift
from methods.full_grad import FullGrad
from methods.grad_cam import GradCam
from methods.lrp import LRP
from methods.saliency import Saliency
from tests.models.given.test_wrapping import IMAGES, Cifar
from tests.vocabulary.networks import ready

NETWORK = ready(Cifar())
QUERY = Query(x=IMAGES, target=torch.arange(5), sample=torch.arange(5))
SPLIT = Split(x=IMAGES, y=torch.arange(5), sample=torch.arange(5))
DATA = Dataset(
    name="images",
    train=SPLIT,
    test=SPLIT,
    classes=tuple("abcdefghij"),
    features=(),
    baseline=torch.zeros(3, 16, 16),
)


class Twin(Model):
    """The same network, with its embedding and its head written out."""

    def __init__(self):
        super().__init__()
        self.network = NETWORK
        self.head = NETWORK.linear

    def embed(self, x):
        net = self.network
        maps = net.layer2(net.layer1(F.relu(net.bn1(net.conv1(x)))))
        return maps.mean((2, 3))


def explained(method, model):
    """Return a method's maps, and the rows that went through the network."""
    task = Task(model=model, data=DATA, surrogate=None, seed=1)
    with counted(model) as rows:
        values = method.explain(task, QUERY).values
    return values, (rows.forward, rows.backward)


@pytest.mark.parametrize(
    "method",
    [
        Saliency(),
        GradCam(),
        GradCam(layer="layer1"),
        LRP(),
        DeepLift(),
        FullGrad(),
    ],
    ids=lambda method: f"{type(method).__name__} {getattr(method, 'layer', '')}",
)
def test_maps_and_cost_are_those_of_the_network_written_as_ours(method):
    found, cost = explained(method, wrap(NETWORK, IMAGES))
    named = method
    if getattr(method, "layer", ""):
        named = GradCam(layer=f"network.{method.layer}")
    expected, cost_of_twin = explained(named, Twin().eval())
    assert expected.abs().sum() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert cost == cost_of_twin


@pytest.mark.parametrize("has_head", [True, False])
def test_the_layers_that_are_randomised_are_those_of_the_network(has_head):
    last = [] if has_head else [nn.ReLU()]
    network = ready(
        nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3), *last)
    )
    model = wrap(network, IMAGES)
    assert n_layers(model) == n_layers(network) == 2

    redrawn = redraw(network, 7)
    torch.testing.assert_close(redraw(model, 7)(IMAGES), redrawn(IMAGES))


def test_grad_cam_uses_the_maps_that_were_said():
    found, _ = explained(GradCam(), wrap(NETWORK, IMAGES, features="layer1"))
    expected, _ = explained(GradCam(layer="layer1"), wrap(NETWORK, IMAGES))
    assert torch.equal(found, expected)
