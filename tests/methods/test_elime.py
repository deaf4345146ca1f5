"""E-LIME: the algorithm finds a planted optimum, keeps its books, and does not mix its runs."""

import pytest
import torch

from gpex_bench.contract.cost import counted
from gpex_bench.masking import answers
from gpex_bench.masking.regions import grid, regions

N_REGIONS = 20


@pytest.fixture
def search(method):
    """Run the algorithm on a made-up fitness; returns what it found and all masks that it asked
    for, by run.
    """

    def run(value, counts=(N_REGIONS,), seeds=(0,), **settings):
        explainer, asked = method("elime", **settings), [[] for _ in counts]

        def answer(masks):
            for seen, mask in zip(asked, masks, strict=True):
                seen.append(mask)
            return [value(mask) for mask in masks]

        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        cut = grid(torch.zeros(len(counts), max(counts)), 1)
        return explainer.search(answer, list(counts), generators, cut), [
            torch.cat(seen) for seen in asked
        ]

    return run


@pytest.fixture
def planted(normal):
    """A mask, and the share of regions in which another agrees with it."""
    mask = normal(N_REGIONS, seed=4) > 0
    return mask, lambda masks: (masks == mask[: masks.shape[1]]).double().mean(1)


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_optimum_is_found(search, planted, seed):
    """Among a million subsets, with 2000 evaluations."""
    mask, agreement = planted
    found, _ = search(agreement, seeds=(seed,), budget=2000)
    assert torch.equal(found.population[0, 0], mask)
    assert float(found.fitness[0, 0]) == 1


def test_selection_is_what_finds_it(search, planted):
    """Without pressure, when all subsets tie, the same operators stay far from it."""
    _, agreement = planted
    with_pressure, _ = search(agreement, budget=1000)
    without, _ = search(lambda masks: torch.zeros(len(masks)), budget=1000)
    frequency = [run.population[0].double().mean(0) for run in (with_pressure, without)]
    gain = [float((one - 0.5).abs().mean()) for one in frequency]
    assert float(agreement(with_pressure.population[0]).mean()) > 0.8
    assert float(agreement(without.population[0]).mean()) < 0.75
    assert gain[0] > 1.3 * gain[1]


def test_books_are_kept(search, planted):
    _, agreement = planted
    found, asked = search(agreement, budget=600, population=30)
    assert found.best.shape == found.rows.shape == (1, 20)
    assert bool((found.best.diff(dim=1) >= 0).all())
    assert bool((found.rows.diff(dim=1) >= 0).all())
    assert (
        int(found.rows[0, -1]) == len(asked[0]) == len(asked[0].unique(dim=0)) <= 600
    )  # no mask is asked for twice
    assert bool((found.fitness.diff(dim=1) <= 0).all())
    torch.testing.assert_close(
        found.fitness[0], agreement(found.population[0]).float(), rtol=1e-4, atol=1e-4
    )


def test_runs_do_not_influence_one_another(search, planted):
    _, agreement = planted
    together, _ = search(agreement, counts=(20, 9, 14), seeds=(1, 2, 3), budget=500)
    for run, (count, seed) in enumerate(((20, 1), (9, 2), (14, 3))):
        alone, _ = search(agreement, counts=(count,), seeds=(seed,), budget=500)
        assert torch.equal(together.population[run, :, :count], alone.population[0])
        assert torch.equal(together.best[run], alone.best[0])
    assert not together.population[1, :, 9:].any()  # padding is never chosen


def test_a_size_penalty_drops_what_does_not_matter(search):
    def first_three(masks):
        return masks[:, :3].double().mean(1)

    free, _ = search(first_three, budget=2000)
    penalised, _ = search(first_three, budget=2000, size_penalty=0.5)
    assert penalised.population[0, 0].tolist() == [True] * 3 + [False] * 17
    assert float(free.population[0, :, 3:].double().mean()) > 0.2
    assert float(penalised.fitness[0, 0]) == pytest.approx(1 - 0.5 * 3 / 20)


