"""Maps from feature maps: Grad-CAM by hand and by captum, FullGrad by its identity."""

import sys
from functools import partial

import captum.attr
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from gpex_bench.contract import calls, toys
from gpex_bench.contract.cost import counted
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.models.blocks.residual import ResnetModel
from gpex_bench.models.cnn import CnnModel
from gpex_bench.models.vit import Vit
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets


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
        with pytest.raises(Refused, match="The network has no feature maps of more than one place"):
            method(name).explain(task(formula(lambda x: x.flatten(1), 16), x), query(x))
        with pytest.raises(
            Refused, match=r"layer must name a module of the network, got 'trunk\.9'"
        ):
            method(name, layer="trunk.9").explain(task(two_maps, x), query(x))
        with pytest.raises(
            Refused, match=r"a module that gives maps .*of more than one place; head gives \(2, 2\)"
        ):
            method(name, layer="head").explain(task(two_maps, x), query(x))
        with pytest.raises(Refused, match=r"of more than one place; trunk\.1 gives \(2, 2, 1, 1\)"):
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


# --- networks as people write them --------------------------------------------------------------


def by_hand(maps, logits, target, size):
    """Return Grad-CAM from maps and the logits that were made of them."""
    (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), maps)
    weighted = (gradient.mean((2, 3), keepdim=True) * maps.detach()).sum(1, keepdim=True)
    return functional.interpolate(weighted.relu(), size, mode="bilinear")


