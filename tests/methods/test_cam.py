"""Maps from feature maps: Grad-CAM by hand and by captum, FullGrad by its identity."""

import sys

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional

from gpex_bench.contract import calls, toys
from gpex_bench.contract.cost import counted
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.models.blocks.residual import ResnetModel
from gpex_bench.models.cnn import CnnModel


@pytest.fixture(params=["cnn", "resnet"])
def network(request):
    """A network with random batch norms, and the module that gives its last maps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CnnModel(3, 4, 32, 3) if request.param == "cnn" else ResnetModel(3, 8, 32, 3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.bias.data.normal_()
    return model.requires_grad_(False).eval(), model.trunk


@pytest.fixture
def two_maps(layers):
    """Two maps, the image and its negative, averaged: logit 0 = 3 mean(map 1) - mean(map 2), logit
    1 = -logit 0.
    """
    convolution, head = nn.Conv2d(1, 2, 1, bias=False), nn.Linear(2, 2, bias=False)
    convolution.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    head.weight.data = torch.tensor([[3.0, -1.0], [-3.0, 1.0]])
    return layers(nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten()), head)


def test_grad_cam_by_hand(two_maps, task, query, method, normal):
    """Gradients of the maps are 3 / n and -1 / n at each of n places, so the map is relu(4 x) / n."""
    x = normal(3, 1, 4, 5)
    asked = task(two_maps, x)
    values = method("grad_cam").explain(asked, query(x)).values
    torch.testing.assert_close(values, 4 * x.clamp(min=0) / 20)
    values = method("grad_cam").explain(asked, query(x, 1)).values
    torch.testing.assert_close(values, 4 * (-x).clamp(min=0) / 20)


def test_grad_cam_is_captums(network, task, query, method, normal):
    model, trunk = network
    x, target = normal(4, 3, 24, 24), torch.tensor([0, 1, 2, 0])
    values = method("grad_cam").explain(task(model, x), query(x, target)).values
    small = captum.attr.LayerGradCam(model, trunk).attribute(
        x.requires_grad_(), target, relu_attributions=True
    )
    expected = captum.attr.LayerAttribution.interpolate(small.detach(), (24, 24), "bilinear")
    torch.testing.assert_close(values.sum(1, keepdim=True), expected, atol=1e-6, rtol=1e-4)
    assert torch.equal(values[:, 0], values[:, 2])
    assert float(values.max()) > 0


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:Full backward hook is firing when gradients are computed:UserWarning"
)
def test_guided_grad_cam_is_captums(network, task, query, method, normal):
    model, trunk = network
    x, target = normal(4, 3, 24, 24), torch.tensor([0, 1, 2, 0])
    values = method("guided_grad_cam").explain(task(model, x), query(x, target)).values
    twin = captum.attr.GuidedGradCam(model, trunk)
    expected = twin.attribute(x.requires_grad_(), target, interpolate_mode="bilinear").detach()
    torch.testing.assert_close(values, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-3)


def test_maps_of_a_layer_of_choice(network, task, query, method, normal):
    model, _ = network
    x = normal(2, 3, 24, 24)
    asked, wanted = task(model, x), query(x)
    last, name = method("grad_cam").explain(asked, wanted).values, "trunk.3"
    earlier = method("grad_cam", layer=name).explain(asked, wanted).values
    small = captum.attr.LayerGradCam(model, model.trunk[3]).attribute(
        x.requires_grad_(), 0, relu_attributions=True
    )
    expected = captum.attr.LayerAttribution.interpolate(small.detach(), (24, 24), "bilinear")
    torch.testing.assert_close(earlier.sum(1, keepdim=True), expected, atol=1e-6, rtol=1e-4)
    assert not torch.equal(earlier, last)


def test_a_module_called_features_gives_the_maps(formula, layers, task, query, method, normal):
    """The last maps to run are those of another branch, as in a network with attention."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.attend = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return (self.features(x) * self.attend(x).sigmoid()).sum((2, 3))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(Branches(), nn.Linear(3, 2))
    model.features = model.trunk.features
    x = normal(2, 1, 5, 5)
    asked = task(model, x)
    values = method("grad_cam").explain(asked, query(x)).values
    assert torch.equal(
        values, method("grad_cam", layer="trunk.features").explain(asked, query(x)).values
    )
    assert not torch.equal(
        values, method("grad_cam", layer="trunk.attend").explain(asked, query(x)).values
    )


def test_networks_without_maps_are_refused(formula, two_maps, task, query, method, normal):
    x = normal(2, 1, 4, 4)
    for name in ("grad_cam", "guided_grad_cam"):
        with pytest.raises(
            ValueError, match="Grad-CAM needs a module that gives maps; head gives none"
        ):
            method(name).explain(task(formula(lambda x: x.flatten(1), 16), x), query(x))
        with pytest.raises(
            ValueError, match=r"layer must name a module of the network, got 'trunk\.9'"
        ):
            method(name, layer="trunk.9").explain(task(two_maps, x), query(x))
        with pytest.raises(
            ValueError, match="Grad-CAM needs a module that gives maps; head gives none"
        ):
            method(name, layer="head").explain(task(two_maps, x), query(x))
        with pytest.raises(
            ValueError, match=r"Grad-CAM needs a module that gives maps; trunk\.1 gives none"
        ):
            method(name, layer="trunk.1").explain(task(two_maps, x), query(x))  # one place


def test_maps_of_one_place_after_pooling_are_passed_over(
    two_maps, layers, task, query, method, normal
):
    """A head of 1 x 1 convolutions: its maps say nothing of where."""
    x = normal(3, 1, 4, 5)
    expected = method("grad_cam").explain(task(two_maps, x), query(x)).values
    last = nn.Conv2d(2, 2, 1, bias=False)
    last.weight.data = torch.eye(2)[..., None, None]
    model = layers(
        nn.Sequential(two_maps.trunk[0], nn.AdaptiveAvgPool2d(1), last, nn.Flatten()), two_maps.head
    )
    torch.testing.assert_close(
        method("grad_cam").explain(task(model, x), query(x)).values, expected
    )


