"""One logit, labels and numbers: on which scale methods that ask the network explain them."""

import dataclasses

import pytest
import torch

from gpex_bench.types import Kind, Need
from gpex_bench.types.demands import Refused
from tests.vocabulary.networks import Formula

# on the probability, which is the default of LIME
ON_PROBABILITY = {
    "lime": {"budget": 200},
    "lime_fast": {"budget": 200},
    "feature_ablation": {"output": "probability"},
    "kernel_shap": {"budget": 60, "output": "probability"},
    "shapley_sampling": {"budget": 60, "output": "log_odds"},
}
ON_IMAGES = {
    "rise": {"budget": 50},
    "lime": {"budget": 150},
    "lime_fast": {"budget": 150},
    "hsic": {"budget": 60, "output": "probability"},
}
# the default: the value as it is
ON_NUMBERS = {"lime": {"budget": 200}, "lime_fast": {"budget": 200}} | {
    "kernel_shap": {"budget": 60},
    "feature_ablation": {},
}


def logit(x):
    """A logit that is not linear."""
    flat = x.flatten(1)
    weight = torch.linspace(-1, 1, flat.shape[1])
    return (flat @ weight + 0.3 * flat[:, 0] * flat[:, -1])[:, None]


def pair(x):
    """The same network with a logit for each class."""
    one = logit(x)
    return torch.cat([torch.zeros_like(one), one], 1)


def of_kind(task, kind, classes=("a", "b")):
    """Return the task with another kind of target."""
    data = dataclasses.replace(task.data, kind=kind, classes=classes)
    return dataclasses.replace(task, data=data)


@pytest.mark.parametrize("name", ON_PROBABILITY)
def test_one_logit_is_explained_as_two_logits_of_which_the_first_is_0(
    task, query, method, normal, name
):
    x = normal(12, 6)
    explainer = method(name, **ON_PROBABILITY[name])
    one = explainer.explain(of_kind(task(Formula(logit, 1), x), Kind.CLASSES), query(x[:3], 0))
    two = explainer.explain(of_kind(task(Formula(pair, 2), x), Kind.CLASSES), query(x[:3], 1))
    torch.testing.assert_close(one.values, two.values, rtol=1e-4, atol=1e-6)
    assert float(one.values.abs().max()) > 1e-3


@pytest.mark.parametrize("name", ON_IMAGES)
def test_one_logit_of_images(task, query, method, normal, name):
    x = normal(4, 1, 10, 10)
    explainer = method(name, **ON_IMAGES[name])
    one = explainer.explain(of_kind(task(Formula(logit, 1), x), Kind.CLASSES), query(x[:2], 0))
    two = explainer.explain(of_kind(task(Formula(pair, 2), x), Kind.CLASSES), query(x[:2], 1))
    torch.testing.assert_close(one.values, two.values, rtol=1e-4, atol=1e-6)
    assert float(one.values.std()) > 0


def test_the_probability_of_one_logit_by_hand(task, query, method):
    """Taking column j away leaves sigmoid(w . x - w_j x_j)."""
    x, weight = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([0.7, 0.4, -1.1])
    asked = of_kind(task(Formula(lambda x: (x @ weight)[:, None], 1), x), Kind.CLASSES)
    values = method("feature_ablation", output="probability").explain(asked, query(x)).values[0]
    whole = float(x[0] @ weight)
    for j in range(3):
        without = whole - float(weight[j] * x[0, j])
        drop = 1 / (1 + torch.tensor(-whole).exp()) - 1 / (1 + torch.tensor(-without).exp())
        assert float(values[j]) == pytest.approx(float(drop), abs=1e-6)


