"""Metrics on networks with one logit, for labels, and for a number."""

import dataclasses

import pytest
import torch

from gpex_bench.measurements.noisy import Neighbours
from gpex_bench.plugins.registry import plugins
from gpex_bench.stages.curves import Recorded, summarise_curves
from gpex_bench.stages.score import Limits, score
from gpex_bench.tables.order import main_curves
from gpex_bench.types import Attribution, Case, Kind, Need, Query, Retrained, Task
from gpex_bench.types.demands import Refused
from tests.metrics.conftest import GradientTimesInput, lazily
from tests.vocabulary import datasets
from tests.vocabulary.networks import Linear

METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}
# metrics of attributions that apply to any network on a table, and those of them for numbers
TABLES = {Need.TABLE, Need.PROBABILITY, Need.OUTPUTS, Need.TRAINING}
ON_TABLES = [
    name for name, cls in METRICS.items() if cls.scores is Attribution and cls().needs <= TABLES
]
ON_ONE_OUTPUT = [name for name in ON_TABLES if Need.OUTPUTS not in METRICS[name]().needs]
ON_NUMBERS = [name for name in ON_ONE_OUTPUT if Need.PROBABILITY not in METRICS[name]().needs]
SCALED = [
    name for name in ON_ONE_OUTPUT if "output" in getattr(METRICS[name], "__dataclass_fields__", ())
]
WEIGHT = torch.randn(1, 8, generator=torch.Generator().manual_seed(2))


def case(weight, kind, target=0, factor=1.0):
    """Return the case of a linear network and its exact maps."""
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    data = dataclasses.replace(datasets.dataset(x, classes=len(weight)), kind=kind)
    task = Task(model=Linear(factor * weight).eval(), data=data, surrogate=None, seed=3)
    query = Query(x=x, target=torch.full((5,), target), sample=torch.arange(5))
    explainer = GradientTimesInput()
    values = explainer.explain(task, query).values
    noise = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    explanation = Attribution(values=values + factor * noise / 4)
    elsewhere = Attribution(values=(values + factor * noise.roll(1)).clone())
    retrained = Retrained(sample=query.sample, target=query.target, explanation=elsewhere)
    return lazily(
        task=task,
        query=query,
        explanation=explanation,
        explainer=explainer,
        retrained=(retrained,),
    )


def test_what_needs_probabilities_classes_or_several_outputs():
    needs = {name: cls().needs for name, cls in METRICS.items()}
    assert {name for name in needs if Need.OUTPUTS in needs[name]} == {
        *("class_purity", "linearity_error", "random_logit", "relative_consistency")
    }
    assert {name for name in needs if Need.CLASSES in needs[name]} == {"class_purity"}
    assert {name for name in needs if Need.PROBABILITY in needs[name]} == {
        *("aopc", "average_drop", "average_increase", "best_subset", "comprehensiveness"),
        "deletion",
        *("effective_complexity", "win_rate"),
        *("insertion", "irof", "monotonicity_arya", "pgi", "pgu", "road", "road_combined"),
        *("srg", "srg_segments", "sufficiency"),
    }
    assert {"infidelity", "selectivity", "sensitivity_n", "max_sensitivity"} <= set(ON_NUMBERS)


@pytest.mark.parametrize("name", ON_ONE_OUTPUT)
def test_one_logit_scores_as_two_logits_of_which_the_first_is_0(name):
    metric = METRICS[name]()
    one = metric.score(case(WEIGHT, Kind.CLASSES))
    two = metric.score(case(torch.cat([0 * WEIGHT, WEIGHT]), Kind.CLASSES, target=1))
    # the axioms look at other networks, whose random weights differ
    if not any(measurement.changes_network for measurement in metric.measurements()):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)
    assert one.isfinite().all()


