"""SISE by hand: one map, one layer, one image after the other."""

import sys

import pytest
import torch
from skimage.filters import threshold_otsu
from torch import nn
from torch.nn import functional

from gpex_bench.contract.cost import counted
from gpex_bench.types.demands import Refused


@pytest.fixture
def network(layers, normal):
    """Two convolutions with a pooling between them."""
    trunk = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    model = layers(trunk, nn.Linear(5, 3))
    for i, weight in enumerate(model.parameters()):
        weight.data = 0.7 * normal(*weight.shape, seed=i + 3)
    return model.requires_grad_(False)


def scaled(image):
    return (
        (image - image.min()) / (image.max() - image.min())
        if image.max() > image.min()
        else 0 * image
    )


def by_hand(model, x, target, adaptive, parts=None):
    """Return the map of one image [1, 1, height, width], with zero as what is absent.

    `parts` are functions from x to maps, and from these to the logits.
    """
    fused, n_kept = None, 0
    if parts is None:  # up to the last activation before each pooling
        parts = [
            (model.trunk[:n], lambda maps, n=n: model.head(model.trunk[n:](maps))) for n in (2, 5)
        ]
    for make, finish in parts:
        maps = make(x).detach().requires_grad_()
        finish(maps)[0, target].backward()
        strength = maps.grad[0].mean((1, 2))
        least = threshold_otsu(strength.clamp(min=0).double().numpy()) if adaptive else 0
        layer = torch.zeros(x.shape[2:])
        for channel in (strength > max(least, 0)).nonzero().flatten():
            mask = functional.interpolate(
                maps.detach()[:, channel, None], x.shape[2:], mode="bilinear"
            )
            mask = scaled(mask)
            layer += mask[0, 0] * model(x * mask).softmax(1)[0, target]
            n_kept += 1
        layer = scaled(layer)
        fused = (
            layer
            if fused is None
            else (fused + layer) * (layer > threshold_otsu(layer.double().numpy()))
        )
    return fused, n_kept


@pytest.mark.parametrize("adaptive", [False, True])
def test_it_is_what_it_is_by_hand(network, task, query, method, normal, adaptive):
    x, target = normal(4, 1, 12, 10), torch.tensor([0, 1, 2, 0])
    with counted(network) as rows:
        values = (
            method("sise", adaptive=adaptive).explain(task(network, x), query(x, target)).values
        )
    hand = [by_hand(network, x[i : i + 1], int(target[i]), adaptive) for i in range(4)]
    torch.testing.assert_close(
        values[:, 0], torch.stack([fused for fused, _ in hand]), rtol=1e-3, atol=1e-5
    )
    assert rows.forward == 4 + sum(n for _, n in hand)
    assert rows.backward == 4
    assert float(values.max()) > 0


class Functional(nn.Module):
    """An addition, a concatenation and an activation that are functions, most of them in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.third = nn.Conv2d(3, 2, 3, padding=1)

    def fine(self, x):
        x = functional.relu(self.first(x))
        return x + self.second(x)

    def coarse(self, fine):
        y = functional.max_pool2d(fine, 2)
        return torch.cat([y, self.third(y).relu()], 1)

    def forward(self, x):
        y = functional.relu(self.first(x), inplace=True)
        z = self.second(y)
        z += y
        z = functional.max_pool2d(z, 2)
        z = torch.cat([z, functional.relu_(self.third(z))], 1)
        return functional.adaptive_avg_pool2d(z, 1).flatten(1)


def test_maps_that_no_module_gives(layers, task, query, method, normal):
    model = layers(Functional(), nn.Linear(5, 3))
    for i, weight in enumerate(model.parameters()):
        weight.data = 0.7 * normal(*weight.shape, seed=i + 3)
    model.requires_grad_(False)

    def finish(coarse):
        return model.head(coarse.mean((2, 3)))

    trunk = model.trunk
    parts = [
        (trunk.fine, lambda maps: finish(trunk.coarse(maps))),
        (lambda x: trunk.coarse(trunk.fine(x)), finish),
    ]
    x, target = normal(4, 1, 12, 10), torch.tensor([0, 1, 2, 0])
    values = method("sise").explain(task(model, x), query(x, target)).values
    hand = [by_hand(model, x[i : i + 1], int(target[i]), False, parts)[0] for i in range(4)]
    torch.testing.assert_close(values[:, 0], torch.stack(hand), rtol=1e-3, atol=1e-5)


def test_adaptive_keeps_fewer_maps(network, task, query, method, normal):
    x, cost = normal(6, 1, 12, 10), []
    for adaptive in (False, True):
        with counted(network) as rows:
            method("sise", adaptive=adaptive).explain(task(network, x), query(x, 1))
        cost.append(rows.forward)
    assert cost[1] < cost[0]


def test_it_points_at_what_the_network_looks_for(layers, task, query, method):
    trunk = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model = layers(trunk, nn.Linear(1, 2, bias=False))
    model.trunk[0].weight.data = torch.ones(1, 1, 3, 3) / 9
    model.head.weight.data = torch.tensor([[5.0], [-5.0]])
    x = torch.zeros(1, 1, 12, 12)
    x[..., 2:6, 5:9] = 1
    values = method("sise").explain(task(model, x), query(x, 0)).values[0, 0]
    assert float(values[3:5, 6:8].min()) > 0.99
    assert float(values[8:].max()) < 0.01
    against = method("sise").explain(task(model, x), query(x, 1)).values
    assert torch.equal(against, torch.zeros_like(x))  # no map supports the other class: documented


def test_networks_without_maps_are_refused(formula, task, query, method, normal):
    x = normal(1, 1, 8, 8)
    with pytest.raises(Refused, match="The network has no feature maps of more than one place"):
        method("sise").explain(task(formula(lambda x: x.flatten(1), 64), x), query(x))


def test_gradients_that_are_not_finite_are_named(network, task, query, method, normal):
    network.head.weight.data[1] = torch.nan
    x = normal(2, 1, 12, 10)
    with pytest.raises(
        ValueError,
        match=r"sise needs finite gradients at the feature maps; those of samples \[10, 11\]",
    ):
        method("sise").explain(task(network, x), query(x, 1))


def test_constant_maps_mask_nothing(method):
    source = vars(sys.modules[type(method("sise")).__module__])
    maps = torch.stack([torch.full((3, 3), 2.0), torch.arange(9.0).view(3, 3)])
    assert source["unit"](maps).flatten(1).amax(1).tolist() == [0, 1]

    # two steps of single precision at 1000 are rounding, and a small map is a map
    rounding = torch.full((1, 2, 2), 1000.0)
    rounding[0, 0, 0] += 1.2e-4
    assert not source["unit"](rounding).any()
    torch.testing.assert_close(source["unit"](1e-12 * maps), source["unit"](maps))
    assert source["otsu"](maps.flatten(1)).tolist() == [
        2,
        pytest.approx(threshold_otsu(maps[1].numpy())),
    ]
