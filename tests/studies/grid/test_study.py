"""The answer of a grid: its table, its figure, and decisions that follow from the numbers."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from gpex_bench import config, plots
from gpex_bench.plugins import registry
from gpex_bench.stages.agree import agree
from gpex_bench.stages.prepare import prepare
from gpex_bench.stages.train import train
from gpex_bench.statistics.seeds import (
    POWER,
    difference,
    equality,
    settings_differ,
    smallest_shown,
    trend,
)
from gpex_bench.studies.grid import comparisons, measure
from gpex_bench.studies.grid.answer import answer, settings_table
from gpex_bench.studies.grid.expansion import Setting
from gpex_bench.studies.grid.plan import Grid
from gpex_bench.types import Progress

STUDIES = [
    path
    for path in sorted((registry.ROOT / "config/studies").glob("*.yaml"))
    if "grid" in yaml.safe_load(path.read_text())
]


MARGIN = 0.01  # smallest difference that matters


def plan(**changes):
    settings = {"question": "Why?", "x": "m", "statistics": ("mean_r2",), "splits": ("test",)}
    return Grid(**settings | changes)


def grid(places, hues=("a",)):
    return [
        Setting(
            "d",
            "n",
            f"g_{m}_{h}",
            {"dataset": "d", "model": "n", "surrogate": "g", "m": m, "kind": h},
        )
        for h in hues
        for m in places
    ]


def measured(settings, numbers, n_seeds=3, spread=0.01):
    """Return the agreement tables of settings whose means are these numbers.

    Seeds differ by -spread, 0, +spread, in an order that depends on the setting.
    """
    offsets = spread * (np.arange(n_seeds) - (n_seeds - 1) / 2)
    rows = [
        {
            "dataset": at.dataset,
            "model": at.model,
            "seed": seed,
            "surrogate": at.surrogate,
            "split": "test",
            "head": head,
        }
        | {"statistic": statistic, "value": value}
        for place, (at, number) in enumerate(zip(settings, numbers, strict=True))
        if number is not None
        for seed, offset in enumerate(np.roll(offsets, place))
        for head, statistic, value in (
            ("all", "mean_r2", number + offset),
            ("h1", "bias", 1 + offset),
            ("h2", "bias", 3.0),
        )
    ]
    return [pd.DataFrame(rows)]


def costs(settings, n_seeds=3):
    rows = [
        (at.dataset, at.model, seed, at.surrogate, 2.0, 5)
        for at in settings
        for seed in range(n_seeds)
    ]
    return pd.DataFrame(
        rows, columns=["dataset", "model", "seed", "surrogate", "wall_seconds", "peak_bytes"]
    )


def found(places, numbers, hues=("a",), n_seeds=3, spread=0.01, reasons=None, **changes):
    settings = grid(places, hues)
    return answer(
        plan(**changes),
        settings,
        agreement=measured(settings, numbers, n_seeds, spread),
        costs=costs(settings, n_seeds),
        reasons=reasons or {},
        n_seeds=n_seeds,
    )


def rows(places, numbers, hues=("a",), n_seeds=3, spread=0.01):
    """Return what the comparisons start from."""
    settings = grid(places, hues)
    table = found(places, numbers, hues, n_seeds, spread).table
    agreement = pd.concat(measured(settings, numbers, n_seeds, spread))
    values = measure.values(agreement, costs(settings, n_seeds))
    return comparisons.first_statistic(table, values)


def test_the_table_has_mean_and_interval_over_seeds():
    table = found([1, 4], [0.5, 0.9], statistics=("mean_r2", "bias", "fit_seconds")).table
    assert table["id"].tolist() == ["d/n/g_1_a"] * 3 + ["d/n/g_4_a"] * 3
    row = table.iloc[0]
    assert (row["mean"], row["sd"], row["n_seeds"]) == (pytest.approx(0.5), pytest.approx(0.01), 3)
    assert row["high"] - row["mean"] == pytest.approx(
        4.302653 * 0.01 / np.sqrt(3)
    )  # Student's t, two degrees
    assert table.iloc[1]["mean"] == pytest.approx(
        (1 + 3) / 2
    )  # a statistic of heads is averaged over them
    assert (table.iloc[2]["statistic"], table.iloc[2]["split"], table.iloc[2]["mean"]) == (
        "fit_seconds",
        "",
        2.0,
    )


def test_the_page_has_a_row_for_each_setting_and_the_reason_of_a_failure():
    shown = found([1, 4], [0.5, None], reasons={"d/n/g_4_a": "Error: boom"})
    settings = settings_table(shown.table)
    assert settings["m"].tolist() == ["1", "4"]
    assert settings["mean_r2 (test)"].tolist() == ["0.500 [0.475, 0.525]", "failed: Error: boom"]
    assert "failed: Error: boom" in shown.sentences
    assert "(figure.svg)" in shown.sentences


@pytest.mark.parametrize(
    ("numbers", "trend", "verdict"),
    [
        ([0.5, 0.7, 0.9], comparisons.RISES, comparisons.DIFFERENT),
        ([0.9, 0.7, 0.5], comparisons.FALLS, comparisons.DIFFERENT),
        ([0.5, 0.505, 0.51], comparisons.OPEN_TREND, comparisons.OPEN),
    ],
)
def test_a_trend_is_significant_or_not(numbers, trend, verdict):
    compared = rows([1, 4, 16], numbers)
    (ends,) = comparisons.extremes(compared, "higher", MARGIN).to_dict("records")
    best, worst = (1, 16) if numbers[0] > numbers[-1] else (16, 1)
    assert (ends["best"], ends["worst"]) == (f"m {best}", f"m {worst}")
    assert (ends["verdict"], ends["test"]) == (verdict, "Friedman's test")
    assert ends["difference"] == pytest.approx(abs(numbers[0] - numbers[-1]))

    (line,) = comparisons.trends(compared, "m", None, MARGIN).to_dict("records")
    assert line["verdict"] == trend
    assert (line["first"], line["last"]) == (1, 16)
    assert line["first_mean"] == pytest.approx(numbers[0])


def test_a_peak_is_no_trend_but_is_significant():
    (line,) = comparisons.trends(rows([1, 4, 16], [0.5, 0.9, 0.505]), "m", None, MARGIN).to_dict(
        "records"
    )
    assert line["verdict"] == comparisons.OPEN_TREND and line["has_peak"]
    assert (line["highest_at"], line["highest"]) == (4, pytest.approx(0.9))
    flat = comparisons.trends(rows([1, 4, 16], [0.5, 0.505, 0.51]), "m", None, MARGIN)
    assert not flat["has_peak"].any()


def test_a_noisy_setting_does_not_hide_what_the_others_show():
    seeds = {
        "first": [0.9993, 0.999, 0.9987],
        "less": [0.972, 0.970, 0.968],
        "noisy": [0.1, 0.9, 0.5],
    }
    compared = rows(list(seeds), [0.9, 0.8, 0.7])
    compared["seeds"] = [pd.Series(numbers) for numbers in seeds.values()]
    verdicts = comparisons.choices(compared, "m", None, "higher", MARGIN).set_index("choice")[
        "verdict"
    ]
    assert verdicts["less"] == comparisons.WORSE
    assert verdicts["noisy"] == comparisons.OPEN


def test_pairs_of_seeds_agree_with_scipy():
    draw = np.random.default_rng(0)
    a, b = (pd.Series(draw.normal(size=5), index=range(start, start + 5)) for start in (0, 0))
    ours, theirs = difference(a, b), stats.ttest_rel(a, b)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    b.index = range(10, 15)
    ours, theirs = difference(a, b), stats.ttest_ind(a, b, equal_var=False)
    assert not ours.is_paired
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert np.isnan(difference(a[:1], b).p_value)


def test_settings_differ_by_ranks_within_seeds():
    draw = np.random.default_rng(2)
    numbers = draw.normal(size=(5, 4)) + np.arange(4)
    samples = [pd.Series(column) for column in numbers.T]
    ranks = stats.rankdata(numbers, axis=1)
    exchanged = draw.permuted(np.repeat(ranks[None], 40_000, axis=0), axis=2)
    share = np.mean((exchanged.sum(1) ** 2).sum(1) >= (ranks.sum(0) ** 2).sum() - 1e-9)
    assert settings_differ(samples) == pytest.approx(share, abs=0.003)

    # Two seeds that agree on three settings: one way of six; chi-square says 0.135.
    two = [pd.Series([level, level + 0.1]) for level in (1.0, 2.0, 3.0)]
    assert settings_differ(two) == pytest.approx(1 / 6)
    assert settings_differ([samples[0]] * 3) == 1.0
    assert np.isnan(settings_differ([sample[:1] for sample in samples]))


def test_a_trend_is_the_slope_of_each_seed():
    draw = np.random.default_rng(1)
    numbers = draw.normal(size=(4, 5)) + np.arange(5)
    long = [{"seed": s, "place": 10**p, "value": numbers[s, p]} for s in range(4) for p in range(5)]
    slopes = [stats.theilslopes(row).slope for row in numbers]
    found = trend(pd.DataFrame([*long, {"seed": 9, "place": 1, "value": 99.0}]))
    assert (found.mean, found.n_seeds) == (pytest.approx(np.mean(slopes)), 4)
    assert found.p_value == pytest.approx(stats.ttest_1samp(slopes, 0).pvalue)


def test_few_seeds_do_not_show_that_nothing_changes():
    few = rows([1, 4, 16], [0.5, 0.501, 0.502], n_seeds=3, spread=0.01)
    (line,) = comparisons.trends(few, "m", None, MARGIN).to_dict("records")
    assert line["verdict"] == comparisons.OPEN_TREND
    assert line["shown"] > 0.02  # such a change may be there and not be seen
    (ends,) = comparisons.extremes(few, "higher", MARGIN).to_dict("records")
    assert ends["verdict"] == comparisons.OPEN

    many = rows([1, 4, 16], [0.5, 0.501, 0.502], n_seeds=8, spread=0.0005)
    (line,) = comparisons.trends(many, "m", None, MARGIN).to_dict("records")
    assert line["verdict"] == comparisons.FLAT
    assert line["change"] == pytest.approx(0.002, abs=0.002)
    (ends,) = comparisons.extremes(many, "higher", MARGIN).to_dict("records")
    assert ends["verdict"] == comparisons.EQUAL


def test_a_significant_change_below_the_margin_is_no_change():
    settled = rows([1, 4], [0.5, 0.504], n_seeds=5, spread=0.0001)
    (line,) = comparisons.trends(settled, "m", None, MARGIN).to_dict("records")
    assert line["p_value"] < 0.05 and line["verdict"] == comparisons.FLAT
    names = comparisons.choices(settled, "m", None, "higher", MARGIN)
    assert names["verdict"].tolist() == [comparisons.EQUAL]
    (line,) = comparisons.trends(settled, "m", None, 0.001).to_dict("records")
    assert line["verdict"] == comparisons.RISES
    assert (line["n_above"], line["n_below"]) == (5, 0)


def test_equality_is_two_one_sided_tests():
    draw = np.random.default_rng(3)
    a, b = (pd.Series(draw.normal(size=7)) for _ in range(2))
    found = difference(a, b)
    below = stats.ttest_1samp(a - b, 1.5, alternative="less").pvalue
    above = stats.ttest_1samp(a - b, -1.5, alternative="greater").pvalue
    assert equality(found, 1.5) == pytest.approx(max(below, above))
    assert found.n_above + found.n_below == 7
    assert np.isnan(equality(difference(a[:1], b[:1]), 1.5))


def test_the_smallest_difference_shown_is_shown_that_often():
    draw = np.random.default_rng(4)
    n_seeds, true_error = 6, 1 / np.sqrt(6)
    found = difference(pd.Series(draw.normal(size=n_seeds)), pd.Series(np.zeros(n_seeds)))
    shift = smallest_shown(found) / found.error * true_error
    samples = draw.normal(loc=shift, size=(20_000, n_seeds))
    shown = (stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05).mean()
    assert shown == pytest.approx(POWER, abs=0.01)


def test_lower_may_be_better():
    (ends,) = comparisons.extremes(rows([1, 4], [0.5, 0.9]), "lower", MARGIN).to_dict("records")
    assert (ends["best"], ends["worst"]) == ("m 1", "m 4")
    assert ends["difference"] == pytest.approx(0.4) and ends["difference_low"] > 0
    assert ends["test"] == "t test, paired by seed"


def test_each_line_has_its_own_trend():
    compared = rows([1, 4], [0.5, 0.9, 0.9, 0.5], hues=("a", "b"))
    verdicts = comparisons.trends(compared, "m", "kind", MARGIN).set_index("line")["verdict"]
    assert verdicts.to_dict() == {"a": comparisons.RISES, "b": comparisons.FALLS}


def test_choices_have_no_direction():
    compared = rows(["all", "less", "same", "more"], [0.7, 0.5, 0.701, 0.9])
    table = comparisons.choices(compared, "m", None, "higher", MARGIN).set_index("choice")
    assert table["verdict"].to_dict() == {
        "less": comparisons.WORSE,
        "same": comparisons.OPEN,
        "more": comparisons.BETTER,
    }
    assert table["difference"].tolist() == pytest.approx([-0.2, 0.001, 0.2])
    lower = comparisons.choices(compared, "m", None, "lower", MARGIN).set_index("choice")
    assert lower.loc["less", "verdict"] == comparisons.BETTER


def test_with_one_seed_nothing_is_known_to_differ():
    one = rows([1, 4], [0.5, 0.9], n_seeds=1)
    assert comparisons.extremes(one, "higher", MARGIN)["verdict"].tolist() == [comparisons.UNKNOWN]
    assert comparisons.trends(one, "m", None, MARGIN)["verdict"].tolist() == [comparisons.UNKNOWN]
    names = rows(["x", "y"], [0.5, 0.9], n_seeds=1)
    assert comparisons.choices(names, "m", None, "higher", MARGIN)["verdict"].tolist() == [
        comparisons.UNKNOWN
    ]
    text = found([1, 4], [0.5, 0.9], n_seeds=1).sentences
    assert "One training seed" in text and "[one seed]" in text and "nan" not in text


def test_failed_settings_are_named_and_left_out():
    compared = rows([1, 4, 16], [0.5, None, 0.9])
    (ends,) = comparisons.extremes(compared, "higher", MARGIN).to_dict("records")
    assert ends["failed"] == ["m 4"] and ends["n_settings"] == 2
    (line,) = comparisons.trends(compared, "m", None, MARGIN).to_dict("records")
    assert line["verdict"] == comparisons.RISES
    assert (line["first"], line["last"]) == (1, 16)

    reasons = {"d/n/g_1_a": "x", "d/n/g_4_a": "x"}
    nothing = found([1, 4], [None, None], reasons=reasons)
    assert "every fit failed" in nothing.sentences
    assert plots.to_png(nothing.drawings["figure"])


def test_an_unknown_statistic_is_named_with_those_that_are_known():
    with pytest.raises(
        ValueError, match=r"'r3' is not known on the split 'test'\. Known: .*mean_r2 \(test\)"
    ):
        found([1, 4], [0.5, 0.9], statistics=("r3",))


@pytest.mark.parametrize("places", [[1, 4, 16], ["one", "two", "three"]], ids=["numbers", "names"])
def test_the_figure_has_a_panel_for_each_statistic_and_its_numbers(places):
    shown, again = (
        found(
            places,
            [0.5, 0.7, 0.9] * 2,
            hues=("a", "b"),
            hue="kind",
            statistics=("mean_r2", "fit_seconds"),
        )
        for _ in range(2)
    )
    svg = plots.to_svg(shown.drawings["figure"], "study")
    assert "Why?" in svg
    assert svg == plots.to_svg(again.drawings["figure"], "study")
    assert len(shown.drawings["figure"].figure.axes) == 2
    assert len(shown.drawings["figure"].data) == 12
    assert "0.500 to 0.900" in shown.drawings["figure"].alt


QUICK = {
    "n_steps": 3,
    "second_steps": 2,
    "n_landmarks": 16,
    "n_points": 32,
    "n_tuned": 20,
    "prior_steps": 2,
    "dim": 8,
}


def reduced(raw):
    """Return a quick form of a grid: the ends of each axis, one seed, a small table, short fits."""
    axes = {}
    for axis in raw["grid"].get("axes", []):
        of = axis["of"].replace("mnist5k", "breast_cancer").replace("cnn", "mlp")
        kind = "values" if axis.get("values") else "points"
        every = list(axis[kind])
        ends = list(dict.fromkeys([every[0], every[-1]]))
        if axis["of"].endswith("n_inducing"):
            ends = [
                min(n, number) for n, number in zip(ends, (256, 400), strict=True)
            ]  # the table has 455 samples
        kept = ends if kind == "values" else {name: axis[kind][name] for name in ends}
        axes[axis["name"], of] = axis | {"of": of, kind: kept}
    surrogates = sorted({name for network in raw["networks"] for name in network["surrogates"]})
    plugins = {name: registry.plugins("surrogate")[name].cls for name in surrogates}
    return raw | {
        "seeds": [1],
        "grid": raw["grid"] | {"axes": list(axes.values())},
        "datasets": {"breast_cancer": None},
        "models": {"mlp": {"wide": 16, "training": {"epochs": 1}}},
        "surrogates": {
            name: {
                key: value
                for key, value in QUICK.items()
                if key in {field.name for field in fields(cls)}
            }
            for name, cls in plugins.items()
        },
        "networks": [{"dataset": "breast_cancer", "model": "mlp", "surrogates": surrogates}],
    }


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_quick_form_of_every_study_answers(path):
    parsed = config.parse(reduced(yaml.safe_load(path.read_text())))
    data = {name: prepare(parsed.dataset(name)) for name in parsed.entries["dataset"]}
    found_tables, seconds = [], []
    settings = parsed.study.places(parsed.written_sections, parsed.written_networks)
    for at in settings:
        torch.manual_seed(0)
        model, _ = train(parsed.model(at.model), data[at.dataset], 1, lambda text: None)
        surrogate = parsed.surrogate(at.surrogate).fit(model, data[at.dataset], 1, Progress())
        table = agree(model, surrogate, data[at.dataset], 1)[0]
        key = {"dataset": at.dataset, "model": at.model, "seed": 1, "surrogate": at.surrogate}
        found_tables.append(table.assign(**key))
        seconds.append(key | {"wall_seconds": 1.0, "peak_bytes": 1})
    shown = answer(
        parsed.study,
        settings,
        agreement=found_tables,
        costs=pd.DataFrame(seconds),
        reasons={},
        n_seeds=1,
    )
    # Intervals of the Laplace approximation mean something else, so that it has no coverage.
    unknown = shown.table[~np.isfinite(shown.table["mean"])]
    assert set(unknown["statistic"]) <= {"mean_coverage_90"}
    assert set(unknown["surrogate"]) <= {"laplace"}
    assert "On breast_cancer (mlp)" in shown.sentences
    assert plots.to_png(shown.drawings["figure"])
