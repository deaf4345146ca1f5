"""The small zoo: sizes, what a BagNet sees, relevance that is conserved, and the methods that read modules on each."""

from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from gpex_bench.contract import calls
from gpex_bench.contract.checks import example
from gpex_bench.contract.sums import missing
from gpex_bench.models.blocks.pooled import DenseLayer
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Need, Progress, Query, Task
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets

COMPOSITES = get_args(get_type_hints(plugins("method")["lrp"].cls)["composite"])
SETTINGS = {
    "alexnet": {"width": 4, "wide": 32},
    "vgg": {"width": 4, "wide": 32},
    "resnet": {"width": 4, "wide": 32},
    "densenet": {"growth": 4, "wide": 32},
    "mobilenet": {"width": 4, "wide": 32},
    "bagnet": {"width": 4, "wide": 32},
}
VITS = {
    "vit": {"width": 16, "heads": 2, "stem": 4, "wide": 32},
    "vit_of_patches": {"width": 18, "heads": 3, "stem": 0, "pooling": "class", "wide": 32},
}
ALL = pytest.mark.parametrize("name", SETTINGS)
ALL_AND_VITS = pytest.mark.parametrize("name", [*SETTINGS, *VITS])
ATTENTION = ["attention_rollout", "gradient_x_attention"]
NEEDS_MODULES = sorted(
    name
    for name, plugin in plugins("method").items()
    if isinstance(getattr(plugin.cls, "needs", None), frozenset)
    and Need.MODULES in plugin.cls.needs
    and name not in ATTENTION
)


def images(side, n_channels, n=3):
    x = torch.rand(n, n_channels, side, side, generator=torch.Generator().manual_seed(0))
    return datasets.dataset(datasets.split(x, torch.arange(n) % 3), name="noise")


