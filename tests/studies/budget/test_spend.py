"""One method at every budget on a small network: rows, refusals, seeds; and the plan."""

from pathlib import Path

import jaxtyping
import pytest
import torch
import yaml
from torch import nn

from gpex_bench.config import ConfigError, parse
from gpex_bench.plugins.registry import plugins
from gpex_bench.stages.queries import predicted_by
from gpex_bench.studies.budget.measure import spend
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.types import Model, Task
from gpex_bench.types.strata import drawn
from tests.vocabulary import datasets

ROOT = Path(__file__).parents[3]
CONFIG = yaml.safe_load((ROOT / "config/studies/budget.yaml").read_text())
PLAN = Budget(
    budgets=(16, 64, 128),
    reference_budget=128,
    stability_budget=64,
    stability_seeds=3,
    stability_samples=2,
)


class Small(Model):
    """A network on 12 columns."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk, self.head = nn.Linear(12, 8), nn.Linear(8, 3)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self.trunk(x).tanh()


@pytest.fixture(scope="module", autouse=True)
def unchecked():
    """Switch the checks of annotations off: they draw from Python's random state."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def tasks():
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))

    data = datasets.dataset(x[:10], x[10:])
    networks = [Small(seed).eval().requires_grad_(False) for seed in (1, 2)]
    return [
        Task(model=one, data=data, surrogate=None, seed=seed)
        for seed, one in zip((1, 2), networks, strict=True)
    ]


def spent(tasks, name, budgets=PLAN.budgets, **settings):
    explainer = plugins("method")[name].cls(**settings)
    metric = plugins("metric")["srg"].cls()
    return spend(
        explainer,
        tasks,
        metric,
        plan=PLAN,
        budgets=budgets,
        n_samples=5,
        progress=lambda text: None,
    )


def test_rows_are_counted_and_a_small_budget_is_refused_with_its_reason(tasks):
    found = spent(tasks, "shapley_sampling")
    runs = found.tables["runs"]
    assert (
        runs["budget"].tolist() == [16, 64, 128] * 2 and runs["seed"].tolist() == [1] * 3 + [2] * 3
    )
    assert runs["status"].tolist() == ["not_applicable", "ok", "ok"] * 2
    assert runs["reason"][0] == (
        "budget must be at least 24 rows for 12 regions, got 16; raise it or cut fewer regions."
    )
    per_sample = (runs["forward_rows"] / runs["n_samples"]).tolist()
    assert per_sample == [0, 46, 112] * 2  # 2 + 4 x 11, 2 + 10 x 11
    measured = [
        (row["seed"], row["budget"], row["part"], row["n_samples"]) for row in found.seconds
    ]
    sizes = list(enumerate((1, 2, 2)))
    assert measured == [
        (seed, budget, *part) for seed in (1, 2) for budget in (64, 128) for part in sizes
    ]
    assert all(row["cpu_seconds"] > 0 for row in found.seconds)
    assert (
        len(found.tables["scores"]) == 4 * 5
        and found.tables["scores"]["score"].between(-1, 1).all()
    )


def test_the_tables_repeat_and_depend_on_the_training_seed(tasks):
    first, again = (spent(tasks, "kernel_shap").tables for _ in range(2))
    for name, table in first.items():
        assert table.equals(again[name]), name
    scores = first["scores"].set_index(["seed", "budget", "sample"])["score"]
    assert not scores.loc[1].equals(scores.loc[2])


def test_more_rows_agree_more_between_seeds_than_few(tasks):
    found = spent(tasks, "lime_fast").tables["stability"]
    data = tasks[0].data
    predicted = predicted_by([task.model for task in tasks], data)
    first = data.test.sample[drawn(data.test, data.kind, 2, predicted)]
    assert (
        sorted(found["sample"]) == sorted(first.tolist())
        and (found["n_seeds"] == 3).all()
        and (found["budget"] == 64).all()
    )
    chance = spent(tasks, "random_map", budgets=(OWN_COST,)).tables["stability"]
    assert chance["spearman"].mean() < found["spearman"].mean() < 1


def test_methods_that_do_not_draw_have_no_stability(tasks):
    found = spent(tasks, "gradient_x_input", budgets=(OWN_COST,)).tables
    assert found["stability"].empty and found["convergence"].empty
    assert found["runs"][
        ["forward_rows", "backward_rows"]
    ].drop_duplicates().to_numpy().tolist() == [[5, 5]]


