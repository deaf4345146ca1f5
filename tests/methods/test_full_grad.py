"""FullGrad on networks as people write them: its terms by their definition, and their sum."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gpex_bench.types.demands import Refused
from tests.vocabulary.networks import Written, ready


def network_of(forward, **modules):
    return ready(Written(forward, **modules))


@pytest.fixture
def terms(method):
    """Return what the terms of each layer sum to, and the logits."""
    module = sys.modules[type(method("full_grad")).__module__]

    def by_layer(network, x, target):
        found, logit = module.bias_terms(network, x, target)
        return {term.words: term.values.flatten(1).sum(1) for term in found}, logit

    return by_layer


def maps(net, x):
    """Return the mean of each map, so that the head sees them."""
    return net.head(x.mean((2, 3)))


def excited(net, x):
    y = net.conv(x)
    gate = torch.sigmoid(net.up(F.silu(net.down(y.mean((2, 3), keepdim=True)))))
    return maps(net, y * gate)


def dense(net, x):
    y = torch.cat([x, F.relu_(net.norm(net.conv(x)))], 1)
    y += 0.3
    y = F.max_pool2d(F.relu(y, inplace=True), 3, 2, 1)
    return maps(net, y)


def one_layer(layer):
    """Return a forward that passes two convolutions through a layer."""
    return lambda net, x: maps(net, net.last(torch.relu(layer(net, net.conv(x)))))


def trunk(**modules):
    convolutions = {"conv": nn.Conv2d(2, 6, 3), "last": nn.Conv2d(6, 4, 3)}
    return {**modules, **convolutions, "head": nn.Linear(4, 2)}


NETWORKS = {
    "group norm": network_of(one_layer(lambda net, z: net.norm(z)), **trunk(norm=nn.GroupNorm(3, 6))),
    "layer norm": network_of(one_layer(lambda net, z: net.norm(z)), **trunk(norm=nn.LayerNorm((6, 8, 8)))),
    "instance norm": network_of(one_layer(lambda net, z: net.norm(z)),
                         **trunk(norm=nn.InstanceNorm2d(6, affine=True))),
    "batch norm": network_of(one_layer(lambda net, z: net.norm(z)), **trunk(norm=nn.BatchNorm2d(6))),
    "prelu": network_of(one_layer(lambda net, z: net.unit(z)), **trunk(unit=nn.PReLU(6))),
    "hardswish": network_of(one_layer(lambda net, z: F.hardswish(3 * z)), **trunk()),
    "square": network_of(one_layer(lambda net, z: z * z), **trunk()),
    "quotient": network_of(one_layer(lambda net, z: z / (1 + z.square())), **trunk()),
    "constant border": network_of(one_layer(lambda net, z: F.pad(z, (1, 1, 1, 1), value=0.7)), **trunk()),
    "largest channel": network_of(one_layer(lambda net, z: z - z.amax(1, keepdim=True)), **trunk()),
    "transposed": network_of(one_layer(lambda net, z: net.up(z)),
                      **trunk(up=nn.ConvTranspose2d(6, 6, 2, 2))),
    "normalises inside": network_of(lambda net, x: maps(net, net.conv((x - 0.4) / 0.3)),
                             conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 2)),
    "excitation": network_of(excited, conv=nn.Conv2d(2, 4, 3), down=nn.Conv2d(4, 3, 1),
                      up=nn.Conv2d(3, 4, 1), head=nn.Linear(4, 2)),
    "dense, in place": network_of(dense, conv=nn.Conv2d(2, 3, 3, padding=1), norm=nn.BatchNorm2d(3),
                           head=nn.Linear(5, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_terms_sum_to_the_logit(name, terms, task, query, method, normal):
    network, x, target = NETWORKS[name], normal(3, 2, 10, 10), torch.tensor([0, 1, 1])
    sums, logit = terms(network, x, target)
    expected = network(x.clone()).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(logit, expected, atol=1e-5, rtol=1e-5)
    size = float(torch.stack(list(sums.values())).abs().max())
    total = torch.stack(list(sums.values())).sum(0)
    torch.testing.assert_close(total, expected, atol=1e-5 * size, rtol=0)

    without_biases = float((sums["the input"] - expected).abs().max())
    assert without_biases > 1e-2 * size, "a network without biases would say nothing"
    values = method("full_grad").explain(task(network, x), query(x, target)).values
    assert values.isfinite().all() and float(values.min()) >= 0


@pytest.mark.parametrize("name", ["group norm", "layer norm", "square", "hardswish"])
def test_a_bias_is_output_minus_jacobian_times_input(name, terms, normal):
    """By the whole Jacobian of the layer, in double precision."""
    network, x = NETWORKS[name], normal(1, 2, 10, 10)
    z = network.conv(x)
    layer = {
        "group norm": lambda z: network.norm(z),
        "layer norm": lambda z: network.norm(z),
        "square": lambda z: z * z,
        "hardswish": lambda z: F.hardswish(3 * z),
    }[name]
    network.double()
    z = z.double()
    jacobian = torch.autograd.functional.jacobian(layer, z).view(z.numel(), z.numel())
    output = layer(z).detach().requires_grad_()
    logit = maps(network, network.last(torch.relu(output)))[0, 1]
    (gradient,) = torch.autograd.grad(logit, output)
    bias = output.detach().flatten() - jacobian @ z.flatten()
    network.float()

    sums, _ = terms(network, x, torch.tensor([1]))
    known = ("the input", "Conv2d", "Linear")
    (found,) = (total for words, total in sums.items() if not words.startswith(known))
    expected = (gradient.flatten() @ bias).float()
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-4)


def test_functions_and_modules_give_the_same_map(task, query, method, normal):
    parts = trunk(norm=nn.GroupNorm(3, 6))
    written = network_of(one_layer(lambda net, z: F.group_norm(z, 3, net.norm.weight, net.norm.bias)),
                  **parts)  # fmt: skip
    modules = NETWORKS["group norm"]
    modules.load_state_dict(written.state_dict())
    x, target = normal(3, 2, 10, 10), torch.tensor([0, 1, 1])
    values = [
        method("full_grad").explain(task(network, x), query(x, target)).values
        for network in (written, modules)
    ]
    torch.testing.assert_close(*values)


def test_maps_of_one_place_are_no_part_of_the_map(task, query, method, normal):
    """The biases of an excitation of constants change the logit, and no place more than another."""
    x, found = normal(2, 2, 10, 10), []
    for bias in (0.0, 5.0):
        network = network_of(lambda net, x: maps(net, net.conv(x)) + net.down(x.mean((2, 3), True))[..., 0, 0],
                      conv=nn.Conv2d(2, 4, 3), down=nn.Conv2d(2, 2, 1), head=nn.Linear(4, 2))  # fmt: skip
        network.down.bias.fill_(bias)
        found.append(method("full_grad").explain(task(network, x), query(x)).values)
    assert torch.equal(*found)


def tokens(net, x):
    z = net.conv(x).flatten(2).transpose(1, 2)
    return net.head(torch.relu(net.norm(z)).mean(1))


def channels_last(net, x):
    z = net.norm(net.conv(x).permute(0, 2, 3, 1))
    return net.head(torch.relu(z).mean((1, 2)))


def windows(net, x):
    z = net.conv(x).unflatten(2, (2, 4)).unflatten(4, (2, 4)).permute(0, 2, 4, 3, 5, 1)
    z = net.norm(z.flatten(0, 4))
    return net.head(torch.relu(z).unflatten(0, (len(x), -1)).mean(1))


@pytest.mark.parametrize("forward", [tokens, channels_last, windows])
def test_biases_with_other_axes_are_refused_by_name_and_place(forward, task, query, method, normal):
    x = normal(2, 2, 10, 10)
    parts = {"conv": nn.Conv2d(2, 4, 3), "norm": nn.LayerNorm(4), "head": nn.Linear(4, 2)}
    with pytest.raises(
        Refused, match="LayerNorm at norm .*which are not sample, channel, row and column"
    ):
        method("full_grad").explain(task(network_of(forward, **parts), x), query(x))


def test_what_has_no_known_bias_is_refused(task, query, method, normal):
    x = normal(2, 2, 10, 10)
    network = network_of(lambda net, x: maps(net, net.conv(x).cumsum(2).sort(1).values),
                  conv=nn.Conv2d(2, 4, 3), head=nn.Linear(4, 2))  # fmt: skip
    with pytest.raises(Refused, match="no bias is known of"):
        method("full_grad").explain(task(network, x), query(x))


def test_terms_that_do_not_sum_to_the_logit_are_refused(monkeypatch, task, query, method, normal):
    """A layer whose bias is lost, as those of all norms but batch norms once were."""
    module = sys.modules[type(method("full_grad")).__module__]
    kept = module._bias

    def loses_norms(part, args, output):
        return None if isinstance(part.module, nn.GroupNorm) else kept(part, args, output)

    monkeypatch.setattr(module, "_bias", loses_norms)
    x = normal(2, 2, 10, 10)
    with pytest.raises(Refused, match=r"its terms sum to .* where the logit is"):
        method("full_grad").explain(task(NETWORKS["group norm"], x), query(x))
