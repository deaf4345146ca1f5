"""Which methods lead on one network by the headline metric, whatever the fill and the output.

A removal score rewards the method that shares its fill, so that an order under one fill is no
answer. Every two methods are compared under each *variant* of the score: a fill and an output.
Scores of logits are divided by one number, how far the logit moves on average when everything is
replaced by the fill: it depends on the network and the fill, and on no method. A metric without
variants has one.

One method is *better* than another if it is worse by the margin under no variant, and better under
at least one. The first part has to hold under each variant, so that no correction for many variants
is due (berger1982multiparameter): all pairs are a family of Holm's. The second has to hold under
one of them: all pairs under all variants are a family. A method *leads* if it is nowhere worse by
the margin than any other one (the 95 % intervals of all these differences are above that), and
better than each control that looks neither at the network nor at a truth. Without such controls, it
must be better than some method.

What is said of two methods depends on these two, and on how many comparisons are corrected for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.pairs import Comparison, compare, families, worded
from gpex_bench.statistics.ranking import places
from gpex_bench.statistics.units import Units, units
from gpex_bench.tables.columns import (
    HEADLINE,
    HEADLINE_PAIRS,
    HEADLINE_VARIANTS,
    LEVEL,
    NETWORK,
    PLACE,
    VARIANT,
)
from gpex_bench.tables.order import groups
from gpex_bench.tables.words import BEATEN, BETTER, DEPENDS, EQUAL, LEADS, OPEN, UNBEATEN, WORSE
from gpex_bench.types import value

# The fill and the output of a metric that has one variant.
ONLY = ("", "")

Words = np.ndarray  # of text, [group, group] or [variant, group, group]


@value
class Scored:
    """The scores of the headline metric on one network: their average, and each variant.

    All have the same methods, in the same groups: methods of one group have the same scores under
    every variant.
    """

    average: Units
    under: Mapping[tuple[str, str], Units]  # by fill and output


@value
class Answer:
    """What is said of each two groups, and of each group."""

    by_variant: Words  # [variant, group, group]: the words of `pairs`
    words: Words  # [group, group]: over all variants
    leads_under: Bool[np.ndarray, "variant group"]
    leads: Bool[np.ndarray, "group"]
    beaten_by: list[list[int]]  # for each group: groups that are better


def scored(plain: Units, variant_scores: pd.DataFrame) -> Scored:
    """Return the scores of one network by the headline metric, ready to be compared.

    Args:
        plain: its scores, under the fill and the output of the metric.
        variant_scores: all scores under each fill and output; those of another network or metric
            are left out. Methods that lack a variant are left out.
    """
    is_here = (variant_scores[list(PLACE)] == list(plain.place)).all(axis=1)
    here = variant_scores[is_here & variant_scores["method"].isin(plain.methods)]
    if here.empty:
        return Scored(average=plain, under={ONLY: plain})

    n_variants = here[["method", *VARIANT]].drop_duplicates()["method"].value_counts()
    whole = n_variants.index[n_variants == n_variants.max()]
    here = in_shares(here.loc[here["method"].isin(whole)])
    controls = {name for name in plain.methods if name not in plain.plain}
    open_ended = replace(plain.scale, width=np.inf)

    under = {}
    for variant, part in groups(here, VARIANT):
        scale = plain.scale if variant[1] == "probability" else open_ended
        (under[variant],) = units(part, {plain.place[2]: scale}, controls)

    keys = [*NETWORK, "seed", "method", "metric", "sample"]
    means = here.groupby(keys)["score"].mean().reset_index()
    (average,) = units(means, {plain.place[2]: open_ended}, controls)

    group = _same_everywhere([block.group for block in under.values()])
    return Scored(
        average=replace(average, group=group),
        under={variant: replace(block, group=group) for variant, block in under.items()},
    )


def in_shares(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores, those of logits in shares of how far the fill moves the logit.

    One number for each fill: the mean over samples and training seeds.
    """
    is_logit = scores["output"] == "logit"
    once = scores[is_logit].drop_duplicates(["fill", "seed", "sample"])
    moved = once.groupby("fill")["change"].mean()

    # A logit that nothing moves has no share; its scores are 0.
    share = scores["fill"].map(moved.where(moved > 0, 1.0))
    divided = scores["score"] / share
    return scores.assign(score=scores["score"].where(~is_logit, divided))


