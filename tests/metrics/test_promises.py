"""What every metric promises, checked on all that the registry finds."""

import math

import pytest
import torch

from gpex_bench.contract.metrics import BETTER_AND_WORSE
from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Examples, Explainer, settings

METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}
OF_MAPS = sorted(name for name, metric in METRICS.items() if metric.scores is Attribution)
OF_EXAMPLES = sorted(name for name, metric in METRICS.items() if metric.scores is Examples)
OF_PIXELS = [
    name
    for name, metric in METRICS.items()
    if issubclass(metric, CurveMetric) and metric.unit == "position"
]
BY_ORDER = ["rank_accuracy", "top_iou", "localisation_auc", "pointing_game", *sorted(OF_PIXELS)]
WITH_UNITS = {
    "conservation_error",
    "completeness_error",
    "infidelity_raw",
}  # a map must sum to something
COARSE = {"aopc"}  # four patches: a good map wins on the mean, not on each sample


def normal(toy, seed=0, n=None):
    shape = (n or len(toy.query.x), *toy.query.x.shape[1:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings
class Fixed(Explainer):
    """A map that does not look at the input."""

    reference = "none"
    kind = "control"
    relative_to = "nothing"

    def explain(self, task, query):
        rows = [
            torch.randn(query.x.shape[1:], generator=task.generator(int(sample)))
            for sample in query.sample
        ]
        return Attribution(values=torch.stack(rows))


@settings
class Uneven(Explainer):
    """The exact map of a linear network and noise that follows the seed.

    It breaks every axiom a little.
    """

    reference = "none"
    kind = "gradient"
    relative_to = "nothing"

    factor: float = 1.0

    def explain(self, task, query):
        x = query.x.clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(
                task.model(x).gather(1, query.target[:, None]).sum(), x
            )
        noise = Fixed().explain(task, query).values / 8
        return Attribution(values=self.factor * (gradient * (query.x - task.data.baseline) + noise))


@pytest.mark.parametrize("name", sorted(METRICS))
def test_declares_what_it_is(name):
    metric = METRICS[name]()
    low, high = metric.range
    assert metric.measures in BETTER_AND_WORSE
    assert low < high
    assert metric.chance is None or low <= metric.chance <= high
    assert isinstance(metric.higher_is_better, bool)
    assert metric == METRICS[name]()  # all hyperparameters have defaults


@pytest.mark.parametrize("name", OF_MAPS)
@pytest.mark.parametrize("scale", [1.0, -1.0, 1e-20, 1e20, 0.0])
def test_is_finite_and_in_range(toy, name, scale):
    metric = METRICS[name]()
    for values in (toy.exact * scale, torch.full_like(toy.exact, 0.1) * scale):
        found = metric.score(toy.case(values))
        assert found.shape == (12,)
        assert torch.isfinite(found).all(), found
        assert (found >= metric.range[0]).all() and (found <= metric.range[1]).all(), found


@pytest.mark.parametrize("name", OF_MAPS)
def test_rows_do_not_influence_one_another(toy, name):
    metric, values = METRICS[name](), toy.exact + normal(toy) / 8
    values[:, :, :3] = values.median()  # ties

    def score(rows=None):
        return metric.score(toy.case(values, rows, Uneven()))

    whole = score()
    assert whole.std() > 0
    torch.testing.assert_close(score(), whole, rtol=0, atol=0)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(score(order), whole[order], rtol=1e-5, atol=1e-6)
    # Looser: another number of rows is another matrix product, and some scores divide by small
    # changes of the logits.
    torch.testing.assert_close(score(order[:1]), whole[order[:1]], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OF_MAPS)
def test_units_of_the_map_do_not_count(toy, name):
    found = []
    for factor in (1.0, 1024.0):
        explainer = Uneven(factor=factor)
        found.append(
            METRICS[name]().score(
                toy.case(explainer.explain(toy.task, toy.query).values, None, explainer)
            )
        )
    if name in WITH_UNITS:
        assert not torch.allclose(*found)
    else:
        torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", BY_ORDER)
def test_ranks_are_all_that_counts(toy, name):
    values = toy.exact.clone()
    values[:, 1] = 0  # one channel, so that a monotone map of the entries is one of the pixels
    bent = values.clone()
    bent[:, 0] = torch.where(
        values[:, 0] > 0, 8 * values[:, 0], values[:, 0] / 4
    )  # exact in binary: no new ties
    metric = METRICS[name]()
    torch.testing.assert_close(
        metric.score(toy.case(bent)), metric.score(toy.case(values)), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", [name for name in OF_MAPS if METRICS[name].chance is not None])
def test_a_random_map_scores_chance(toy, name):
    metric = METRICS[name]()
    values = [normal(toy, seed) for seed in range(20)]
    if metric.re_explains:
        values = [Fixed().explain(toy.task, toy.query).values]
    found = torch.cat([metric.score(toy.case(value, explainer=Fixed())) for value in values])
    error = found.std() / math.sqrt(len(found))
    finite = (
        0.01 if name == "sparseness" else 1e-9
    )  # the Gini index of n values is (n - 1) / n of its limit
    assert abs(found.mean() - metric.chance) <= 4 * error + finite, (found.mean(), error)
    if metric.measures == "faithfulness":  # a test that could not fail would pass here too
        assert abs(metric.score(toy.case(toy.exact)).mean() - metric.chance) > 4 * error


ORDERED = [name for name in OF_MAPS if METRICS[name].measures in ("faithfulness", "truth")]


IN_LOGITS = (
    "average_drop",
    "infidelity_raw",
)  # their caveats are about maps in other units than these


@pytest.mark.parametrize(
    "name", [name for name in ORDERED if METRICS[name].caveat is None or name in IN_LOGITS]
)
def test_a_good_map_beats_its_negation(toy, name):
    metric = METRICS[name]()
    good = toy.task.data.truth.mask.float() if metric.measures == "truth" else toy.exact
    better, worse = metric.score(toy.case(good)), metric.score(toy.case(-good))
    gain = (better - worse) * (1 if metric.higher_is_better else -1)
    if name in COARSE:
        assert gain.mean() > 3 * gain.std() / math.sqrt(len(gain))
    else:
        assert (gain > 0).all()


@pytest.mark.parametrize("name", ["monotonicity_nguyen", "pgi", "pgu"])
def test_a_map_and_its_negation_tie_where_the_page_says_so(toy, name):
    metric = METRICS[name]()
    assert "score the same" in metric.caveat
    torch.testing.assert_close(
        metric.score(toy.case(toy.exact)), metric.score(toy.case(-toy.exact)), rtol=0, atol=0
    )


def test_pgi_and_pgu_prefer_the_size_of_the_slope(toy):
    """On a linear network the best order is that of the slopes, and the worst its reverse."""
    slope = toy.task.model.head.weight.detach()[toy.query.target].view_as(toy.query.x)
    size = slope.norm(dim=1, keepdim=True).expand_as(slope)
    for name in ("pgi", "pgu"):
        metric = METRICS[name](n_draws=20)
        better, worse = (metric.score(toy.case(values)) for values in (size, size.max() - size))
        gain = (better - worse) * (1 if metric.higher_is_better else -1)
        assert gain.mean() > 3 * gain.std() / math.sqrt(len(gain)), name


@pytest.mark.parametrize("name", OF_EXAMPLES)
def test_examples_are_finite_in_range_and_row_independent(toy, name):
    index = torch.randint(30, (12, 5), generator=torch.Generator().manual_seed(0))
    found = METRICS[name]().score(toy.examples(index))
    assert torch.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()
    assert found.std() > 0
    weight = torch.full((12, 5), -1.0)
    assert (METRICS[name](weighted=True).score(toy.examples(index, weight)) == 0).all()


@pytest.mark.parametrize("name", sorted(METRICS))
def test_refuses_the_wrong_kind_of_explanation(toy, name):
    metric = METRICS[name]()
    if metric.scores is Attribution:
        case, message = (
            toy.examples(torch.zeros(12, 2, dtype=torch.long)),
            "scores an Attribution, got Examples",
        )
    else:
        case, message = toy.case(toy.exact), "scores Examples, got Attribution"
    with pytest.raises(ValueError, match=message):
        metric.score(case)