@pytest.mark.parametrize("name, rows", [("grad_cam", 1), ("guided_grad_cam", 2), ("full_grad", 1)])
def test_cost(method, name, rows):
    *_, (_, asked, wanted) = toys.tasks(toys.Smooth)
    with counted(asked.model) as cost:
        method(name).explain(asked, wanted)
    assert (cost.forward, cost.backward) == (rows * len(wanted.x), rows * len(wanted.x))


# --- FullGrad -----------------------------------------------------------------------------------


def left_over(method, model, x, target):
    """Return the logits of full_grad's decomposition minus its terms."""
    terms, logit = sys.modules[type(method("full_grad")).__module__].bias_terms(model, x, target)
    return logit - sum(term.flatten(1).sum(1) for term in terms)


def test_full_gradients_sum_to_the_logit(network, task, query, method, normal):
    model, _ = network
    x, target = normal(4, 3, 24, 24), torch.tensor([0, 1, 2, 0])
    size = float(model(x).abs().max())
    assert float(left_over(method, model, x, target).abs().max()) < 1e-4 * size
    plain = (
        method("gradient_x_input")
        .explain(task(model, x), query(x, target))
        .values.flatten(1)
        .sum(1)
    )
    assert (
        float((plain - model(x).gather(1, target[:, None])[:, 0]).abs().min()) > 1e-2 * size
    )  # biases matter


@pytest.mark.parametrize("activation", [nn.Softplus, nn.Tanh, nn.GELU, nn.ReLU6, nn.Hardswish])
def test_curved_activations_have_implicit_biases(layers, task, query, method, normal, activation):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = nn.Sequential(
            nn.Conv2d(1, 4, 3), activation(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 8)
        )
        model = layers(nn.Sequential(trunk, activation()), nn.Linear(8, 2))
    x = 3 * normal(3, 1, 8, 8)
    found = left_over(method, model.eval(), x, torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(found, torch.zeros(3), atol=1e-5, rtol=0)


def test_full_grad_of_one_convolution_by_definition(layers, task, query, method, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, head = nn.Conv2d(2, 3, 3), nn.Linear(3 * 36, 2)
    model = layers(nn.Sequential(convolution, nn.ReLU(), nn.Flatten()), head)
    x = normal(2, 2, 8, 8)
    values = method("full_grad").explain(task(model, x), query(x, 1)).values
    y = x.clone().requires_grad_()
    z = convolution(y)
    into_x, into_z = torch.autograd.grad(head(z.relu().flatten(1))[:, 1].sum(), (y, z))
    expected = torch.zeros(2, 1, 8, 8)
    for term in (into_x * x, into_z * convolution.bias.detach().view(3, 1, 1)):
        for row in range(2):
            size = term[row].abs()
            scaled = (size - size.min()) / (size.max() - size.min())
            expected[row] += functional.interpolate(scaled[None], (8, 8), mode="bilinear").sum(
                (0, 1)
            )
    torch.testing.assert_close(values.sum(1, keepdim=True), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("affine", [True, False])
def test_full_grad_sees_through_activations_that_work_in_place(
    layers, task, query, method, normal, affine
):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolutions = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        norm, head = nn.BatchNorm2d(4, affine=affine), nn.Linear(64, 2)
        norm.running_mean.normal_()
    x, found = normal(3, 1, 8, 8), []
    for inplace in (False, True):
        first, second = convolutions
        trunk = nn.Sequential(
            first, norm, nn.ReLU(inplace), second, nn.ReLU6(inplace), nn.Flatten()
        )
        model = layers(trunk, head)
        found.append(method("full_grad").explain(task(model, x), query(x)))
        left = left_over(method, model, x, torch.zeros(3, dtype=torch.int64))
        torch.testing.assert_close(left, torch.zeros(3), atol=1e-6, rtol=0)
        assert model.trunk[2].inplace == inplace
    assert torch.equal(found[0].values, found[1].values)


def test_full_grad_says_what_it_cannot_explain(layers, task, query, method, normal):
    """A product of signals is no sum of gradients; a batch norm without statistics mixes the
    samples.
    """

    class Product(nn.Module):
        def forward(self, x):
            return (x * x).flatten(1)

    x = normal(3, 1, 8, 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(nn.Sequential(nn.Conv2d(1, 2, 3), Product()), nn.Linear(72, 2))
    found = left_over(method, model.eval(), x, torch.zeros(3, dtype=torch.int64))
    assert float(found.abs().min()) > 1e-3
    model.trunk[1] = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten())
    with pytest.raises(ValueError, match=r"The batch norm 'trunk\.1\.0' normalises by the batch"):
        method("full_grad").explain(task(model, x), query(x))


def test_constant_output_has_no_map(two_maps, task, query, method, normal):
    two_maps.head.weight.data *= 0
    x = normal(2, 1, 4, 4)
    for name in ("grad_cam", "guided_grad_cam", "full_grad"):
        assert float(method(name).explain(task(two_maps, x), query(x)).values.abs().max()) == 0


def test_maps_that_are_not_finite_are_named(two_maps, task, query, method, normal):
    two_maps.head.weight.data[0, 0] = torch.inf
    x = normal(2, 1, 4, 4)
    for name in ("grad_cam", "guided_grad_cam", "full_grad"):
        with pytest.raises(BrokenPromise, match="values of sample 10 are NaN or infinite"):
            calls.explain(method(name), task(two_maps, x), query(x))
