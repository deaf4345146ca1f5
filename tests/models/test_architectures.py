"""What surrogates and explainers rely on in every network."""

import copy

import captum.attr
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonGammaBox, EpsilonPlusFlat
from zennit.layer import Sum

from gpex_bench.data.breast_cancer import BreastCancer
from gpex_bench.models.cnn import Cnn
from gpex_bench.models.mlp import Mlp
from gpex_bench.models.resnet import Resnet
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Dataset, Model, Need
from tests.vocabulary import datasets

NAMES = ("mlp", "cnn", "resnet")
SHAPES = {"mlp": (30,), "cnn": (1, 28, 28), "resnet": (3, 32, 32)}
N_CLASSES = {"mlp": 2, "cnn": 10, "resnet": 4}


def noise(name: str, n: int = 4) -> Dataset:
    """A dataset of noise in the shape that an architecture is meant for."""
    x = torch.rand(n, *SHAPES[name], generator=torch.Generator().manual_seed(0))
    return datasets.dataset(x, classes=N_CLASSES[name], name=name)


def network(name: str) -> Model:
    """An untrained network in eval mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = plugins("model")[name].cls().build(noise(name))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (
                module.weight.data,
                module.bias.data,
                module.running_mean,
                module.running_var,
            ):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    return request.param, network(request.param), noise(request.param).test.x


def ran(model: nn.Module, x: torch.Tensor) -> list[str]:
    """Return the names of the leaf modules in the order in which they run."""
    order: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return order


def test_registered_order_is_execution_order_and_no_module_runs_twice(case):
    _, model, x = case
    assert ran(model, x) == [
        name for name, module in model.named_modules() if not list(module.children())
    ]


def test_outputs_are_linear_in_the_wide_embedding(case):
    name, model, x = case
    embedding = model.embed(x)
    assert embedding.shape == (len(x), 1024)
    assert (embedding >= 0).all()  # after the ReLU
    assert isinstance(model.head, nn.Linear)
    torch.testing.assert_close(model(x), embedding @ model.head.weight.T + model.head.bias)
    assert model(x).shape == (len(x), N_CLASSES[name])
    assert torch.equal(model.explained(x), model(x))


def test_trunk_gives_the_features_and_can_be_copied(case):
    name, model, x = case
    trunk = copy.deepcopy(model.trunk)
    before = model(x)
    if name == "mlp":
        assert torch.equal(trunk(x), model.embed(x))
    else:
        features = model.features(x)
        assert torch.equal(trunk(x), features)
        assert features.shape == {"cnn": (len(x), 64, 7, 7), "resnet": (len(x), 64, 4, 4)}[name]
        assert torch.equal(model.neck(model.pool(features).flatten(1)), model.embed(x))
    for parameter in trunk.parameters():
        parameter.zero_()
    assert torch.equal(model(x), before)


def test_no_activation_works_in_place(case):
    _, model, _ = case
    activations = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    assert activations
    assert not any(module.inplace for module in activations)
    assert not any(
        isinstance(module, nn.Flatten) for module in model.modules()
    )  # captum's LRP has no rule for it


def test_rows_do_not_influence_one_another(case):
    _, model, x = case
    torch.testing.assert_close(model(x)[:1], model(x[:1]), atol=1e-5, rtol=1e-5)


# --- explainers' libraries
# --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore:Setting forward, backward hooks and attributes on non-linear:UserWarning"
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:Full backward hook is firing when gradients are computed:UserWarning"
)
def test_captum_deep_lift_is_complete_and_guided_backprop_runs(case):
    _, model, x = case
    x, before = x.clone().requires_grad_(), model(x)
    baseline = torch.zeros_like(x)
    values = captum.attr.DeepLift(model).attribute(x, baseline, target=1)
    difference = (model(x) - model(baseline))[:, 1].detach()
    torch.testing.assert_close(
        values.flatten(1).sum(dim=1).detach(), difference, atol=1e-3, rtol=1e-3
    )
    guided = captum.attr.GuidedBackprop(model).attribute(x, target=1)
    assert guided.isfinite().all()
    assert guided.any()
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("kind", [EpsilonPlusFlat, EpsilonGammaBox])
def test_zennit_composites_run_and_restore_the_network(case, kind):
    name, model, x = case
    box = (
        {"low": torch.zeros_like(x), "high": torch.ones_like(x)} if kind is EpsilonGammaBox else {}
    )
    before = model(x)
    relevance = lrp(model, x, kind(canonizers=[SequentialMergeBatchNorm()], **box))
    assert relevance.isfinite().all(), name
    assert relevance.any()
    assert torch.equal(model(x), before)


def lrp(model, x, composite):
    x = x.clone().requires_grad_()
    with composite.context(model) as modified:
        output = modified(x)
        (relevance,) = torch.autograd.grad(output[:, 1].sum(), x)
    return relevance


def test_relevance_is_conserved_through_the_residual_adds(case):
    """Without biases, the start relevance of one arrives at the input.

    A bare `+` would double it in each block.
    """
    _, model, x = case
    composite = EpsilonPlusFlat(
        canonizers=[SequentialMergeBatchNorm()], zero_params=["bias"], epsilon=1e-9
    )
    relevance = lrp(model, x, composite).flatten(1).sum(dim=1)
    torch.testing.assert_close(relevance, torch.ones(len(x)), atol=2e-2, rtol=0)


def test_canoniser_folds_each_batch_norm_into_its_convolution():
    model, x = network("resnet"), noise("resnet").test.x
    before = model(x)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = SequentialMergeBatchNorm().apply(model)
    assert len(handles) == len(norms) == 20
    torch.testing.assert_close(model(x), before, atol=1e-4, rtol=1e-4)
    for norm in norms:  # nothing is left to do
        y = torch.rand(1, norm.num_features, 2, 2)
        torch.testing.assert_close(norm(y), y, atol=1e-4, rtol=1e-4)
    for handle in handles:
        handle.remove()
    assert torch.equal(model(x), before)


# --- the ResNet is torchvision's
# --------------------------------------------------------------------------------------


def test_resnet_at_full_width_has_torchvisions_weights_and_outputs():
    ours = Resnet(width=64, wide=8).build(noise("resnet")).eval()
    twin = torchvision.models.resnet18()
    twin.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    twin.maxpool, twin.fc = nn.Identity(), nn.Identity()
    weights = [v for name, v in ours.state_dict().items() if name.startswith("trunk.")]
    assert [v.shape for v in weights] == [v.shape for v in twin.state_dict().values()]
    twin.load_state_dict(dict(zip(twin.state_dict(), weights, strict=True)))
    x = noise("resnet").test.x
    with torch.no_grad():
        torch.testing.assert_close(ours.pool(ours.features(x)).flatten(1), twin.eval()(x))


def test_resnet_has_eight_blocks_each_with_a_registered_sum():
    model = network("resnet")
    blocks = [module for module in model.modules() if isinstance(module, BasicBlock)]
    assert len(blocks) == 8
    for block in blocks:
        assert [type(module) for module in block.children()].count(Sum) == 1
        assert [type(module) for module in block.children()].count(nn.ReLU) == 2


# --- settings
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_architecture_is_found_by_its_file_name_and_says_what_it_takes(name):
    architecture = plugins("model")[name].cls()
    assert architecture.takes == {Need.TABLE if name == "mlp" else Need.IMAGE}
    assert architecture.offers == {Need.GRADIENT, Need.MODULES}


def test_width_and_wide_are_hyperparameters():
    assert Cnn(width=3, wide=5).build(noise("cnn")).embed(noise("cnn").test.x).shape == (4, 5)
    assert Resnet(width=3, wide=5).build(noise("resnet")).features(
        noise("resnet").test.x
    ).shape == (4, 24, 4, 4)
    assert Mlp(wide=5).build(noise("mlp")).embed(noise("mlp").test.x).shape == (4, 5)


def test_wrong_kind_of_dataset_is_refused():
    with pytest.raises(
        ValueError, match="Mlp takes a dataset of kind table, but 'cnn' is of kind image"
    ):
        Mlp().build(noise("cnn"))
    for architecture in (Cnn(), Resnet()):
        with pytest.raises(
            ValueError, match="takes a dataset of kind image, but 'breast_cancer' is of kind table"
        ):
            architecture.build(BreastCancer().load())


@pytest.mark.parametrize("architecture", [Mlp, Cnn, Resnet])
def test_widths_below_one_are_refused(architecture):
    with pytest.raises(ValueError, match="wide must be at least 1, got 0"):
        architecture(wide=0)
    if architecture is not Mlp:
        with pytest.raises(ValueError, match="width must be at least 1, got 0"):
            architecture(width=0)