def network(name, side=32, n_channels=3, **settings):
    """An untrained network in eval mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cls = plugins("model")["vit" if name in VITS else name].cls
        chosen = (SETTINGS | VITS)[name] | settings
        model = cls(**chosen).build(images(side, n_channels))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias.data):
                values.copy_(0.3 * torch.randn(values.shape, generator=generator))
            for values in (module.running_var, module.weight.data):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    return model.eval().requires_grad_(False)


def asked(name):
    data = images(32, 3)
    query = Query(x=data.test.x, target=torch.tensor([0, 1, 2]), sample=data.test.sample)
    return Task(model=network(name), data=data, surrogate=None, seed=1), query


# --- conservation
# -----------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("composite", COMPOSITES)
def test_relevance_sums_to_the_logit_with_biases_zeroed(name, composite):
    task, query = asked(name)
    for module in task.model.modules():
        if isinstance(module, nn.BatchNorm2d):  # its shift is a bias too
            module.running_mean.zero_()
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    logit = task.model(query.x).gather(1, query.target[:, None])[:, 0]
    for bias in ("absorbs", "ignored", "spread"):
        found = plugins("method")["lrp"].cls(composite=composite, bias=bias).explain(task, query)
        share = found.values.flatten(1).sum(1) / logit
        torch.testing.assert_close(share, torch.ones(3), atol=1e-3, rtol=0)


@ALL
def test_biases_are_what_is_missing_from_the_sum(name):
    """With its biases a network conserves only where the policy says so.

    Or the test above could not fail.
    """
    task, query = asked(name)
    logit = task.model(query.x).gather(1, query.target[:, None])[:, 0]
    kept = {
        bias: plugins("method")["lrp"]
        .cls(composite="alpha1_beta0", bias=bias)
        .explain(task, query)
        .values.flatten(1)
        .sum(1)
        / logit
        for bias in ("absorbs", "ignored", "spread")
    }
    torch.testing.assert_close(kept["ignored"], torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(kept["spread"], torch.ones(3), atol=1e-3, rtol=0)
    assert float((kept["absorbs"] - 1).abs().min()) > 0.01


@ALL
@pytest.mark.parametrize("method", NEEDS_MODULES)
@pytest.mark.filterwarnings(
    "ignore:Setting forward, backward hooks and attributes on non-linear:UserWarning"
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:Full backward hook is firing when gradients are computed:UserWarning"
)
def test_methods_that_read_modules_work_on_every_network(name, method):
    task, query = asked(name)
    found = calls.explain(
        example(plugins("method")[method].cls), task, query
    )  # as in a run: finite, and so on
    assert isinstance(found, Attribution)
    assert found.values.shape == query.x.shape and found.values.isfinite().all()
    assert (
        found.values.any() or method == "guided_grad_cam"
    )  # whose coarse map may speak against the class everywhere


@ALL_AND_VITS
@pytest.mark.parametrize("method", ATTENTION)
def test_attention_methods_are_for_transformers(name, method):
    task, query = asked(name)
    explainer = plugins("method")[method].cls()
    if name in VITS:
        assert calls.explain(explainer, task, query).values.any()
    else:
        with pytest.raises(Refused, match="no attention between tokens"):
            explainer.explain(task, query)


@pytest.mark.parametrize("method", NEEDS_MODULES)
@pytest.mark.parametrize("name", VITS)
def test_methods_that_read_modules_work_on_a_vit_or_say_why(name, method):
    task, query = asked(name)
    explainer = example(plugins("method")[method].cls)
    try:
        found = calls.explain(explainer, task, query)
    except Refused as refusal:
        assert len(str(refusal)) > 40
    else:
        assert found.values.any()
        lost = missing(explainer, task, query, found)
        assert lost is None or lost.reason() is None


@pytest.mark.parametrize("name", VITS)
@pytest.mark.parametrize(
    "recipe, settings",
    [("gpex", {"n_steps": 3, "width": 8, "dim": 4}), ("last_layer", {}), ("knn", {})],
)
def test_surrogates_can_be_fitted_to_a_vit(name, recipe, settings):
    model = network(name)
    data = images(32, 3, n=30)
    surrogate = plugins("surrogate")[recipe].cls(**settings).fit(model, data, 1, Progress())
    posterior = surrogate.posterior(data.test.x[:4])
    assert posterior.mean.shape == (4, 3)
    assert posterior.mean.isfinite().all()
    if recipe == "gpex":
        target = torch.zeros(4, dtype=torch.int64)
        relevance = surrogate.relevance(data.test.x[:4], target)
        expected = posterior.mean[:, 0] - surrogate.offset(target)
        torch.testing.assert_close(relevance.sum((1, 2)), expected, atol=1e-4, rtol=1e-3)


@ALL_AND_VITS
def test_modules_are_registered_in_the_order_in_which_they_run_and_keep_what_they_saw(name):
    model, x = network(name), images(32, 3).test.x
    leaves = {module: name for name, module in model.named_modules() if not list(module.children())}
    ran = []
    for module in leaves:
        module.register_forward_hook(lambda module, args, output: ran.append(leaves[module]))
    before = model(x)
    assert ran == list(leaves.values())
    assert not any(module.inplace for module in leaves if isinstance(module, nn.ReLU))
    torch.testing.assert_close(model(x[:1]), before[:1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(before, model.embed(x) @ model.head.weight.T + model.head.bias)


# --- the networks
# -----------------------------------------------------------------------------------------------------


@ALL_AND_VITS
@pytest.mark.parametrize("side, n_channels", [(28, 1), (32, 3)])
def test_small_images_of_both_sizes_are_taken(name, side, n_channels):
    model, data = network(name, side, n_channels), images(side, n_channels)
    assert model(data.test.x).shape == (3, 3)
    assert model.embed(data.test.x).shape == (3, 32)


@pytest.mark.parametrize("patch", [9, 17])
def test_a_place_of_a_bagnet_sees_a_patch(patch):
    model = network("bagnet", patch=patch)
    x = images(32, 3).test.x[:1].clone().requires_grad_()
    maps = model.features(x)
    middle = maps.shape[2] // 2
    (gradient,) = torch.autograd.grad(maps[0, :, middle, middle].sum(), x)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 <= patch
    more = network("bagnet", patch=patch)
    for module in more.modules():  # and all of it, where no ReLU is off
        if isinstance(module, nn.Conv2d):
            module.weight.data.abs_()
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.fill_(5)
    (gradient,) = torch.autograd.grad(more.features(x)[0, :, middle, middle].sum(), x)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == patch


def test_a_bagnets_logits_are_means_of_what_the_head_says_of_places():
    model, x = network("bagnet"), images(32, 3).test.x
    local = (
        torch.einsum("bmrc,hm->bhrc", model.features(x), model.head.weight)
        + model.head.bias[:, None, None]
    )
    torch.testing.assert_close(model(x), local.mean((2, 3)))


def test_a_densenet_hands_every_map_on():
    model = network("densenet")
    layers = [module for module in model.modules() if isinstance(module, DenseLayer)]
    assert len(layers) == 9
    maps = torch.rand(2, layers[0].norm.num_features, 8, 8)
    assert torch.equal(layers[0](maps)[:, :8], maps)
    assert [layer.norm.num_features for layer in layers[:3]] == [8, 12, 16]


def by_hand(model, x):
    """The class token or the mean of the patches of a ViT, written out."""

    def linear(layer, rows):
        return rows @ layer.weight.double().T + layer.bias.double()

    def norm(layer, rows):
        centred = rows - rows.mean(-1, keepdim=True)
        spread = (centred**2).mean(-1, keepdim=True) + layer.eps
        return centred / spread**0.5 * layer.weight.double() + layer.bias.double()

    trunk = model.trunk
    tokens = trunk.patches(x)[0].double().flatten(1).T
    if trunk.class_token is not None:
        tokens = torch.cat([trunk.class_token[0].double(), tokens])
    tokens = tokens + trunk.position[0].double()
    for block in trunk.blocks:
        attention, seen = block.attention, norm(block.norm_attention, tokens)
        queries, keys, values = (
            linear(layer, seen).chunk(attention.n_heads, 1)
            for layer in (attention.query, attention.key, attention.value)
        )
        means = []
        for q, k, v in zip(queries, keys, values, strict=True):
            score = torch.exp(q @ k.T / q.shape[1] ** 0.5)
            means.append(score @ v / score.sum(1, keepdim=True))
        tokens = tokens + linear(attention.out, torch.cat(means, 1))
        hidden = linear(block.mlp[0], norm(block.norm_mlp, tokens))
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        tokens = tokens + linear(block.mlp[2], hidden)
    tokens = norm(trunk.norm, tokens)
    return tokens.mean(0) if trunk.class_token is None else tokens[0]


@pytest.mark.parametrize("name", VITS)
def test_a_vit_is_what_its_formulas_say(name):
    model, x = network(name), images(32, 3).test.x[:1]
    for weight in model.trunk.parameters():  # weights whose attention is far from even
        weight *= 1 + torch.rand(weight.shape, generator=torch.Generator().manual_seed(1))
    embedding = by_hand(model, x).float()[None]
    torch.testing.assert_close(model.embed(x), model.neck(embedding), atol=1e-5, rtol=1e-4)


def test_the_positions_of_a_vit_differ_from_the_start():
    position = network("vit").trunk.position[0]
    assert position.shape == (64, 16)
    distance = torch.cdist(position, position) + torch.eye(64)
    assert float(distance.min()) > 0.1
    near = torch.cdist(position[:1], position)[0]
    assert float(near[1]) < float(near[4])  # of the first row
    assert float(near[8]) < float(near[32])  # of the first column


@pytest.mark.parametrize("name", VITS)
def test_the_trunk_of_a_vit_gives_the_patches_as_a_map(name):
    model, x = network(name), images(32, 3).test.x
    maps = model.trunk(x)
    assert maps.shape == (3, VITS[name]["width"], 8, 8)
    last = model.trunk.tokens(x)
    assert torch.equal(maps.flatten(2).mT, last[:, -64:])
    assert last.shape[1] == (65 if name == "vit_of_patches" else 64)


def test_settings_that_do_not_fit_a_vit_are_refused():
    vit = plugins("model")["vit"].cls
    with pytest.raises(ValueError, match="heads must divide the width of 64 entries, got 5"):
        vit(heads=5)
    with pytest.raises(ValueError, match="patch must be even with a stem"):
        vit(patch=7)
    with pytest.raises(ValueError, match="pooling must be one of 'mean', 'class', got 'max'"):
        vit(pooling="max")
    with pytest.raises(ValueError, match="patch must divide the 28 x 28 pixels of the images of"):
        vit(patch=8).build(images(28, 1))


@pytest.mark.parametrize(
    "name, setting",
    [("alexnet", "wide"), ("vgg", "width"), ("densenet", "layers"), ("bagnet", "wide")],
)
def test_sizes_below_one_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1, got 0"):
        plugins("model")[name].cls(**{setting: 0})
    with pytest.raises(ValueError, match="patch must be one of 9, 17, got 33"):
        plugins("model")["bagnet"].cls(patch=33)
