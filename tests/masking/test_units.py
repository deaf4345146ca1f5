"""Columns that belong together: never half a category in the network, and groups as one feature."""

import dataclasses
from itertools import permutations

import pytest
import torch

from gpex_bench.contract import calls
from gpex_bench.families.categories import categories
from gpex_bench.masking import units
from gpex_bench.measurements import measured
from gpex_bench.measurements.curves import Curves
from gpex_bench.plugins.registry import plugins
from gpex_bench.run import artefacts
from gpex_bench.stages.prepare import prepare
from gpex_bench.types import Attribution, Case, Need, Source, Task
from gpex_bench.types.demands import Refused
from gpex_bench.types.groups import check_groups
from tests.vocabulary import datasets, networks
from tests.vocabulary.datasets import COLOUR, SIZE

DATA = datasets.categorical()
NUMBERS = [1, 2, 6]
UNIT = [0, 1, 2, 0, 3, 0, 4, 3]  # of each column, in the order of first columns
EFFECT = torch.tensor([2.0, 0.5, -1.0, -1.0, 3.0, 0.5, 1.5, -2.0])  # of each column
BUDGETS = {"kernel_shap": 32, "shapley_sampling": 200, "sobol": 4096, "hsic": 512}
BUDGETS |= {"lime": 4000, "lime_fast": 4000}
MASKING = ("feature_ablation", "kernel_shap", "shapley_sampling", "sobol", "hsic", "elime")
METHODS = (*MASKING, "lime", "lime_fast")


def is_whole(x, group):
    """Return which rows show a whole category, or none, as the baseline does."""
    part = x[:, list(group)]
    is_dummy = ((part == 0) | (part == 1)).all(1)
    return is_dummy & (part.sum(1) <= 1)


class Guarded(networks.Formula):
    """A network that has never seen half a category, and says so."""

    def embed(self, x):
        for group in (COLOUR, SIZE):
            if not bool(is_whole(x, group).all()):
                row = x[~is_whole(x, group)][0, list(group)]
                raise AssertionError(f"half a category: {row.tolist()}")
        return super().embed(x)


def task(formula, data=DATA):
    return Task(model=Guarded(formula, 2).eval(), data=data, surrogate=None, seed=4)


def additive(x):
    logit = x @ EFFECT
    return torch.stack([logit, 0 * logit], 1)


def tangled(x):
    logit = (x @ EFFECT) + x[:, 1] * x[:, 3] + 2 * x[:, 4] * x[:, 5] + (x[:, 0] * x[:, 7]).sin()
    return torch.stack([logit, 0 * logit], 1)


QUERY = datasets.query(DATA.test.x[:6])


def explained(name, formula, **settings):
    budget = {"budget": BUDGETS[name]} if name in BUDGETS else {}
    explainer = plugins("method")[name].cls(**budget, **settings)
    return calls.explain(explainer, task(formula), QUERY).values


def of_groups(values):
    """Return the sum over each unit, written out."""
    return torch.stack(
        [values[:, [c for c in range(8) if UNIT[c] == unit]].sum(1) for unit in range(5)], 1
    )


def test_units_are_numbered_by_their_first_columns():
    assert units.unit_of_column(DATA.groups, 8).tolist() == UNIT
    assert units.unit_of_column((), 3).tolist() == [0, 1, 2]
    assert units.in_groups(DATA).tolist() == [c not in NUMBERS for c in range(8)]
    values = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(units.per_unit(values, units.units(DATA)), of_groups(values))


