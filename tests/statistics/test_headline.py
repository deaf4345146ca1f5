"""Who leads whatever the fill and the output: by hand, and what must change nothing."""

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpex_bench.statistics import conclude, headline
from gpex_bench.statistics.headline import combined
from gpex_bench.statistics.pairs import holm
from gpex_bench.statistics.units import scale_of, units
from gpex_bench.tables.columns import VARIANT_SCORES
from gpex_bench.tables.words import (
    BEATEN,
    BETTER,
    DEPENDS,
    EQUAL,
    LEADS,
    OPEN,
    UNBEATEN,
    WORSE,
)
from tests.vocabulary import scores

NONE = pd.DataFrame(columns=list(VARIANT_SCORES))
SRG: list[dict[str, Any]] = [
    {**record, "range": (-1.0, 1.0), "margin": 0.04} for record in scores.metrics(srg=True)
]

Levels = dict[tuple[str, str], dict[str, float]]  # by fill and output


def of_variants(levels: Levels, n_samples: int = 60, seed: int = 0) -> pd.DataFrame:
    """Return scores under each variant; those of logits are ten times as large."""
    parts = []
    for (fill, output), quality in levels.items():
        size = 10.0 if output == "logit" else 1.0
        made = scores.made(quality, n_samples, seed=seed)
        sized = {name: size * values for name, values in made.items()}
        parts.append(scores.table(sized).assign(fill=fill, output=output, change=size))
    return pd.concat(parts, ignore_index=True)


def concluded(variants: pd.DataFrame, metrics: Any = None) -> dict[str, pd.DataFrame]:
    """Return the tables of a run whose score is that of the first variant."""
    first = variants.iloc[0][["fill", "output"]]
    is_first = (variants[["fill", "output"]] == first).all(axis=1)
    plain = variants[is_first].drop(columns=["fill", "output", "change"])
    names = sorted(set(variants["method"]))
    return conclude(plain, variants, scores.methods(names), metrics or SRG, "srg")


