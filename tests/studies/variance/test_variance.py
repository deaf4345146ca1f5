"""Variance of runs that are repeated in all that is random: data, training, explainer."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml

from gpex_bench.config import ConfigError, parse
from gpex_bench.plugins.registry import ROOT
from gpex_bench.studies.variance import answer, plan
from gpex_bench.studies.variance.measure import REPEATED, SOURCES, components, split, with_levels

CONFIG = yaml.safe_load((ROOT / "config/studies/variance.yaml").read_text())
PLANTED = {
    "data seed": 1.0,
    "training seed": 0.5,
    "sample": 2.0,
    "residual": 0.7,
    "explainer seed": 0.3,
}


def planted(
    rng: np.random.Generator, shape: tuple[int, ...], variance: dict[str, float]
) -> np.ndarray:
    data, training, samples, draws = shape
    sizes = [
        (data, 1, 1, 1),
        (data, training, 1, 1),
        (data, 1, samples, 1),
        (data, training, samples, 1),
        shape,
    ]
    parts = [
        np.sqrt(variance[name]) * rng.normal(size=size)
        for name, size in zip(SOURCES, sizes, strict=True)
    ]
    return sum(parts[1:], start=parts[0])


def frame(
    scores: np.ndarray, method: str = "lime", metric: str = "srg", first: int = 0
) -> pd.DataFrame:
    """Sample ids differ between data seeds, as those of shuffled splits do."""
    rows = [
        (
            "shapes",
            "resnet",
            metric,
            method,
            data,
            seed,
            draw,
            first + 100 * data + sample,
            float(score),
        )
        for (data, seed, sample, draw), score in np.ndenumerate(scores)
    ]
    return pd.DataFrame(rows, columns=list(REPEATED)).sample(frac=1, random_state=0)


# --- the split ---


def test_components_are_those_of_the_textbook() -> None:
    """Uncorrected sums of squares, one loop a term; expected mean squares as linear equations."""
    scores = planted(np.random.default_rng(0), (4, 3, 6, 2), PLANTED) + 5
    d, t, s, e = scores.shape

    def term(*kept: int) -> float:
        others = [axis for axis in range(4) if axis not in kept]
        total = 0.0
        for place in product(*(range(scores.shape[axis]) for axis in kept)):
            index = tuple(
                place[kept.index(axis)] if axis in kept else slice(None) for axis in range(4)
            )
            total += float(scores[index].sum()) ** 2
        return total / np.prod([scores.shape[axis] for axis in others], initial=1)

    mean, data, network, image, maps, every = (
        term(),
        term(0),
        term(0, 1),
        term(0, 2),
        term(0, 1, 2),
        term(0, 1, 2, 3),
    )
    squares = [
        data - mean,
        network - data,
        image - data,
        maps - network - image + data,
        every - maps,
    ]
    dofs = [d - 1, d * (t - 1), d * (s - 1), d * (t - 1) * (s - 1), d * t * s * (e - 1)]
    expected = [  # rows: mean squares; columns: components
        [t * s * e, s * e, t * e, e, 1],
        [0, s * e, 0, e, 1],
        [0, 0, t * e, e, 1],
        [0, 0, 0, e, 1],
        [0, 0, 0, 0, 1],
    ]
    solved = np.linalg.solve(np.array(expected, float), np.array(squares) / np.array(dofs))
    assert (solved > 0).all()  # nothing is cut off at 0 here
    found = components(scores)
    assert tuple(found) == SOURCES
    assert [variance for variance, _ in found.values()] == pytest.approx(list(solved), rel=1e-9)
    assert [dof for _, dof in found.values()] == dofs


def test_components_are_recovered_from_a_planted_model() -> None:
    rng = np.random.default_rng(1)
    draws = [
        {n: v for n, (v, _) in components(planted(rng, (12, 4, 8, 3), PLANTED)).items()}
        for _ in range(150)
    ]
    means = pd.DataFrame(draws).mean()
    for name, number in PLANTED.items():
        assert means[name] == pytest.approx(number, rel=0.12)


@pytest.mark.parametrize("alone", SOURCES)
def test_one_source_alone_is_told_from_all_others(alone: str) -> None:
    variance = {name: float(name == alone) for name in SOURCES}
    found = components(planted(np.random.default_rng(2), (60, 4, 6, 3), variance))
    shares = {
        name: number / sum(v for v, _ in found.values()) for name, (number, _) in found.items()
    }
    assert shares[alone] > 0.95


def test_without_draws_the_residual_holds_them() -> None:
    scores = planted(np.random.default_rng(3), (200, 3, 5, 1), PLANTED)
    found = components(scores)
    assert "explainer seed" not in found
    assert found["residual"][0] == pytest.approx(
        PLANTED["residual"] + PLANTED["explainer seed"], rel=0.1
    )


def test_equal_draws_have_no_variance() -> None:
    scores = planted(np.random.default_rng(4), (3, 3, 5, 1), PLANTED)
    once, thrice = components(scores), components(scores.repeat(3, axis=3))
    assert thrice["explainer seed"][0] == 0
    for name in SOURCES[:-1]:
        assert thrice[name][0] == pytest.approx(once[name][0])


@pytest.mark.parametrize("axis, name", [*enumerate(SOURCES[:3])])
def test_a_source_without_repetition_is_refused(axis: int, name: str) -> None:
    shape = [3, 3, 5, 2]
    shape[axis] = 1
    with pytest.raises(ValueError, match=f"at least 2 levels of the {name}, got 1"):
        components(np.zeros(shape))


def test_order_and_sample_ids_do_not_matter_and_a_missing_score_is_refused() -> None:
    scores = planted(np.random.default_rng(5), (3, 3, 5, 2), PLANTED)
    long = frame(scores)
    found = split(long)
    assert found["source"].tolist() == list(SOURCES) and found["share"].sum() == pytest.approx(1)
    assert found["variance"].tolist() == pytest.approx(
        [variance for variance, _ in components(scores).values()]
    )
    pd.testing.assert_frame_equal(found, split(frame(scores, first=7).iloc[::-1]))
    expected = (
        r"scores of lime by srg on shapes \(resnet\) must be complete: "
        "3 data seeds x 3 training seeds "
    )
    with pytest.raises(
        ValueError,
        match=expected + r"x 5 samples x 2 draws = 90 finite numbers, got 89\. Unbalanced",
    ):
        split(long.iloc[1:])
    with pytest.raises(ValueError, match="got 89"):
        split(long.assign(score=[np.nan, *long["score"][1:]]))


# --- what to average ---


def test_the_design_keeps_the_standard_error() -> None:
    """By simulation: the mean over these levels has at most the error, and not much less."""
    variance = {name: 0.01 * number for name, number in PLANTED.items()}
    error = 0.05
    found = answer.design(variance, error)
    d, t, s, e = (
        int(found[name]) for name in ("data seed", "training seed", "sample", "explainer seed")
    )
    rng = np.random.default_rng(6)
    means = [planted(rng, (d, t, s, e), variance).mean() for _ in range(3000)]
    assert 0.5 * error < np.std(means) < error
    assert answer.design(variance, error / 2)["data seed"] == 4 * d


def test_draws_are_asked_for_where_only_they_vary() -> None:
    found = answer.design(
        {name: 1e-9 if name != "explainer seed" else 0.5 for name in SOURCES}, 0.5
    )
    assert (
        found["explainer seed"] == 10
        and found["data seed"] == found["training seed"] == found["sample"] == 1
    )
    assert np.isnan(answer.design(dict.fromkeys(SOURCES, 1.0), 0.0)["sample"])


@pytest.fixture
def two_methods() -> pd.DataFrame:
    """The scores of one method vary with the sample alone, those of the other one with the draw."""
    rng = np.random.default_rng(7)
    quiet = {name: 0.0 for name in SOURCES} | {"sample": 1.0}
    loud = {name: 0.0 for name in SOURCES} | {"explainer seed": 1.0, "sample": 0.2}
    shape = (3, 3, 8, 3)
    made = {"steady": planted(rng, shape, quiet), "drawn": 4 + planted(rng, shape, loud)}
    return pd.concat([frame(scores, name) for name, scores in made.items()])


def test_it_is_known_which_source_leads_and_where_the_explainer_matters(
    two_methods: pd.DataFrame,
) -> None:
    table = answer.with_design(split(two_methods), 0.1)
    leading = answer.leading(table).set_index("source")
    assert leading["methods"].to_dict() == {"sample": ["steady"], "explainer seed": ["drawn"]}
    assert leading.loc["sample", "low"] == leading.loc["sample", "high"] == pytest.approx(1)
    assert 0.8 < leading.loc["explainer seed", "low"] < 0.9

    own = answer.explainer_seeds(table, 0.1)
    assert own["method"].tolist() == ["drawn", "steady"]
    assert own["matters"].tolist() == [True, False]
    assert answer.explainer_seeds(table, 0.95)["matters"].tolist() == [False, False]

    (design,) = answer.designs(table).to_dict("records")
    of_source = table.groupby("source")["average"].max()
    for source in ("data seed", "sample", "explainer seed"):
        assert design[source] == of_source[source]


def test_the_answer_holds_table_figure_and_page(two_methods: pd.DataFrame) -> None:
    found = answer.answer(two_methods, plan.Variance())
    assert set(found.drawings) == {"shapes_resnet"} and len(found.table) == 10
    means = two_methods.groupby("method")["score"].mean()
    error = 0.1 * (means["drawn"] - means["steady"])
    assert found.table["error"].tolist() == pytest.approx([error] * 10)
    assert "(shapes_resnet.svg)" in found.sentences
    assert "3 data seeds, 3 training seeds of each, 8 samples of each" in found.sentences


def test_methods_that_do_not_vary_lead_nothing_and_need_no_average() -> None:
    found = answer.answer(frame(np.ones((2, 2, 3, 1))), plan.Variance())
    assert answer.leading(found.table).empty
    assert found.table["average"].isna().all()
    assert "**No score varies.**" in found.sentences


# --- the study ---


def test_the_study_names_its_data_seeds_and_draws() -> None:
    config = parse(CONFIG)
    seeds, draws = plan.data_seeds(config), plan.draws(config)
    assert list(seeds.values()) == [("shapes", n) for n in (1, 2, 3)]
    assert draws["rise"] == ("rise", 0) and draws["rise_1"] == ("rise", 1)
    assert len(set(draws.values())) == 12 and len({name for name, _ in draws.values()}) == 6
    assert list(plan.places(config)) == [("shapes", "resnet")]

    keys = product(config.entries["dataset"], (1, 2), ("rise", "rise_1"), (3, 4))
    rows = [(d, "resnet", s, m, "srg", i, 0.5) for d, s, m, i in keys]
    columns = ["dataset", "model", "seed", "method", "metric", "sample", "score"]
    placed = with_levels(pd.DataFrame(rows, columns=columns), seeds, draws)
    assert set(placed["method"]) == {"rise"} and set(placed["draw"]) == {0, 1}
    assert set(placed["data_seed"]) == {1, 2, 3}
    assert split(placed)["dof"].tolist() == [2, 3, 3, 3, 12]


MISTAKES = {
    "matters": ({"variance": {"matters": 0}}, "variance: matters must be between 0 and 1, got 0"),
    "seeds": ({"seeds": [1]}, r"variance: seeds must be at least 2 .*, got \[1\]"),
    "networks": (
        {"networks": [{"dataset": "shapes_2", "model": "resnet"}]},
        r"variance: datasets must hold at least 2 seeds of shapes for resnet, got \[2\]",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_study_without_repetition_is_refused(name: str) -> None:
    change, message = MISTAKES[name]
    with pytest.raises(ConfigError, match=message):
        parse(CONFIG | change)