@pytest.mark.parametrize(
    "groups, message",
    [
        (((0, 3), (3, 5)), r"columns \[3\] are in several"),
        (((0, 8),), r"columns from 0 to 7, got \(0, 8\)"),
        (((2,),), r"at least 2 different columns"),
        (((2, 2),), r"at least 2 different columns"),
        (((-1, 2),), r"got \(-1, 2\)"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        check_groups(groups, 8)
    data = dataclasses.replace(DATA, groups=groups)
    source = type(
        "Table", (Source,), {"offers": frozenset({Need.TABLE}), "load": lambda self: data}
    )()
    with pytest.raises(ValueError, match=message):
        prepare(source)


def test_groups_are_stored_with_the_dataset(tmp_path):
    path = tmp_path / "data.safetensors"
    scales = tuple((0.5 * column, 1.0 + column) for column in range(8))
    artefacts.write_dataset(path, dataclasses.replace(DATA, scales=scales))
    artefacts.describe(path, kind="data")
    assert artefacts.read_dataset(path).groups == DATA.groups
    assert artefacts.read_dataset(path).scales == scales


def test_names_of_units_are_what_their_columns_share():
    names = ("colour_red", "age", "z", "colour_blue", "small", "colour_green", "w", "large")
    data = dataclasses.replace(DATA, features=names)
    assert units.unit_names(data) == ("colour", "age", "z", "small / large", "w")
    assert units.unit_names(dataclasses.replace(data, groups=())) == names


@pytest.mark.parametrize(
    "columns, name",
    [
        (("size=10", "size=12"), "size"),
        (("work=in a mill", "work=in a mine"), "work"),
        (("size_10", "size_12"), "size"),
        (("colour: red", "colour: rose"), "colour"),
        (("kind", "kind.other"), "kind"),
        (("small", "smart"), "small / smart"),
    ],
)
def test_the_name_of_a_category_does_not_reach_into_its_values(columns, name):
    data = dataclasses.replace(DATA, features=(*columns, *"abcdef"), groups=((0, 1),))
    assert units.unit_names(data)[0] == name


def test_values_are_in_the_units_of_the_raw_data_and_categories_have_their_names():
    names = ("work=mine", "age", "z", "work=mill", "small", "work=farm", "rent", "large")
    scales = tuple(
        {1: (40.0, 10.0), 6: (20_000.0, 5_000.0)}.get(column, (0.0, 1.0)) for column in range(8)
    )
    data = dataclasses.replace(DATA, features=names, scales=scales)
    x = torch.tensor([0.0, -1.5, 0.25, 1.0, 0.0, 0.0, 0.4, 1.0])
    assert units.unit_values(data, x) == ("mill", "25", "0.25", "large", "22,000")
    none = torch.tensor([0.0, -1.5, 0.25, 0.0, 1.0, 0.0, 0.4, 1.0])
    assert (
        units.unit_values(data, none)[0] == "none" and units.unit_values(data, none)[3] == "several"
    )
    plain = dataclasses.replace(data, scales=())
    assert units.unit_values(plain, x) == ("mill", "-1.50", "0.25", "large", "0.40")


@pytest.mark.parametrize("name", METHODS)
def test_no_half_category_reaches_the_network_and_columns_share_the_value(name):
    values = explained(name, tangled)
    for group in (COLOUR, SIZE):
        part = values[:, list(group)]
        torch.testing.assert_close(part, part.mean(1, keepdim=True).expand_as(part))


@pytest.mark.parametrize("name", ["feature_ablation", "kernel_shap", "shapley_sampling"])
def test_a_category_of_an_additive_network_has_its_own_effect(name):
    """f = sum of effects: a group gets effect(category) - effect(baseline's category)."""
    found = of_groups(explained(name, additive))
    expected = of_groups(EFFECT * (QUERY.x - DATA.baseline))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_shapley_values_of_groups_are_those_of_the_definition():
    """Mean gain over all orders of the five units."""
    found = of_groups(explained("kernel_shap", tangled))
    unit = torch.tensor(UNIT)
    expected = torch.zeros(6, 5)
    orders = list(permutations(range(5)))
    for order in orders:
        shown = torch.zeros(5, dtype=torch.bool)
        before = tangled(DATA.baseline.expand(6, 8))[:, 0]
        for player in order:
            shown[player] = True
            after = tangled(torch.where(shown[unit], QUERY.x, DATA.baseline))[:, 0]
            expected[:, player] += (after - before) / len(orders)
            before = after
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_sobol_indices_of_a_coin_and_of_numbers():
    """Variance of a group's coin d^2 / 4, of a uniform mask d^2 / 12."""
    found = of_groups(explained("sobol", additive))
    power = of_groups(EFFECT * (QUERY.x - DATA.baseline)).square()
    share = torch.tensor([1 / 4, 1 / 12, 1 / 12, 1 / 4, 1 / 12])
    expected = power * share / (power * share).sum(1, keepdim=True)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_what_does_not_differ_from_the_baseline_has_no_relevance():
    """The rows of small size have the baseline's category."""
    is_small = QUERY.x[:, SIZE[0]] == 1
    assert bool(is_small.any()) and not bool(is_small.all())
    for name in ("feature_ablation", "kernel_shap", "hsic", "lime", "lime_fast"):
        of_size = of_groups(explained(name, additive))[:, 3].abs()
        assert float(of_size[is_small].max()) < 0.02 * float(of_size[~is_small].min()), name


@pytest.mark.parametrize("name", ["lime", "lime_fast"])
def test_lime_compares_a_category_with_those_of_the_training_samples(name):
    """Of a linear probability: effect of the category minus the mean effect of the others."""

    def linear(x):
        probability = 0.5 + 0.01 * (x @ EFFECT)
        return torch.stack([probability, 1 - probability], 1).log()

    found = of_groups(explained(name, linear))[:, 0]
    train = DATA.train.x[:, list(COLOUR)]
    effect = 0.01 * EFFECT[list(COLOUR)]
    expected = []
    for row in QUERY.x[:, list(COLOUR)]:
        others = train[(train != row).any(1)]
        expected.append(float(row @ effect - (others @ effect).mean()))
    torch.testing.assert_close(found, torch.tensor(expected), atol=2e-3, rtol=0.1)


def test_categories_are_numbered_and_come_back():
    known = categories(DATA, DATA.test.x)
    rows = known.numbered(DATA.test.x)
    assert rows.shape == (len(DATA.test.x), 5)
    assert known.is_category.tolist() == [True, False, False, True, False]
    assert torch.equal(known.columns(rows), DATA.test.x)


# --- metrics --------------------------------------------------------------------------------------


METRICS = {
    name: plugin.cls
    for name, plugin in plugins("metric").items()
    if plugin.cls.scores is Attribution and not {Need.IMAGE, Need.TRUTH} & plugin.cls().needs
}
# mixtures of columns are no inputs
REFUSED = {"symmetry_error"}


def case(values, formula=additive, data=DATA):
    asked = task(formula, data)
    explainer = plugins("method")["feature_ablation"].cls()
    explanation = Attribution(values=values, residual=torch.zeros(len(values)))
    return Case(task=asked, query=QUERY, explanation=explanation, explainer=explainer)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_metrics_remove_groups_as_a_whole(name):
    if name in ("mean_generalisability", "relative_consistency"):
        pytest.skip("compares the maps of several training seeds, and removes nothing")
    values = explained("feature_ablation", tangled)
    metric = METRICS[name]()
    if any(part.changes_network for part in metric.measurements()) and name not in REFUSED:
        pytest.skip("explains altered networks, which need layers")
    if name in REFUSED:
        with pytest.raises(Refused, match="groups of columns that belong together"):
            measured(case(values), [metric])
        return
    scores = metric.score(measured(case(values), [metric]))
    assert scores.shape == (6,) and bool(scores.isfinite().all())


@pytest.mark.parametrize("fill", ["baseline", "zero", "train_mean", "noise", "blur", "inpaint"])
def test_every_fill_shows_whole_categories(fill):
    values = explained("feature_ablation", tangled)
    curves = Curves(fill=fill).measure(case(values))
    assert bool(curves.most_first.isfinite().all())


def test_only_the_sum_over_a_group_counts():
    """However a group's relevance is shared over its columns, the removals are the same."""
    values = explained("feature_ablation", tangled)
    other = values.clone()
    other[:, COLOUR[0]] += 3
    other[:, COLOUR[2]] -= 3
    for name in ("srg", "sensitivity_n", "infidelity", "faithfulness_estimate", "sparseness"):
        metric = METRICS[name]()
        first, second = (metric.score(measured(case(one), [metric])) for one in (values, other))
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_removals_go_group_by_group():
    """Five units, so six points; the first to go is the group whose sum is largest."""
    values = torch.zeros(6, 8)
    values[:, list(COLOUR)] = 0.4  # 1.2 together
    values[:, NUMBERS] = torch.tensor([1.0, 0.9, 0.8])
    metric = METRICS["srg"]()
    curves = measured(case(values), [metric]).read(metric.measurements()[0])
    assert len(curves.fraction) == 6
    without = QUERY.x.clone()
    without[:, list(COLOUR)] = DATA.baseline[list(COLOUR)]
    torch.testing.assert_close(curves.of("logit").most_first[:, 1], additive(without)[:, 0])


@pytest.mark.parametrize("name", ["max_sensitivity", "mprt_smooth"])
def test_neighbours_have_the_same_categories(name):
    """Also those of which a map is made again for other networks."""
    seen = []

    class Watched(networks.Layers):
        def embed(self, x):
            seen.append(x.detach())
            return super().embed(x)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU())
        model = Watched(layers, torch.nn.Linear(6, 2)).eval()
    explainer = plugins("method")["gradient_x_input"].cls()
    asked = Task(model=model, data=DATA, surrogate=None, seed=4)
    found = explainer.explain(asked, QUERY)
    metric = METRICS[name]()
    near = Case(task=asked, query=QUERY, explanation=found, explainer=explainer)
    assert bool(metric.score(measured(near, [metric])).isfinite().all())
    every = torch.cat(seen)
    assert all(bool(is_whole(every, group).all()) for group in (COLOUR, SIZE))
    assert len(every[:, NUMBERS[0]].unique()) > 6
