"""Every method with a budget: too small is refused, large needs no more memory."""

from dataclasses import fields

import pytest
from torch import nn

from gpex_bench.contract.cost import counted
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Need
from gpex_bench.types.batches import CHANGED_ROWS

WITH_BUDGET = sorted(
    name
    for name, plugin in plugins("method").items()
    if plugin.cls is not None and "budget" in {field.name for field in fields(plugin.cls)}
)
REGIONS = {
    "kernel_shap": "regions",
    "shapley_sampling": "regions",
    "sobol": "factors",
}  # what sets their least budget


@pytest.fixture
def small(layers, normal):
    """A convolutional network with fixed weights for images of 3 channels."""
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    model = layers(trunk, nn.Linear(36, 3))
    for i, weight in enumerate(model.parameters()):
        weight.data = 0.4 * normal(*weight.shape, seed=i)
    return model.requires_grad_(False)


def test_all_sampled_methods_of_the_literature_are_here():
    sampled = {
        "elime",
        "hsic",
        "kernel_shap",
        "lime",
        "lime_fast",
        "rise",
        "shapley_sampling",
        "sobol",
    }
    assert sampled | {
        "deeplift_shap",
        "expected_gradients",
        "integrated_gradients",
        "smoothgrad",
    } <= set(WITH_BUDGET)


@pytest.mark.parametrize("name", WITH_BUDGET)
def test_a_budget_of_nothing_is_refused(name, method):
    with pytest.raises(ValueError, match=r"budget must be at least \d+.*got 0"):
        method(name, budget=0)


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_a_budget_below_what_the_regions_cost_is_refused(name, task, query, method, small, normal):
    x = normal(2, 3, 24, 24)
    with pytest.raises(
        ValueError,
        match=rf"budget must be at least \d+ rows for \d+ {REGIONS[name]}, got 40; raise it",
    ):
        method(name, budget=40).explain(task(small, x), query(x))


@pytest.mark.parametrize("name", WITH_BUDGET)
def test_a_large_budget_is_kept_and_goes_through_in_chunks(
    name, task, query, method, small, normal
):
    """One sample has more rows than a chunk, and all have more than four times as many."""
    x, sizes, budget = normal(4, 3, 24, 24), [], 420
    handle = small.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    if Need.TRUTH in plugins("method")[name].cls.needs:
        pytest.skip("needs planted truth")
    with counted(small) as rows:
        method(name, budget=budget).explain(
            task(small, x, train=normal(30, 3, 24, 24, seed=1)), query(x)
        )
    handle.remove()
    assert max(sizes) <= CHANGED_ROWS
    assert 0.4 * budget <= rows.forward / len(x) <= budget + 2