def test_runs_without_progress_stop(search, planted):
    _, agreement = planted
    found, _ = search(agreement, budget=4000, patience=3)
    spent = found.rows[0]
    assert int(spent[-1]) < 4000 / 2
    assert int(spent[-1]) == int(spent[-10])
    unstopped, _ = search(agreement, budget=4000)
    assert int(unstopped.rows[0, -1]) > int(spent[-1])


def image_task(formula, task, weight, x, scale=1.0):
    """A network whose log-odds are scale * (weight . x - 1)."""

    def logits(x):
        first = scale * ((x * weight).flatten(1).sum(1) - 1)
        return torch.stack([first, 0 * x[:, 0, 0, 0]], 1)

    return task(formula(logits, 2), x)


@pytest.mark.parametrize("fitness", ["probability", "log_odds"])
def test_segments_that_speak_for_the_target_are_kept(formula, task, query, method, fitness):
    x = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    cut = regions(x, "grid", 25)
    sign = torch.where(torch.arange(25) % 3 == 0, 1.0, -1.0)
    asked = image_task(formula, task, 0.05 * sign[cut.index[0]], x)
    explainer = method("elime", segmentation="grid", n_segments=25, fitness=fitness, budget=2000)
    with counted(asked.model) as rows:
        values = explainer.explain(asked, query(x)).values
    kept = values[:, 0, 2::4, 2::4].flatten(1)
    assert float(kept[:, sign > 0].min()) > 0.7
    assert float(kept[:, sign < 0].max()) < 0.3
    assert rows.forward <= 2 * 2000
    found = explainer.evolve(asked, query(x))
    assert int(found.rows[:, -1].sum()) == rows.forward
    probe = answers.probe(asked, query(x), "baseline", fitness)
    torch.testing.assert_close(
        found.fitness[:, 0],
        torch.stack(answers.ask(probe, cut, list(found.population[:, :1]))).flatten().float(),
        rtol=1e-3,
        atol=1e-4,
    )


def test_log_odds_see_what_a_saturated_probability_hides(formula, task, query, method):
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    asked = image_task(formula, task, torch.full((20, 20), 0.2), x, scale=10.0)
    hidden, seen = (
        method("elime", segmentation="grid", n_segments=25, fitness=fitness)
        .explain(asked, query(x))
        .values.mean()
        for fitness in ("probability", "log_odds")
    )
    assert float(seen) > 0.9 > 0.8 > float(hidden)


def test_restarts_share_the_budget_and_differ(formula, task, query, method):
    x = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    asked = image_task(formula, task, torch.full((20, 20), 0.01), x)
    explainer = method("elime", restarts=3, population=20, budget=600)
    with counted(asked.model) as rows:
        found = explainer.evolve(asked, query(x))
    assert found.population.shape[0] == 6
    assert found.best.shape[1] == 10
    assert rows.forward <= 1200
    assert len({tuple(one.flatten().tolist()) for one in found.population}) == 6
    values = explainer.explain(asked, query(x)).values
    expected = found.cut.paint(found.population.double().mean(1).view(2, 3, -1).mean(1), x)
    assert torch.equal(values, expected)


def test_draws_depend_on_seed_and_sample(formula, task, query, method):
    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    values = set()
    for seed in (1, 2):
        asked = image_task(formula, task, torch.full((20, 20), 0.01), x)
        asked = task(asked.model, x, seed=seed)
        for first in (5, 6):
            values.add(
                tuple(
                    method("elime", budget=200)
                    .explain(asked, query(x, first=first))
                    .values.flatten()
                    .tolist()
                )
            )
    assert len(values) == 4


@pytest.mark.parametrize(
    "settings, match",
    [
        (
            {"budget": 99},
            "budget must be at least 100 rows for two generations of 1 x 50 subsets, got 99",
        ),
        ({"fitness": "logit"}, "fitness must be 'probability' or 'log_odds', got 'logit'"),
        ({"crossover": 1.1}, "crossover must lie between 0 and 1, got 1.1"),
        ({"size_penalty": -1.0}, "size_penalty must not be negative, got -1.0"),
        ({"elite": 50}, r"elite must be smaller than population \(50\), got 50"),
        ({"population": 1}, "population must be at least 2, got 1"),
    ],
)
def test_bad_settings_are_refused(method, settings, match):
    with pytest.raises(ValueError, match=match):
        method("elime", **settings)
