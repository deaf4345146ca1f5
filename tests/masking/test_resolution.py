"""Outputs with a large constant, and outputs in other units: the same explanation, or a refusal."""

import pytest
import torch

from gpex_bench.masking.resolution import check_resolved, steps
from gpex_bench.plugins.registry import plugins
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets, networks

N = 6
WEIGHT = torch.tensor([3.0, -2.0, 1.5, 1.0, -0.5, 0.0])
X = torch.tensor([[1.0, 1.0, 2.0, -1.0, 1.0, 1.0], [2.0, 0.5, 1.0, 1.0, -3.0, 1.0]])
BUDGETS = {"kernel_shap": 64, "shapley_sampling": 200, "sobol": 2048, "hsic": 512}
# of the logit: their values follow its unit; the indices have none
LINEAR = ("feature_ablation", "kernel_shap", "shapley_sampling")
INDICES = ("sobol", "hsic")


def explained(name, scale=1.0, shift=0.0):
    """Return the map of a linear network whose logits are scaled, then shifted."""
    budget = {"budget": BUDGETS[name]} if name in BUDGETS else {}
    model = networks.Formula(
        lambda x: torch.stack([scale * (x @ WEIGHT) + shift, 0 * x[:, 0] + shift], 1), 2
    )
    explainer = plugins("method")[name].cls(**budget)
    return explainer.explain(datasets.task(model, X), datasets.query(X)).values


@pytest.mark.parametrize("name", [*LINEAR, *INDICES])
def test_a_large_constant_does_not_change_the_explanation(name):
    """Steps of 1/16 at 1e6: within a tenth of the largest value."""
    expected = explained(name)
    values = explained(name, shift=1e6)
    torch.testing.assert_close(values, expected, atol=0.1 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("name", [*LINEAR, *INDICES])
def test_units_of_the_logit_scale_the_explanation_or_do_not_count(name, scale):
    expected = explained(name) * (scale if name in LINEAR else 1)
    torch.testing.assert_close(
        explained(name, scale), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())
    )


@pytest.mark.parametrize("name", [*LINEAR, *INDICES, "lime", "lime_fast", "elime"])
def test_effects_below_the_precision_of_the_outputs_are_refused(name):
    """An effect of at most 1 beside 1e7, whose steps are 1: neither zeros nor rounding."""
    with pytest.raises(Refused, match="differ by less than the network's precision resolves"):
        explained(name, scale=0.2, shift=1e7)


@pytest.mark.parametrize("name", [*LINEAR, *INDICES])
def test_an_output_that_is_constant_has_no_relevance(name):
    assert not explained(name, scale=0.0, shift=3.0).any()


def test_lime_and_evolution_follow_small_logits():
    """Probabilities differ by 1e-6: the same order of columns as with large differences."""
    for name in ("lime", "lime_fast"):
        small, large = explained(name, 1e-6), explained(name, 1e-2)
        torch.testing.assert_close(1e4 * small, large, rtol=0.05, atol=0.05 * float(large.max()))
    kept = explained("elime", 1e-6)
    assert float(kept[:, 0].min()) > 0.65  # the strongest evidence
    assert float(kept[:, 1].max()) < 0.5  # the strongest counter-evidence


def test_steps_are_those_of_single_precision():
    logits = torch.tensor([[2.0**20, 0.0], [1.0, 5.0], [0.0, 1.0]])
    target = torch.tensor([0, 0, 0])
    found = steps(logits, target, logits[:, 0].double(), lambda moved: moved[:, 0])
    torch.testing.assert_close(found, torch.tensor([0.125, 2.0**-23, 0.0]).double())


def test_an_input_that_equals_its_fill_may_differ_by_rounding():
    sample, answers = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1.0, 1.0, 1.0 + 1e-7])
    step = torch.full((4,), 1e-7)
    check_resolved(sample, answers, step, torch.tensor([False, True]))
    with pytest.raises(Refused, match="the answers to row 1 with parts of it masked lie between 1"):
        check_resolved(sample, answers, step, torch.tensor([False, False]))


@pytest.mark.parametrize("scale", [1e-5, 1e-2])
def test_rise_of_a_weak_effect_is_not_the_noise_of_its_masks(scale):
    """The probability hardly moves around 1/2, and the map has the order of the strong effect."""
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(12, 12, generator=torch.Generator().manual_seed(1))
    maps = []
    for size in (scale, 0.1):
        model = networks.Formula(
            lambda x, size=size: torch.stack(
                [size * (x[:, 0] * weight).flatten(1).sum(1), 0 * x[:, 0, 0, 0]], 1
            ),
            2,
        )
        explainer = plugins("method")["rise"].cls(budget=500)
        maps.append(explainer.explain(datasets.task(model, x), datasets.query(x)).values)
    alike = torch.corrcoef(torch.stack([one.flatten() for one in maps]).double())
    assert float(alike[0, 1]) > 0.99
