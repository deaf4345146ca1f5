"""The reference of an explainer is a stated factor: values are relative to it, and claims follow."""

import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.masking.fills import make_fill
from gpex_bench.types import Axiom

REFERENCES = ("baseline", "zero", "train_mean", "middle")
LINEAR = {name: (task, query) for name, task, query in toys.tasks(toys.Linear)}


@pytest.mark.parametrize("form", sorted(LINEAR))
@pytest.mark.parametrize("relative_to", REFERENCES)
@pytest.mark.parametrize("name", ["integrated_gradients", "deeplift", "gradient_x_input"])
def test_values_are_those_of_the_difference_from_the_reference(method, name, relative_to, form):
    """Exact on a linear network: weight x (x - reference)."""
    task, query = LINEAR[form]
    one = method(name, relative_to=relative_to)
    values = one.explain(task, query).values
    weight = task.model.head.weight[query.target].view(query.x.shape)
    expected = weight * (query.x - make_fill(relative_to, task.data, query))
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-4)
    assert one.relative_to == relative_to


@pytest.mark.parametrize("name", ["integrated_gradients", "deeplift"])
def test_completeness_is_claimed_for_the_baseline_alone(method, name):
    assert Axiom.COMPLETENESS in method(name).axioms
    assert Axiom.COMPLETENESS not in method(name, relative_to="middle").axioms
    assert Axiom.DUMMY in method(name, relative_to="middle").axioms


@pytest.mark.parametrize("fill", ["baseline", "train_mean", "middle"])
@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling"])
@pytest.mark.parametrize("form", sorted(LINEAR))
def test_shapley_values_sum_to_the_change_from_the_fill(method, name, fill, form):
    task, query = LINEAR[form]
    one = method(name, budget=1000, n_segments=8, fill=fill)
    total = one.explain(task, query).values.flatten(1).sum(1)
    absent = make_fill(fill, task.data, query)
    change = task.model(query.x) - task.model(absent)
    own = change.gather(1, query.target[:, None])[:, 0]
    torch.testing.assert_close(total, own, atol=1e-4, rtol=1e-3)
    assert one.relative_to == fill


@pytest.mark.parametrize("name", ["integrated_gradients", "deeplift", "gradient_x_input"])
def test_other_references_are_refused(method, name):
    with pytest.raises(ValueError, match="relative_to must be one of"):
        method(name, relative_to="blur")
