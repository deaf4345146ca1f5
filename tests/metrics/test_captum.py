"""The same inputs and the same draws through captum's two metrics."""

import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max

from gpex_bench.measurements.noisy import Noisy
from gpex_bench.measurements.subsets import Subsets, cells, draw, squared_error
from gpex_bench.metrics.infidelity import best_scale
from gpex_bench.metrics.max_sensitivity import MaxSensitivity
from gpex_bench.types import Attribution, Explainer, Query, settings


@settings
class Saliency(Explainer):
    """A map that changes with the input and is not linear in it."""

    reference = "none"
    kind = "gradient"
    relative_to = "nothing"

    def explain(self, task, query):
        x = query.x.clone().requires_grad_()
        with torch.enable_grad():
            task.model(x.sin() * x).gather(1, query.target[:, None]).sum().backward()
        return Attribution(values=x.grad.abs())


@pytest.mark.parametrize("normalize", [False, True])
def test_infidelity(toy, normalize):
    noisy = toy.exact + 0.1 * torch.randn(
        toy.exact.shape, generator=torch.Generator().manual_seed(1)
    )
    case = toy.case(noisy)
    effects = Subsets(n_subsets=20).measure(case)
    cell = cells(toy.task.data, 4)
    n_cells = int(cell.max()) + 1
    subsets = draw(toy.task.seed, toy.query.sample, n_cells, n_subsets=20, share=0.25)
    removed = subsets[:, :, cell]
    change = removed.view(12, 20, 1, 8, 8).expand(-1, -1, 2, -1, -1).float()

    def perturb(inputs, baselines):
        indicator = change.flatten(0, 1)
        # A global map is already multiplied by x - baseline, so captum's I is the indicator of what
        # is removed.
        return indicator, torch.where(indicator.bool(), baselines.expand_as(inputs), inputs)

    expected = captum_infidelity(
        toy.task.model,
        perturb,
        toy.query.x,
        noisy,
        baselines=toy.task.data.baseline[None],
        target=toy.query.target,
        n_perturb_samples=20,
        normalize=normalize,
    )
    scale = best_scale(effects.relevance, effects.drop) if normalize else torch.ones(12)
    found = squared_error(effects.relevance, effects.drop, scale)
    torch.testing.assert_close(
        found, expected.double(), rtol=1e-4, atol=1e-7
    )  # captum sums in float32


@pytest.mark.parametrize("zero", [False, True])
def test_max_sensitivity(toy, zero):
    metric = MaxSensitivity(n_draws=3, radius=0.1)
    explainer = Saliency()
    neighbours = (
        Noisy(n_draws=3, radius=0.1)
        .neighbours(toy.task.seed, toy.query)
        .transpose(0, 1)
        .flatten(0, 1)
    )
    before = (
        torch.zeros_like(toy.query.x) if zero else explainer.explain(toy.task, toy.query).values
    )

    def explain(inputs):
        (x,) = (
            inputs if isinstance(inputs, tuple) else (inputs,)
        )  # captum passes both, and wants the same back
        if len(x) == len(before):
            return (before,)
        target, sample = (row.repeat_interleave(3) for row in (toy.query.target, toy.query.sample))
        return (explainer.explain(toy.task, Query(x=x, target=target, sample=sample)).values,)

    expected = sensitivity_max(
        explain, toy.query.x, perturb_func=lambda x: neighbours, n_perturb_samples=3
    )
    found = metric.score(toy.case(before, explainer=explainer))
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-7)
    assert found.min() > 0