class Functional(nn.Module):
    """Functions instead of modules, operations in place, a shared activation, a join at the end."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.branch = nn.Conv2d(6, 4, 1)
        self.norm.running_mean.normal_()

    def forward(self, x, in_place=True, join="cat"):
        if in_place:
            x -= 0.1
            x = functional.relu_(self.first(x))
            y = self.norm(self.second(x))
            y += x
            y = self.relu(y)
            y = torch.cat([y, self.branch(y)], 1)
            if join == "relu":
                y = functional.relu(y, inplace=True)
            return functional.adaptive_avg_pool2d(functional.dropout(y, 0.5, self.training), 1)
        x = self.first(x - 0.1).relu()
        y = (self.norm(self.second(x)) + x).relu()
        y = torch.cat([y, self.branch(y)], 1)
        return y.relu() if join == "relu" else y


@pytest.mark.parametrize("join", ["cat", "relu"])
def test_maps_that_no_module_gives(layers, task, query, method, normal, join):
    """The last maps are a concatenation or its activation, and all is in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        functions, head = Functional(), nn.Linear(10, 3)

    class Trunk(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = functions

        def forward(self, x):
            return self.inner(x, join=join).flatten(1)

    model = layers(Trunk(), head).eval().requires_grad_(False)
    x, target = normal(3, 3, 12, 12), torch.tensor([0, 1, 2])
    maps = functions(x.clone().requires_grad_(), in_place=False, join=join)
    expected = by_hand(maps, head(maps.mean((2, 3))), target, (12, 12))
    before = x.clone()
    values = method("grad_cam").explain(task(model, x), query(x, target)).values
    torch.testing.assert_close(values.sum(1, keepdim=True), expected, atol=1e-6, rtol=1e-4)
    assert torch.equal(x, before)
    assert float(values.max()) > 0

    # a module before an operation in place, of the network as it was given
    maps = functions.first(x - 0.1).requires_grad_()
    inner = functions.norm(functions.second(maps.relu())) + maps.relu()
    y = torch.cat([inner.relu(), functions.branch(inner.relu())], 1)
    logits = head((y.relu() if join == "relu" else y).mean((2, 3)))
    expected = by_hand(maps, logits, target, (12, 12))
    named = method("grad_cam", layer="trunk.inner.first")
    values = named.explain(task(model, x), query(x, target)).values
    torch.testing.assert_close(values.sum(1, keepdim=True), expected, atol=1e-6, rtol=1e-4)


def without_last(model, n):
    """Return a torchvision network without its last modules, which run in their order."""
    return nn.Sequential(*list(model.children())[:-n])


def swin_maps(model, x):
    return model.norm(model.features(x)).permute(0, 3, 1, 2)


# of each network: how its maps are made, and how its logits from them
TORCHVISION = {
    "resnet18": (lambda m, x: without_last(m, 2)(x), lambda m, maps: m.fc(maps.mean((2, 3)))),
    "googlenet": (lambda m, x: without_last(m, 3)(x), lambda m, maps: m.fc(maps.mean((2, 3)))),
    "inception_v3": (lambda m, x: without_last(m, 3)(x), lambda m, maps: m.fc(maps.mean((2, 3)))),
    "shufflenet_v2_x0_5": (
        lambda m, x: without_last(m, 1)(x),
        lambda m, maps: m.fc(maps.mean((2, 3))),
    ),
    "densenet121": (
        lambda m, x: m.features(x).relu(),
        lambda m, maps: m.classifier(maps.mean((2, 3))),
    ),
    "squeezenet1_1": (
        lambda m, x: m.classifier[1](m.features(x)).relu(),  # maps of the classes
        lambda m, maps: maps.mean((2, 3)),
    ),
    "mobilenet_v3_small": (
        lambda m, x: m.features(x),
        lambda m, maps: m.classifier(maps.mean((2, 3))),
    ),
    "swin_t": (swin_maps, lambda m, maps: m.head(maps.mean((2, 3)))),
}
# networks of the same code that are small
SMALL = {
    "densenet121": lambda: torchvision.models.DenseNet(4, (2, 2, 2), 8, num_classes=4),
    "swin_t": lambda: torchvision.models.SwinTransformer(
        [4, 4], 12, [2, 2], [2, 4], [4, 4], num_classes=4
    ),
}
MORE = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "inception_v3" else ())
        for name in TORCHVISION
    ],
)
def test_torchvisions_networks_as_they_are(name, method, task, query, normal):
    """The twin makes maps and logits by hand; nothing after the maps is in place there."""
    make_maps, make_logits = TORCHVISION[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = partial(getattr(torchvision.models, name), num_classes=4, **MORE.get(name, {}))
        model = SMALL.get(name, whole)()
    model.eval().requires_grad_(False)
    side = 107 if name == "inception_v3" else 64
    x, target = normal(1, 3, side, side).repeat(4, 1, 1, 1), torch.arange(4)
    maps = make_maps(model, x.clone()).detach().requires_grad_()
    expected = by_hand(maps, make_logits(model, maps.clone()), target, (side, side))
    values = method("grad_cam").explain(task(model, x), query(x, target)).values
    size = float(expected.max())
    assert size > 0
    torch.testing.assert_close(values.sum(1, keepdim=True), expected, atol=1e-4 * size, rtol=1e-3)


def test_the_zoos_maps_are_those_of_the_trunk(task, query, method, normal):
    for model in (CnnModel(1, 4, 8, 3), ResnetModel(1, 4, 8, 3)):
        model.eval().requires_grad_(False)
        x = normal(2, 1, 16, 16)
        maps = model.trunk(x).requires_grad_()
        logits = model.head(model.neck(model.pool(maps).flatten(1)))
        target = torch.tensor([0, 1])
        expected = by_hand(maps, logits, target, (16, 16))
        values = method("grad_cam").explain(task(model, x), query(x, target)).values
        torch.testing.assert_close(values, expected, atol=1e-6, rtol=1e-4)


def test_places_that_live_on_are_refused(task, query, method, normal):
    """Of a ViT with a class token the last maps are its patches, before any attention."""
    x = normal(2, 1, 16, 16)
    data = datasets.dataset(x)
    small = {"width": 16, "heads": 2, "stem": 0, "wide": 8}
    model = Vit(**small, pooling="class").build(data).eval().requires_grad_(False)
    with pytest.raises(
        Refused, match=r"those of trunk\.patches .* places live on after them, .*set `layer` to"
    ):
        method("grad_cam").explain(task(model, x), query(x))
    with pytest.raises(Refused, match="places live on after them"):
        method("sise").explain(task(model, x), query(x))

    # a layer that gives the last tokens as maps
    model = Vit(**small).build(data).eval().requires_grad_(False)
    maps = model.trunk(x).requires_grad_()
    logits = model.head(model.neck(maps.mean((2, 3))))
    target = torch.tensor([0, 1])
    expected = by_hand(maps, logits, target, (16, 16))
    named = method("grad_cam", layer="trunk")
    values = named.explain(task(model, x), query(x, target)).values
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=1e-4)


class Mixer(nn.Module):
    """Patches that meet in linear layers over the places, and a mean of them."""

    def __init__(self):
        super().__init__()
        self.patches, self.across = nn.Conv2d(1, 6, 4, stride=4), nn.Linear(16, 16)

    def forward(self, x):
        tokens = self.patches(x).flatten(2)
        return (tokens + self.across(tokens).relu()).mean(2)


