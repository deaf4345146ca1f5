"""Networks with redrawn weights: nothing of what was learnt is left, however weights are stored."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from gpex_bench.models.altered.random_weights import n_layers, redraw


def correlation(one, other):
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda layer: layer,
        weight_norm,
        spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_weights_that_are_computed_from_others_are_redrawn(wrap):
    torch.default_generator.manual_seed(0)
    network = nn.Sequential(wrap(nn.Conv2d(3, 16, 3)), nn.ReLU(), wrap(nn.Conv2d(16, 8, 3)))
    x = torch.randn(2, 3, 8, 8)
    network(x)
    network.eval()
    before = copy.deepcopy(network.state_dict())
    twin = redraw(network, 1)
    twin(x)
    network(x)

    assert n_layers(network) == 2
    for i in (0, 2):
        assert abs(correlation(network[i].weight.detach(), twin[i].weight.detach())) < 0.2
        assert not torch.equal(network[i].bias, twin[i].bias)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_the_first_layers_are_redrawn_alone():
    torch.default_generator.manual_seed(0)
    network = nn.Sequential(*[parametrizations.weight_norm(nn.Linear(9, 9)) for _ in range(3)])
    twin = redraw(network.eval(), 1, n_first=2)
    kept = [
        abs(correlation(a.weight.detach(), b.weight.detach()))
        for a, b in zip(network, twin, strict=True)
    ]
    assert max(kept[:2]) < 0.4 and kept[2] > 0.999