def said(variants: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return what is said of each two methods, without the other tables."""
    plain = variants[variants["fill"] == variants["fill"].iloc[0]]
    (block,) = units(plain, {"srg": scale_of(SRG[0])}, {"random"})
    found = headline.scored(block, variants)
    words = headline.answer_of(found, {"random"}).words
    group = dict(zip(block.methods, found.average.group, strict=True))
    return {pair: words[group[pair[0]], group[pair[1]]] for pair in permutations(block.methods, 2)}


def answers(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    return tables["headline"].set_index("method")["answer"].to_dict()


def verdicts(tables: dict[str, pd.DataFrame]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    flipped = {BETTER: WORSE, WORSE: BETTER}
    for row in tables["headline_pairs"].to_dict("records"):
        found[row["method"], row["other"]] = row["verdict"]
        found[row["other"], row["method"]] = flipped.get(row["verdict"], row["verdict"])
    return found


DECIDED = (BETTER, WORSE, EQUAL, DEPENDS)
SAME = {"a": 0.6, "b": 0.5, "c": 0.2, "random": 0.0}
TURNED = {"a": 0.5, "b": 0.6, "c": 0.2, "random": 0.0}
FILLS = [(fill, output) for fill in ("blur", "zero") for output in ("probability", "logit")]


def test_a_method_that_is_best_under_each_variant_leads() -> None:
    found = concluded(of_variants(dict.fromkeys(FILLS, SAME)))
    assert answers(found) == {"a": LEADS, "b": BEATEN, "c": BEATEN, "random": ""}
    rows = found["headline"].set_index("method")
    assert rows["place"].to_dict() == {"a": 1, "b": 2, "c": 3, "random": 4}
    assert rows["beaten_by"].to_dict() == {"a": "", "b": "a", "c": "a, b", "random": "a, b, c"}
    assert set(rows["n_variants"]) == {4}
    leaders = found["headline_variants"].query("leads")
    assert set(leaders["method"]) == {"a"} and len(leaders) == 4


def test_an_order_that_turns_with_the_fill_names_no_leader_and_says_under_which() -> None:
    levels = {key: SAME if key[0] == "zero" else TURNED for key in FILLS}
    found = concluded(of_variants(levels))
    assert answers(found) == {"a": UNBEATEN, "b": UNBEATEN, "c": BEATEN, "random": ""}
    (row,) = found["headline_pairs"].query("method == 'a' and other == 'b'").to_dict("records")
    assert row["verdict"] == DEPENDS
    assert row["better_under"] == "zero (logit); zero (probability)"
    assert row["worse_under"] == "blur (logit); blur (probability)"
    leaders = found["headline_variants"].query("leads").groupby("fill")["method"].agg(set)
    assert leaders.to_dict() == {"blur": {"b"}, "zero": {"a"}}
    rows = found["headline"].set_index("method")
    assert rows.loc["a", ["place_best", "place_worst"]].tolist() == [1, 2]


def test_scores_of_logits_count_in_shares_of_what_the_fill_moves() -> None:
    found = concluded(of_variants(dict.fromkeys(FILLS, SAME)))
    rows = found["headline_variants"].set_index(["fill", "output", "method"])["mean"].unstack(1)
    assert rows["logit"].to_numpy() == pytest.approx(rows["probability"].to_numpy())
    means = found["headline"].set_index("method")["score"]
    assert means.to_numpy() == pytest.approx(rows["logit"].groupby("method").mean().to_numpy())


def test_without_a_method_better_than_the_blind_controls_nobody_leads() -> None:
    # Better than one control alone: the metric is not informative, and has no headline.
    blind = {"a": 0.6, "b": 0.5, "edges": 0.7, "random": 0.0}
    assert concluded(of_variants(dict.fromkeys(FILLS, blind)))["headline"].empty
    # Informative under the first variant, but not under another one.
    levels = {key: blind for key in FILLS} | {FILLS[0]: blind | {"edges": 0.1}}
    found = concluded(of_variants(levels))
    assert LEADS not in answers(found).values()


def test_a_method_without_rivals_leads_if_it_is_better_than_the_blind_controls() -> None:
    one = {"a": 0.6, "random": 0.0}
    assert answers(concluded(of_variants(dict.fromkeys(FILLS, one))))["a"] == LEADS
    assert answers(concluded(of_variants(dict.fromkeys(FILLS, {"a": 0.6}))))["a"] == UNBEATEN


def test_copies_are_equal_and_share_their_answer() -> None:
    variants = of_variants(dict.fromkeys(FILLS, SAME))
    copy = variants[variants["method"] == "a"].assign(method="twin")
    found = concluded(pd.concat([variants, copy]))
    assert answers(found)["a"] == answers(found)["twin"] == LEADS
    assert verdicts(found)["a", "twin"] == EQUAL


def test_a_metric_without_variants_has_one() -> None:
    made = scores.made(SAME, 60)
    plain = scores.table(made)
    found = conclude(plain, NONE, scores.methods(list(made)), SRG, "srg")
    assert answers(found) == {"a": LEADS, "b": BEATEN, "c": BEATEN, "random": ""}
    assert set(found["headline"]["n_variants"]) == {1}
    assert set(found["headline_variants"]["fill"]) == {""}
    by_pairs = found["pairs"].set_index(["method", "other"])["verdict"]
    pd.testing.assert_series_equal(
        found["headline_pairs"].set_index(["method", "other"])["verdict"], by_pairs
    )


def test_a_method_that_lacks_a_variant_is_left_out() -> None:
    variants = of_variants(dict.fromkeys(FILLS, SAME))
    lacks = (variants["method"] == "b") & (variants["fill"] == "zero")
    lacks &= variants["output"] == "logit"
    found = concluded(variants[~lacks])
    assert set(found["headline"]["method"]) == {"a", "c", "random"}


def test_a_method_that_lacks_a_seed_is_compared_on_the_others() -> None:
    variants = of_variants(dict.fromkeys(FILLS, SAME))
    found = concluded(variants[(variants["method"] != "a") | (variants["seed"] > 0)])
    assert answers(found) == {"a": LEADS, "b": BEATEN, "c": BEATEN, "random": ""}


def test_no_headline_without_a_metric_of_that_name() -> None:
    made = scores.made(SAME, 20)
    found = conclude(scores.table(made), NONE, scores.methods(list(made)), SRG)
    assert found["headline"].empty and found["headline_pairs"].empty


# --- what is said of two, and of more -------------------------------------------------------------


def test_words_over_variants_by_hand() -> None:
    def over(*words: str, never_worse: bool = True) -> str:
        back = {BETTER: WORSE, WORSE: BETTER}
        by_variant = np.array(
            [[[EQUAL, word], [back.get(word, word), EQUAL]] for word in words], dtype=object
        )
        is_reverse = all(word in (WORSE, EQUAL) for word in words)
        nowhere = np.array([[True, never_worse], [is_reverse, True]])
        found = combined(by_variant, nowhere)
        assert found[1, 0] == back.get(found[0, 1], found[0, 1])
        return found[0, 1]

    assert over(BETTER, BETTER) == over(BETTER, EQUAL) == over(BETTER, OPEN) == BETTER
    assert over(EQUAL, EQUAL) == EQUAL
    assert over(EQUAL, OPEN) == over(OPEN, OPEN) == OPEN
    assert over(BETTER, OPEN, never_worse=False) == DEPENDS
    assert over(BETTER, WORSE, never_worse=False) == DEPENDS
    assert over(WORSE, EQUAL, never_worse=False) == WORSE


def test_all_pairs_under_all_variants_are_one_family() -> None:
    variants = of_variants(dict.fromkeys(FILLS, {"a": 0.53, "b": 0.5, "c": 0.48}), 30)
    found = concluded(variants)
    p_values = []
    for _, part in variants.groupby(["fill", "output"]):
        share = part.assign(score=part["score"] / part["change"])
        one = conclude(
            share.drop(columns=["fill", "output", "change"]), NONE, scores.methods(list("abc")), SRG
        )
        p_values.append(one["pairs"].set_index(["method", "other"])[["p_value", "mean_difference"]])
    every = pd.concat(p_values, keys=FILLS, names=["fill", "output"]).reset_index()
    every["p_holm"] = holm(every["p_value"].to_numpy())
    is_better = (every["p_holm"] < 0.05) & (every["mean_difference"] > 0.04)
    expected = every[is_better].groupby(["method", "other"]).size()
    shown = found["headline_pairs"].set_index(["method", "other"])["better_under"]
    counted = shown.map(lambda text: len(text.split("; ")) if text else 0)
    assert counted[counted > 0].to_dict() == expected.to_dict()


@settings(max_examples=15, deadline=None)
@given(
    levels=st.lists(
        st.lists(st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.6]), min_size=4, max_size=4),
        min_size=2,
        max_size=4,
    ),
    seed=st.integers(0, 1000),
)
def test_a_third_method_turns_no_answer_round(levels: list[list[float]], seed: int) -> None:
    keys = [(f"fill{at}", "probability") for at in range(len(levels))]
    made = {
        key: {"a": a, "b": b, "c": c, "d": d, "random": -0.5}
        for key, (a, b, c, d) in zip(keys, levels, strict=True)
    }
    variants = of_variants(made, 25, seed)
    whole = said(variants)
    rest = said(variants[variants["method"] != "d"])

    # Fewer comparisons to correct for: what was open may be decided, nothing is turned round.
    can_become = {OPEN: {*DECIDED, OPEN}, DEPENDS: {BETTER, WORSE, DEPENDS}}
    for pair, word in rest.items():
        assert word in can_become.get(whole[pair], {whole[pair]})

    # A copy changes nothing at all.
    twin = variants[variants["method"] == "a"].assign(method="twin")
    copied = said(pd.concat([variants, twin]))
    assert {pair: copied[pair] for pair in whole} == whole