@pytest.mark.parametrize("name", ["lime", "lime_fast"])
def test_the_slope_of_one_logit(task, query, method, normal, name):
    """Around a logit of 0 the slope of the probability is a quarter of that of the logit."""
    weight = 0.02 * normal(5, seed=2)
    x = normal(60, 5, seed=1)
    asked = of_kind(task(Formula(lambda x: (x @ weight)[:, None], 1), x), Kind.CLASSES)
    values = method(name, budget=3000).explain(asked, query(x[:3])).values
    torch.testing.assert_close(values, weight / 4 * x[:3], rtol=0.02, atol=2e-5)


@pytest.mark.parametrize("name", ["lime", "lime_fast", "feature_ablation"])
def test_a_label_does_not_look_at_the_others(task, query, method, normal, name):
    x = normal(12, 6)
    explainer = method(name, **ON_PROBABILITY[name])

    def labels(x):
        return torch.cat([logit(x), logit(x.flip(1)) + 5], 1)

    both = of_kind(task(Formula(labels, 2), x), Kind.LABELS)
    alone = of_kind(task(Formula(logit, 1), x), Kind.CLASSES)
    found = explainer.explain(both, query(x[:3], 0)).values
    torch.testing.assert_close(found, explainer.explain(alone, query(x[:3], 0)).values)


@pytest.mark.parametrize("name", ON_NUMBERS)
def test_maps_of_a_number_have_its_units(task, query, method, normal, name):
    x = normal(12, 6)
    explainer = method(name, **ON_NUMBERS[name])

    def explain(factor):
        network = Formula(lambda x: factor * logit(x) + 150, 1)
        asked = of_kind(task(network, x), Kind.NUMBER, ("weight",))
        return explainer.explain(asked, query(x[:3])).values

    kilograms, grams = explain(1.0), explain(1000.0)
    torch.testing.assert_close(grams, 1000 * kilograms, rtol=1e-3, atol=0.1)
    assert float(kilograms.abs().max()) > 0.1


@pytest.mark.parametrize("name", ["lime", "lime_fast"])
def test_lime_finds_the_weights_of_a_linear_number(task, query, method, normal, name):
    weight = torch.tensor([30.0, -4.0, 0.0, 11.0])
    x = normal(60, 4, seed=1)
    network = Formula(lambda x: (x @ weight)[:, None] + 150, 1)
    asked = of_kind(task(network, x), Kind.NUMBER, ("weight",))
    values = method(name, budget=3000).explain(asked, query(x[:3])).values
    torch.testing.assert_close(values, weight * x[:3], rtol=0.01, atol=0.02)


@pytest.mark.parametrize("name", ["lime_fast", "feature_ablation", "kernel_shap"])
@pytest.mark.parametrize("output", ["probability", "log_odds"])
def test_a_number_has_no_probability(task, query, method, normal, name, output):
    x = normal(8, 4)
    asked = of_kind(task(Formula(logit, 1), x), Kind.NUMBER, ("weight",))
    with pytest.raises(Refused, match="output must be 'logit', the value as it is"):
        method(name, output=output).explain(asked, query(x[:2]))


def test_rise_does_not_depend_on_where_the_zero_of_a_number_is(task, query, method, normal):
    x = normal(4, 1, 10, 10)

    def explain(offset):
        asked = of_kind(task(Formula(lambda x: logit(x) + offset, 1), x), Kind.NUMBER, ("weight",))
        return method("rise", budget=50).explain(asked, query(x[:2])).values

    torch.testing.assert_close(explain(300.0), explain(0.0), rtol=1e-3, atol=1e-3)


def test_methods_that_look_for_a_boundary_or_confidence_refuse_numbers(task, query, method, normal):
    x = normal(8, 4)
    asked = of_kind(task(Formula(logit, 1), x), Kind.NUMBER, ("weight",))
    with pytest.raises(Refused, match="root must be 'baseline' where the network gives a number"):
        method("simple_taylor").explain(asked, query(x[:2]))
    assert method("simple_taylor", root="baseline").explain(asked, query(x[:2])).values.std() > 0
    assert {Need.PROBABILITY} <= method("elime").needs & method("sise").needs