def _same_everywhere(
    grouped: Sequence[Int[np.ndarray, "method"]],
) -> Int[np.ndarray, "method"]:
    """Return a group number for each method; those in one group have a common one everywhere."""
    _, group = np.unique(np.stack(grouped), axis=1, return_inverse=True)
    return group.reshape(-1).astype(np.int64)


# --- what is said of methods ----------------------------------------------------------------------


def answer_of(found: Scored, blind: Collection[str]) -> Answer:
    """Return who leads on one network, and who is better than whom.

    Args:
        found: the scores.
        blind: controls that look neither at the network nor at a truth.
    """
    comparisons = [compare(block) for block in found.under.values()]
    return answer(found.average, comparisons, blind)


def answer(block: Units, comparisons: Sequence[Comparison], blind: Collection[str]) -> Answer:
    """Return who leads and who is better than whom.

    Args:
        block: methods and their groups.
        comparisons: of its groups, under each variant.
        blind: controls that look neither at the network nor at a truth.
    """
    p_values = np.stack([one.p_value for one in comparisons])
    p_holm = families(block, comparisons[0], p_values)
    # What has to hold under each variant needs no correction for many variants.
    p_equal = np.stack([families(block, one, one.p_equal) for one in comparisons])
    by_variant = np.stack(
        [worded(*each) for each in zip(comparisons, p_holm, p_equal, strict=True)]
    )

    p_worse = np.stack([one.p_worse for one in comparisons])
    never_worse = families(block, comparisons[0], p_worse.max(0)) < LEVEL
    words = combined(by_variant, never_worse)

    ours = np.flatnonzero(block.has_method)
    controls = np.array(block.groups_of(blind), dtype=int)
    rivals = np.union1d(ours, controls)
    return Answer(
        by_variant=by_variant,
        words=words,
        leads_under=np.stack(
            [leads(ours, controls, *each) for each in zip(by_variant, p_worse, strict=True)]
        ),
        leads=leads(ours, controls, words, p_worse.max(0)),
        beaten_by=[
            [int(rival) for rival in rivals if words[rival, group] == BETTER]
            for group in range(block.n_groups)
        ],
    )


def combined(by_variant: Words, never_worse: Bool[np.ndarray, "group group"]) -> Words:
    """Return what is said of each two groups over all variants.

    "depends" where some variant tells them apart, and it is neither better nor worse over all.

    Args:
        by_variant: what is said under each variant.
        never_worse: whether the first is worse by the margin under no variant.
    """
    somewhere_better = (by_variant == BETTER).any(0)
    somewhere_worse = (by_variant == WORSE).any(0)
    is_better = somewhere_better & never_worse

    words = np.full(by_variant.shape[1:], OPEN, dtype=object)
    words[somewhere_better | somewhere_worse] = DEPENDS
    words[(by_variant == EQUAL).all(0)] = EQUAL
    words[is_better] = BETTER
    words[is_better.T] = WORSE
    words[(by_variant == "").all(0)] = ""
    return words


def leads(
    ours: Int[np.ndarray, "ours"],
    blind: Int[np.ndarray, "control"],
    words: Words,
    p_worse: Float[np.ndarray, "group group"],
) -> Bool[np.ndarray, "group"]:
    """Return which groups lead.

    A group must be shown against each other one, so that no correction for many groups is due.

    Args:
        ours: groups with a method.
        blind: groups with a control that looks neither at the network nor at a truth.
        words: what is said of each two groups.
        p_worse: p values of "the first is worse by the margin or more".
    """
    is_method = np.isin(np.arange(len(words)), ours)
    is_first = (p_worse[:, ours] < LEVEL).all(1)
    is_better = words == BETTER
    stands_out = is_better[:, blind].all(1) if len(blind) else is_better[:, ours].any(1)
    return is_method & is_first & stands_out