def test_the_evolution_is_followed_at_the_largest_budget(tasks):
    found = spent(tasks, "elime", population=16, size_penalty=0.25).tables["convergence"]
    assert (found["budget"] == 128).all() and found["generation"].max() == 7
    for _, run in found.groupby(["seed", "sample"]):
        assert run["best"].is_monotonic_increasing and run["rows"].is_monotonic_increasing
        assert run["rows"].max() <= 128
    first = found[found["seed"] == 1].groupby("sample")["whole"].first()
    data = tasks[0].data
    predicted = predicted_by([task.model for task in tasks], data)
    rows = drawn(data.test, data.kind, 5, predicted)
    by_sample = rows[data.test.sample[rows].argsort()]
    query = data.test.x[by_sample]
    kept = (
        tasks[0].model(query).double().softmax(1).amax(1) - 0.25
    )  # the predicted class, everything kept
    assert first.tolist() == pytest.approx(kept.tolist(), abs=1e-6)


def test_a_method_that_cannot_pay_for_the_repetitions_says_so(tasks):
    plan = Budget(budgets=(16, 128), reference_budget=128, stability_budget=20, stability_samples=2)
    explainer, metric = plugins("method")["shapley_sampling"].cls(), plugins("metric")["srg"].cls()
    found = spend(
        explainer,
        tasks[:1],
        metric,
        plan=plan,
        budgets=(16, 128),
        n_samples=4,
        progress=lambda text: None,
    )
    row = found.tables["stability"].iloc[0]
    assert (
        row["status"] == "not_applicable"
        and "at least 24 rows for 12 regions, got 20" in row["reason"]
    )


def test_the_config_is_read():
    config = parse(CONFIG)
    plan = config.study
    assert isinstance(plan, Budget) and plan.reference_budget == 1000
    assert plan.budgets_of("rise", config.method("rise"), "cnn") == plan.budgets
    assert plan.budgets_of("rise", config.method("rise"), "resnet")[-1] == 1000
    assert plan.budgets_of("smoothgrad", config.method("smoothgrad"), "resnet")[-1] == 64
    assert plan.budgets_of(
        "integrated_gradients", config.method("integrated_gradients"), "cnn"
    ) == (OWN_COST,)
    assert plan.budgets_of("lrp", config.method("lrp"), "cnn") == (OWN_COST,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"budgets": [64, 32, 1000]},
            r"budget: budgets must be ascending numbers of rows from 1 up, got \[64, 32, 1000\]",
        ),
        ({"budgets": []}, "budget: budgets must be ascending numbers"),
        (
            {"reference_budget": 999},
            "budget: reference_budget must be one of the budgets 32, .*, got 999",
        ),
        (
            {"reference_method": "limes"},
            "budget: reference_method must be run ids of methods .*, got 'limes'",
        ),
        (
            {"reference_method": "lrp"},
            "budget: reference_method must be a method with a budget .*, got 'lrp'",
        ),
        ({"own_cost": ["ig"]}, "budget: own_cost must be run ids of methods .*, got 'ig'"),
        ({"most": {"vgg": 3}}, "budget: most must name methods or networks by run id, got 'vgg'"),
        ({"most": {"resnet": 999}}, "budget: most.resnet must be at least .* = 1000, got 999"),
        ({"stability_seeds": 1}, "budget: stability_seeds must be at least 2, got 1"),
        ({"tolerance": 1.0}, r"budget: tolerance must be a share in \[0, 1\), got 1.0"),
        ({"top": 0.0}, "budget: top must be a share between 0 and 1, got 0.0"),
        ({"budget": 3}, "budget.budget: unknown parameter 'budget'. Did you mean 'budgets'"),
    ],
)
def test_bad_sections_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        parse(CONFIG | {"budget": CONFIG["budget"] | change})


def test_methods_with_a_surrogate_are_refused():
    change = {
        "methods": CONFIG["methods"] | {"gpex_attribution": {"surrogate": "gpex"}},
        "surrogates": {"gpex": None},
    }
    with pytest.raises(
        ConfigError,
        match="budget: methods must do without a surrogate .*; gpex_attribution needs one",
    ):
        parse(CONFIG | change)


def test_every_key_is_documented():
    text = (ROOT / "config/README.md").read_text()
    for name in Budget.__dataclass_fields__:
        assert f"`{name}`" in text, name