class TwoSizes(nn.Module):
    """Maps of two resolutions, both of which reach the head."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, stride=2)

    def forward(self, x):
        fine = self.fine(x).relu()
        return torch.cat([fine.mean((2, 3)), self.coarse(fine).amax((2, 3))], 1)


@pytest.mark.parametrize(
    "trunk, reason",
    [
        (Mixer, r"those of trunk\.patches .*places live on"),
        (TwoSizes, "the logits also depend on the image past them"),
    ],
)
def test_what_is_not_the_trunks_output_is_not_guessed(
    layers, task, query, method, normal, trunk, reason
):
    model = layers(trunk(), nn.Linear(6, 3)).requires_grad_(False)
    x = normal(2, 1, 16, 16)
    with pytest.raises(Refused, match=reason):
        method("grad_cam").explain(task(model, x), query(x))
    name = "trunk.patches" if trunk is Mixer else "trunk.coarse"
    values = method("grad_cam", layer=name).explain(task(model, x), query(x)).values
    assert values.isfinite().all()


class Odd(nn.Module):
    """A module that gives a tuple, one that does not run, one without effect, one that runs twice."""

    def __init__(self):
        super().__init__()
        self.pair, self.idle = nn.MaxPool2d(2, return_indices=True), nn.Conv2d(1, 1, 1)
        self.lost, self.twice = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        self.lost(x)
        return self.twice(self.twice(self.pair(x)[0]).relu()).flatten(1)


def test_layers_that_cannot_be_used_say_why(layers, task, query, method, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(Odd(), nn.Linear(16, 3)).requires_grad_(False)
    x = normal(2, 1, 8, 8)
    asked, wanted = task(model, x), query(x)
    reasons = {
        "trunk.pair": "gives a tuple. Name a module inside it",
        "trunk.idle": r"trunk\.idle does not run",
        "trunk.lost": r"The logits do not depend on the maps of trunk\.lost",
    }
    for layer, reason in reasons.items():
        with pytest.raises(Refused, match=reason):
            method("grad_cam", layer=layer).explain(asked, wanted)

    # of a module that runs twice: its last maps
    maps = model.trunk.twice(model.trunk.twice(model.trunk.pair(x)[0]).relu()).requires_grad_()
    expected = by_hand(maps, model.head(maps.flatten(1)), wanted.target, (8, 8))
    values = method("grad_cam", layer="trunk.twice").explain(asked, wanted).values
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name, rows", [("grad_cam", 1), ("guided_grad_cam", 2), ("full_grad", 1)])
def test_cost(method, name, rows):
    *_, (_, asked, wanted) = toys.tasks(toys.Rectified)
    with counted(asked.model) as cost:
        method(name).explain(asked, wanted)
    assert (cost.forward, cost.backward) == (rows * len(wanted.x), rows * len(wanted.x))


# --- FullGrad -----------------------------------------------------------------------------------


def left_over(method, model, x, target):
    """Return the logits of full_grad's decomposition minus its terms."""
    terms, logit = sys.modules[type(method("full_grad")).__module__].bias_terms(model, x, target)
    return logit - sum(term.values.flatten(1).sum(1) for term in terms)


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


def test_full_grad_needs_the_statistics_of_a_batch_norm(layers, task, query, method, normal):
    """A batch norm without statistics mixes the samples."""
    x = normal(3, 1, 8, 8)
    trunk = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten()
    model = layers(nn.Sequential(*trunk), nn.Linear(72, 2)).eval()
    with pytest.raises(Refused, match=r"trunk\.1"):
        method("full_grad").explain(task(model, x), query(x))


def with_relu(two_maps, layers):
    """Return the network with a ReLU on its maps, for methods that are defined for these."""
    convolution, *rest = two_maps.trunk
    return layers(nn.Sequential(convolution, nn.ReLU(), *rest), two_maps.head)


def test_constant_output_has_no_map(two_maps, layers, task, query, method, normal):
    two_maps.head.weight.data *= 0
    asked, x = task(with_relu(two_maps, layers), normal(2, 1, 4, 4)), normal(2, 1, 4, 4)
    for name in ("grad_cam", "guided_grad_cam", "full_grad"):
        assert float(method(name).explain(asked, query(x)).values.abs().max()) == 0


def test_networks_that_are_not_finite_are_named(two_maps, layers, task, query, method, normal):
    two_maps.head.weight.data[0, 0] = torch.inf
    asked, x = task(with_relu(two_maps, layers), normal(2, 1, 4, 4)), normal(2, 1, 4, 4)
    for name in ("grad_cam", "guided_grad_cam", "full_grad"):
        with pytest.raises(Refused, match="outputs are not finite"):
            calls.explain(method(name), asked, query(x))
    with pytest.raises(BrokenPromise, match="values of sample 10 are NaN or infinite"):
        calls.explain(method("grad_cam", layer="trunk.0"), asked, query(x))