# --- tables ---------------------------------------------------------------------------------------


def tables(found: Scored, said: Answer) -> dict[str, pd.DataFrame]:
    """Return the tables `headline`, `headline_variants` and `headline_pairs` of one network."""
    place = dict(zip(PLACE, found.average.place, strict=True))
    return {
        "headline": _methods(found, said).assign(**place)[list(HEADLINE)],
        "headline_variants": _variants(found, said).assign(**place)[list(HEADLINE_VARIANTS)],
        "headline_pairs": _pairs(found, said).assign(**place)[list(HEADLINE_PAIRS)],
    }


def _methods(found: Scored, said: Answer) -> pd.DataFrame:
    """Return one row for each method and control."""
    block = found.average
    under = np.stack([places(each) for each in found.under.values()])
    labels = [block.label(group) for group in range(block.n_groups)]
    beaten_by = [[labels[rival] for rival in rivals] for rivals in said.beaten_by]

    rows = intervals(block).rename(columns={"mean": "score"})
    answers = [word_of(bool(said.leads[group]), beaten_by[group]) for group in block.group]
    return rows.assign(
        place=places(block),
        place_best=under.min(0),
        place_worst=under.max(0),
        n_variants=len(found.under),
        is_control=block.is_control,
        answer=np.where(block.is_control, "", answers),
        beaten_by=[", ".join(beaten_by[group]) for group in block.group],
    )


def word_of(is_leader: bool, beaten_by: Sequence[str]) -> str:
    """Return the word for a method: it leads, is beaten, or no method is better."""
    if is_leader:
        return LEADS
    return BEATEN if beaten_by else UNBEATEN


def _variants(found: Scored, said: Answer) -> pd.DataFrame:
    """Return one row for each variant and method."""
    frames = []
    for (fill, output), block, leading in zip(
        found.under, found.under.values(), said.leads_under, strict=True
    ):
        rows = intervals(block).assign(fill=fill, output=output, place=places(block))
        is_leader = leading[block.group] & ~block.is_control
        frames.append(rows.assign(leads=is_leader, is_control=block.is_control))
    return pd.concat(frames, ignore_index=True)


def _pairs(found: Scored, said: Answer) -> pd.DataFrame:
    """Return one row for each two methods, and for each method and control (then `other`)."""
    block = found.average
    names = [variant_name(*variant) for variant in found.under]
    is_better = said.by_variant == BETTER
    is_worse = said.by_variant == WORSE

    rows: list[dict[str, Any]] = []
    for first, second in pairs_of(block):
        at = (block.group[first], block.group[second])
        better_under = [names[variant] for variant in np.flatnonzero(is_better[:, *at])]
        worse_under = [names[variant] for variant in np.flatnonzero(is_worse[:, *at])]

        row: dict[str, Any] = {"method": block.methods[first], "other": block.methods[second]}
        row |= {"verdict": said.words[at], "is_control": bool(block.is_control[second])}
        row |= {"better_under": "; ".join(better_under)}
        row |= {"worse_under": "; ".join(worse_under)}
        rows.append(row)
    return pd.DataFrame(rows, columns=[name for name in HEADLINE_PAIRS if name not in PLACE])


def pairs_of(block: Units) -> list[tuple[int, int]]:
    """Return each two methods, and each method and control."""
    plain = np.flatnonzero(~block.is_control).tolist()
    controls = np.flatnonzero(block.is_control).tolist()
    rows = list(combinations(plain, 2))
    return rows + [(method, control) for method in plain for control in controls]


def variant_name(fill: str, output: str) -> str:
    """Return how a variant is called: "blur (logit)"; nothing for the only one of a metric."""
    return f"{fill} ({output})" if fill else ""
