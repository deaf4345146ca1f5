"""Networks that are drawn anew, and the tests that look at them, against loops as in the papers."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from gpex_bench.contract import toys
from gpex_bench.measurements import measured
from gpex_bench.measurements.randomised import OtherTarget
from gpex_bench.measurements.similarity import spearman
from gpex_bench.metrics.mprt import MPRT
from gpex_bench.metrics.mprt_entropy import MPRTEntropy, histogram_entropy
from gpex_bench.metrics.mprt_full import MPRTFull
from gpex_bench.metrics.mprt_smooth import MPRTSmooth
from gpex_bench.metrics.random_logit import RandomLogit
from gpex_bench.models.altered.random_weights import cascade, n_layers, redraw
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Case, Query, Task
from gpex_bench.types.draws import uniform

TASKS = {kind: (task, query) for kind, task, query in toys.tasks(toys.Smooth)}
KINDS = sorted(TASKS)
METHOD = plugins("method")["gradient_x_input"].cls()


def case_of(kind, metric, explainer=METHOD):
    task, query = TASKS[kind]
    case = Case(
        task=task, query=query, explanation=explainer.explain(task, query), explainer=explainer
    )
    return measured(case, [metric])


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    ).eval()
    model[1].running_mean.add_(5.0)
    return model.requires_grad_(False)


def test_the_first_layers_are_drawn_and_nothing_else_moves():
    model, before = (
        network(),
        {name: tensor.clone() for name, tensor in network().state_dict().items()},
    )
    state = torch.get_rng_state()
    twins = [redraw(model, 3, n_first) for n_first in (1, 2, 3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert n_layers(model) == 3
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    for n_first, twin in enumerate(twins, 1):
        same = [
            torch.equal(a, b) for a, b in zip(twin.parameters(), model.parameters(), strict=True)
        ]
        # a batch norm that was never trained has the weights that it is drawn with; its statistics
        # are forgotten
        assert same == [n_first < 1, n_first < 1, True, True, n_first < 3, n_first < 3]
        assert twin[1].running_mean.abs().max() == (5 if n_first < 2 else 0)
        assert not twin.training and not any(weight.requires_grad for weight in twin.parameters())
    assert torch.equal(twins[0][0].weight, twins[2][0].weight)  # a cascade: what was drawn stays
    assert torch.equal(redraw(model, 3)[4].weight, twins[2][4].weight)
    assert not torch.equal(redraw(model, 4)[0].weight, twins[0][0].weight)


def test_a_cascade_passes_through_the_networks_drawn_at_once_whatever_is_drawn_in_between():
    model, seen = network(), []
    state = torch.get_rng_state()
    for twin, n_first in zip(cascade(model, 3, [1, 3]), (1, 3), strict=True):
        assert torch.equal(torch.get_rng_state(), state)
        for found, expected in zip(
            twin.state_dict().values(),
            redraw(model, 3, n_first).state_dict().values(),
            strict=True,
        ):
            assert torch.equal(found, expected)
        torch.rand(5)
        state = torch.get_rng_state()
        seen.append(twin)
    assert seen[0] is seen[1]
    with pytest.raises(ValueError, match="stages must ascend, got 1 after 2"):
        list(cascade(model, 3, [2, 1]))


def test_rank_correlation_with_one_map_for_all_is_that_with_its_copies():
    before, after = torch.randn(4, 1, 9), torch.randn(4, 3, 9)
    assert torch.equal(spearman(before, after), spearman(before.expand_as(after), after))


def test_weights_are_drawn_as_torch_draws_them():
    torch.manual_seed(
        int(uniform("random weights", 3, torch.zeros(1, dtype=torch.long), 1) * 2**31)
    )
    expected = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )
    for found, weight in zip(redraw(network(), 3).parameters(), expected.parameters(), strict=True):
        assert torch.equal(found, weight)


def test_a_layer_of_ones_own_gets_its_weights_in_another_order():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(50.0))

    drawn = redraw(Scale(), 0).scale
    assert not torch.equal(drawn, torch.arange(50.0)) and torch.equal(
        drawn.sort().values, torch.arange(50.0)
    )


@pytest.mark.parametrize("n_first", [0, 4])
def test_refuses_layers_that_are_not_there(n_first):
    with pytest.raises(
        ValueError, match=f"n_first must be between 1 and the network's 3 layers, got {n_first}"
    ):
        redraw(network(), 0, n_first)


def maps_of(kind, n_stages):
    """The textbook's loop: reset the layers one after the other, and explain at each stage."""
    task, query = TASKS[kind]
    twin = copy.deepcopy(task.model)
    layers = [module for module in twin.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    torch.manual_seed(
        int(uniform("random weights", task.seed, torch.zeros(1, dtype=torch.long), 1) * 2**31)
    )
    stages = {round(np.ceil(len(layers) * (i + 1) / n_stages)) for i in range(n_stages)}
    for count, layer in enumerate(layers, 1):
        layer.reset_parameters()
        if count in stages:
            yield METHOD.explain(
                Task(model=twin, data=task.data, surrogate=None, seed=task.seed), query
            ).values


def flat(values):
    return (values.sum(1) if values.ndim == 4 else values).flatten(1).double().numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absolute", [False, True])
def test_mprt_is_the_loop_of_the_paper(kind, absolute):
    size = np.abs if absolute else np.asarray
    before = flat(METHOD.explain(*TASKS[kind]).values)
    stages = [
        [
            stats.spearmanr(size(a), size(b)).statistic
            for a, b in zip(before, flat(after), strict=True)
        ]
        for after in maps_of(kind, 3)
    ]
    metric = MPRT(n_stages=3, absolute=absolute)
    np.testing.assert_allclose(
        metric.score(case_of(kind, metric)), np.mean(stages, 0), rtol=0, atol=1e-9
    )
    metric = MPRTFull(n_stages=3, absolute=absolute)
    np.testing.assert_allclose(metric.score(case_of(kind, metric)), stages[-1], rtol=0, atol=1e-9)
    assert np.std(stages) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_efficient_mprt_is_the_rise_of_the_entropy_of_a_histogram(kind):
    before, after = flat(METHOD.explain(*TASKS[kind]).values), flat([*maps_of(kind, 1)][-1])
    first, last = (
        np.array([stats.entropy(np.histogram(row, bins=100)[0]) for row in maps])
        for maps in (before, after)
    )
    metric = MPRTEntropy(trim=0.0)
    np.testing.assert_allclose(
        metric.score(case_of(kind, metric)), (last - first) / first, rtol=0, atol=1e-9
    )


def test_entropy_of_textbook_histograms():
    rows = torch.tensor([[2.0, 2, 2, 2], [0, 1, 2, 3], [0, 0, 0, 1]], dtype=torch.float64)
    expected = [0.0, np.log(4), stats.entropy([3, 1])]
    np.testing.assert_allclose(histogram_entropy(rows), expected, atol=1e-12)


def test_one_outlier_does_not_decide_the_bins():
    rows = torch.rand(3, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hit = rows.clone()
    hit[:, 7] = 1e6
    assert (histogram_entropy(hit) < 0.1).all()
    torch.testing.assert_close(
        histogram_entropy(hit, 0.01), histogram_entropy(rows, 0.01), atol=0.05, rtol=0
    )


@pytest.mark.parametrize("n", [1, 2, 5, 12, 784])
def test_trimmed_histograms_of_few_positions_and_of_constants(n):
    rows = torch.arange(float(n), dtype=torch.float64)[None]
    assert histogram_entropy(torch.ones(1, n, dtype=torch.float64), 0.01).item() == 0
    assert histogram_entropy(rows, 0.01).item() == pytest.approx(np.log(min(n, 100)), abs=0.6)


def test_smooth_mprt_compares_means_over_the_same_noise():
    kind = "grey images"
    task, query = TASKS[kind]
    metric = MPRTSmooth(n_draws=3, radius=0.2)
    near = metric.measurements()[0].neighbours(task.seed, query)
    means = []
    for model in (task.model, redraw(task.model, task.seed)):
        there = Task(model=model, data=task.data, surrogate=None, seed=task.seed)
        maps = [
            METHOD.explain(there, Query(x=x, target=query.target, sample=query.sample)).values
            for x in near
        ]
        means.append(np.mean([flat(values) for values in maps], 0))
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(*means, strict=True)]
    np.testing.assert_allclose(metric.score(case_of(kind, metric)), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_random_logit_compares_with_another_class(kind):
    metric, (task, query) = RandomLogit(), TASKS[kind]
    case = case_of(kind, metric)
    other = (query.target + OtherTarget.step(case)) % 3
    assert (other != query.target).all()
    there = Query(x=query.x, target=other, sample=query.sample)
    maps = flat(METHOD.explain(task, query).values), flat(METHOD.explain(task, there).values)
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(*maps, strict=True)]
    np.testing.assert_allclose(metric.score(case), expected, rtol=0, atol=1e-9)


def test_every_other_class_is_drawn_for_some_seed():
    task, query = TASKS["table"]
    found = set()
    for seed in range(20):
        there = Task(model=task.model, data=task.data, surrogate=None, seed=seed)
        case = Case(
            task=there, query=query, explanation=METHOD.explain(there, query), explainer=METHOD
        )
        found.add(OtherTarget.step(case))
    assert found == {1, 2}


@pytest.mark.parametrize("metric", [MPRT(), MPRTFull(), MPRTSmooth(), RandomLogit()])
@pytest.mark.parametrize("name", ["edge_detector", "random_map"])
def test_a_map_that_ignores_the_network_scores_one(metric, name):
    score = metric.score(case_of("grey images", metric, plugins("method")[name].cls()))
    torch.testing.assert_close(score, torch.ones(3, dtype=torch.float64))
