"""The study on references: what a shared fill is worth, and that it wins nothing in the headline."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from gpex_bench.measurements.curves import Removals
from gpex_bench.studies.references.agreement import DIFFERENCE, agreement
from gpex_bench.studies.references.answer import gain, through_headline
from gpex_bench.studies.references.measure import plausibility
from gpex_bench.studies.references.plan import References

FILLS = ("baseline", "train_mean", "middle", "noise")
RELATIVE_TO = ("baseline", "train_mean", "middle", "training samples")
PLAN = References(
    families={"integrated gradients": FILLS}, source_methods=("baseline", "random_map")
)
N = 40


def made(level, metric="srg", noise=0.05):
    """Return scores of four references and of a random map under every fill and output.

    Args: level: mean score by the places of reference and fill.
    """
    draw = np.random.default_rng(1)
    frames = []
    for place, (method, relative_to) in enumerate(zip(FILLS, RELATIVE_TO, strict=True)):
        for column, fill in enumerate(FILLS):
            for output in ("probability", "logit"):
                for seed in (1, 2):
                    score = level(place, column) + noise * draw.standard_normal(N)
                    frames.append(rows(method, relative_to, fill, output, seed, score))
    for fill in FILLS:
        for output in ("probability", "logit"):
            for seed in (1, 2):
                score = noise * draw.standard_normal(N)
                frames.append(rows("random_map", "nothing", fill, output, seed, score))
    table = pd.concat(frames, ignore_index=True).assign(metric=metric)
    return table.assign(dataset="d", model="m", change=1.0)


def rows(method, relative_to, fill, output, seed, score):
    key = {"method": method, "relative_to": relative_to, "fill": fill, "output": output}
    return pd.DataFrame({**key, "seed": seed, "sample": np.arange(N), "score": score})


def test_a_shared_fill_is_worth_the_diagonal_minus_the_rest():
    """What references and fills do by themselves is not in it."""
    scores = made(lambda place, column: 0.1 * place + 0.3 * column + 0.2 * (place == column))
    found = gain(scores, "integrated gradients", PLAN)
    assert (found["n_references"] == 4).all() and (found["verdict"] == "raises").all()
    assert found["mean"].to_numpy() == pytest.approx(0.2, abs=0.03)
    assert (found["low"] < 0.2).all() and (found["high"] > 0.2).all()

    nothing = gain(made(lambda place, column: 0.1 * place), "integrated gradients", PLAN)
    assert (nothing["verdict"] == "not shown").all()


def test_references_that_win_under_their_own_fill_do_not_lead():
    """Each is best by far where the metric shows what it compares with: none gains from that."""
    scores = made(lambda place, column: 0.5 + 0.3 * (place == column))
    found = through_headline(scores, "integrated gradients", PLAN)
    pairs = found["headline_pairs"]
    assert len(pairs) == 6 and set(pairs["verdict"]) == {"depends"}
    assert len(found["headline"]) == 4 and "leads" not in set(found["headline"]["answer"])
    first = pairs.iloc[0]
    assert "baseline (probability)" in first["better_under"] + first["worse_under"]


def test_a_reference_that_is_best_under_every_fill_leads():
    scores = made(lambda place, column: 0.8 if place == 1 else 0.5)
    found = through_headline(scores, "integrated gradients", PLAN)
    pairs, places = found["headline_pairs"], found["headline"]
    assert places.loc[places["answer"] == "leads", "method"].tolist() == ["train_mean"]
    involved = pairs[(pairs["method"] == "train_mean") | (pairs["other"] == "train_mean")]
    assert set(involved["verdict"]) <= {"better", "worse"}


def test_fills_agree_as_scipy_says():
    level = np.random.default_rng(2).normal(size=(4, 4))
    pixels = made(lambda place, column: level[place, column])
    segments = made(lambda place, _: 0.1 * place, metric="srg_segments")
    own = pd.concat([pixels, segments])
    own = own[own["output"] == "probability"]
    found = agreement(own, FILLS, 200).set_index("metric")

    means = pixels[pixels["output"] == "probability"].groupby(["method", "fill"])["score"].mean()
    wide = means.unstack("fill").loc[list(FILLS)].to_numpy()
    expected = [
        stats.kendalltau(wide[:, one], wide[:, other]).statistic
        for one in range(4)
        for other in range(one)
    ]
    assert found.loc["srg", "mean_tau"] == pytest.approx(np.mean(expected))
    assert found.loc["srg", "lowest"] == pytest.approx(min(expected))
    assert found.loc["srg_segments", "mean_tau"] == 1
    assert found.loc[DIFFERENCE, "verdict"] == "more consistent"


def test_plausibility_is_the_mean_area_of_both_random_orders():
    fraction = torch.tensor([0.0, 0.5, 1.0]).double()
    falls, stays = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1.0, 1.0, 1.0])
    whole = Removals(
        fraction=fraction,
        most_first=falls.expand(3, 2, 3),
        least_first=stays.expand(3, 2, 3),
    )
    assert plausibility(whole).tolist() == [0.75, 0.75]


def test_families_of_one_reference_are_refused():
    class Config:
        entries = {"method": {"a": None, "b": None}}

        def method(self, name):
            return type("Fixed", (), {"relative_to": "baseline"})()

    plan = replace(PLAN, families={"twice": ("a", "b")}, source_methods=("a",))
    with pytest.raises(ValueError, match=r"families\.twice must be methods with different"):
        plan.check(Config())
    with pytest.raises(ValueError, match="c is missing"):
        replace(plan, source_methods=("c",)).check(
            type("Other", (Config,), {"method": lambda self, name: None if name == "c" else self})()
        )
