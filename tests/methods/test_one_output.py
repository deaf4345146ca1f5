"""Every method on a network with one output: one logit for two classes, and a number."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Kind, Need
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets
from tests.vocabulary.networks import Layers, Tiny, seeded

METHODS = {
    name: plugin.cls
    for name, plugin in plugins("method").items()
    if not issubclass(plugin.cls, Wrapper)
    and not plugin.cls.is_stored
    and plugin.cls.surrogate is None
    and plugin.cls.explains is Attribution
    and Need.TRUTH not in plugin.cls.needs
    and plugin.cls.kind != "attention"  # these networks have none
}
FEW = dict.fromkeys(("lime", "lime_fast", "rise"), 64)
FEW |= {"kernel_shap": 120, "shapley_sampling": 120, "elime": 100, "hsic": 64, "sobol": 420}
FEW |= {"sobol_sbsa": 420, "integrated_gradients": 8}
FEW |= {"expected_gradients": 8, "smoothgrad": 4, "deeplift_shap": 4, "simple_taylor": 12}
# what a control shows does not depend on the network
BLIND = {"constant", "edge_detector", "input_itself", "random_map", "random_examples"}
X = {
    Need.TABLE: torch.randn(12, 6, generator=torch.Generator().manual_seed(1)),
    Need.IMAGE: torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(1)),
}


def one_output(form):
    """Return a small network with one output."""
    if form is Need.TABLE:
        trunk = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU())
        return Layers(trunk, nn.Linear(8, 1))
    trunk = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU())
    return Tiny(trunk, 6, 1)


def two_outputs(model):
    """Return the same network with a logit of 0 for the first class."""
    twin = copy.deepcopy(model)
    twin.head = nn.Linear(model.head.in_features, 2)
    twin.head.weight.data = torch.cat([0 * model.head.weight, model.head.weight])
    twin.head.bias.data = torch.cat([0 * model.head.bias, model.head.bias])
    return twin.requires_grad_(False).eval()


def explain(name, model, form, target, kind=Kind.CLASSES):
    """Return the maps of three inputs by a method with few rows."""
    x = X[form]
    data = datasets.dataset(x, classes=2, baseline=0.1)
    data = dataclasses.replace(
        data, kind=kind, classes=data.classes[: 1 if kind is Kind.NUMBER else 2]
    )
    made = METHODS[name](**({"budget": FEW[name]} if name in FEW else {}))
    task = dataclasses.replace(datasets.task(model, x), data=data)
    return made.explain(task, datasets.query(x[:3], target)).values


def forms(name):
    """Return the forms of input that a method takes."""
    return [form for form in X if not ({*X} - {form}) & METHODS[name].needs]


CASES = [(name, form) for name in sorted(METHODS) for form in forms(name)]


@pytest.mark.parametrize("name, form", CASES)
def test_one_logit_is_the_second_of_two_of_which_the_first_is_0(name, form):
    model = seeded(lambda: one_output(form), 3)
    found = explain(name, model, form, 0)
    expected = explain(name, two_outputs(model), form, 1)
    size = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * size)
    assert size > 0


@pytest.mark.parametrize("name, form", CASES)
def test_a_number_in_other_units_has_the_same_map_up_to_the_unit(name, form):
    """What is refused is n/a; nothing is noise that does not depend on the network."""
    model = seeded(lambda: one_output(form), 3)
    grams = copy.deepcopy(model)
    grams.head.weight.mul_(1024)
    grams.head.bias.mul_(1024)
    if Need.PROBABILITY in METHODS[name].needs:
        return
    try:
        own, scaled = (explain(name, one, form, 0, Kind.NUMBER) for one in (model, grams))
    except Refused as refused:
        assert "number" in str(refused)
        return

    # the same direction: maps are 1 or 1024 times as large (1024 squared for variances)
    own, scaled = own.double().flatten(1), scaled.double().flatten(1)
    cosine = nn.functional.cosine_similarity(own, scaled)
    assert float(cosine.min()) > 1 - 1e-4
    if name not in BLIND:
        ratio = float(scaled.norm() / own.norm())
        assert any(ratio == pytest.approx(unit, rel=1e-2) for unit in (1, 1024, 1024**2))