@pytest.mark.parametrize("name", ON_NUMBERS)
def test_metrics_of_a_number_are_finite_and_say_so_in_any_unit(name):
    metric, found = METRICS[name](), {}
    for factor in (1.0, 1024.0):
        found[factor] = metric.score(case(WEIGHT, Kind.NUMBER, factor=factor))
        assert found[factor].isfinite().all() and len(found[factor]) == 5
    low, high = metric.range
    if (low, high) != (float("-inf"), float("inf")) and "infidelity_raw" not in name:
        torch.testing.assert_close(found[1024.0], found[1.0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SCALED)
def test_curves_of_a_number_are_of_its_value(name):
    on_probability, on_value = METRICS[name](), METRICS[name](output="logit")
    assert Need.PROBABILITY in on_probability.needs and not on_value.needs
    own, scaled = (
        on_value.score(case(WEIGHT, Kind.NUMBER, factor=factor)) for factor in (1.0, 1024.0)
    )
    assert own.isfinite().all() and own.std() > 0
    shares = ("monotonicity_arya", "effective_complexity", "win_rate")
    factor = 1.0 if name in shares else 1024.0
    torch.testing.assert_close(scaled, factor * own, rtol=1e-4, atol=1e-4)
    # never a silent number on a scale that is not there
    with pytest.raises(Refused, match="'probability', which a network that gives a number"):
        on_probability.score(case(WEIGHT, Kind.NUMBER))


def test_the_gain_on_a_linear_number_by_hand():
    """The value falls by each column's own part, whatever goes first."""
    made = case(WEIGHT, Kind.NUMBER)
    exact = made.explainer.explain(made.task, made.query).values
    whole = dataclasses.replace(made, explanation=Attribution(values=exact), measured={})
    srg = METRICS["srg"](output="logit")
    (curves,) = srg.measurements()
    removals = curves.measure(Case(**{f: getattr(whole, f) for f in CASE}))
    ordered = exact.double().sort(1, descending=True).values
    falls = torch.cat([torch.zeros(5, 1, dtype=torch.float64), ordered.cumsum(1)], 1)
    expected = exact.double().sum(1, keepdim=True) - falls
    torch.testing.assert_close(removals.of("logit").most_first.double(), expected)
    assert removals.has("logit") and not removals.has("probability")
    assert not removals.has("correct")


CASE = ("task", "query", "explanation", "explainer")


def test_a_network_for_a_number_beside_one_for_classes_in_one_run():
    """Each metric that summarises curves scores the networks that have its output."""
    metrics = {"srg": METRICS["srg"](), "srg_value": METRICS["srg"](output="logit")}
    recorded = []
    for name, kind, weight in (
        ("number", Kind.NUMBER, WEIGHT),
        ("classes", Kind.CLASSES, torch.cat([-WEIGHT, WEIGHT])),
    ):
        made = case(weight, kind)
        plain = Case(**{field: getattr(made, field) for field in CASE})
        curves = metrics["srg"].measurements()
        variants = [curves[0].under("noise")]
        scored = score({}, curves, plain, Limits(5, 60.0), variants)
        key = {"dataset": name, "model": "linear", "seed": 1, "method": "exact"}
        recorded.append(Recorded(key, scored.curves, made.query.sample))

    found = summarise_curves(metrics, recorded, "srg_value")
    places = set(map(tuple, found.scores[["dataset", "metric"]].to_numpy()))
    assert places == {("number", "srg_value"), ("classes", "srg"), ("classes", "srg_value")}
    of_number = found.variants[found.variants["dataset"] == "number"]
    assert set(of_number["output"]) == {"logit"} and found.variants["score"].notna().all()
    drawn = main_curves(found.means)
    assert drawn["mean"].notna().all()
    outputs = drawn.groupby("dataset")["output"].unique().map(list).to_dict()
    assert outputs == {"number": ["logit"], "classes": ["probability"]}


@pytest.mark.parametrize("name", sorted(set(ON_ONE_OUTPUT) - set(ON_NUMBERS)))
def test_a_probability_of_a_number_is_refused(name):
    with pytest.raises(Refused, match="'probability', which a network that gives a number"):
        METRICS[name]().score(case(WEIGHT, Kind.NUMBER))


def test_another_output_is_refused_where_there_is_none():
    for name in ("random_logit", "linearity_error"):
        with pytest.raises(Refused, match="at least 2 outputs, this one has 1"):
            METRICS[name]().score(case(WEIGHT, Kind.NUMBER))


def test_neighbours_that_keep_what_the_network_names():
    logits = torch.tensor([[[2.0, -1.0], [-2.0, 1.0], [1.0, -3.0]]])
    own = torch.tensor([[1.0, -2.0]])

    def keeps(kind, n_heads):
        near = Neighbours(
            x=torch.zeros(1, 3, 1),
            values=torch.zeros(1, 3, 1),
            embeddings=torch.zeros(1, 3, 1),
            logits=logits[..., :n_heads],
            own_embedding=torch.zeros(1, 1),
            own_logits=own[:, :n_heads],
            kind=kind,
        )
        return near.keeps_class.tolist()

    assert keeps(Kind.CLASSES, 2) == [[True, False, True]]
    assert keeps(Kind.CLASSES, 1) == [[True, False, True]]
    assert keeps(Kind.LABELS, 2) == [[True, False, True]]
    assert keeps(Kind.NUMBER, 1) == [[True, True, True]]
