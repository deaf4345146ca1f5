"""SISE by hand: one map, one layer, one image after the other."""

import sys

import pytest
import torch
from skimage.filters import threshold_otsu
from torch import nn
from torch.nn import functional

from gpex_bench.contract.cost import counted


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


def by_hand(model, x, target, adaptive):
    """Return the map of one image [1, 1, height, width], with zero as what is absent."""
    fused, n_kept = None, 0
    for depth in (2, 5):  # up to the last activation before each pooling
        maps = model.trunk[:depth](x).detach().requires_grad_()
        model.head(model.trunk[depth:](maps))[0, target].backward()
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
    with pytest.raises(
        ValueError, match="sise needs feature maps, and no module of the network gives any"
    ):
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
    assert source["otsu"](maps.flatten(1)).tolist() == [
        2,
        pytest.approx(threshold_otsu(maps[1].numpy())),
    ]
