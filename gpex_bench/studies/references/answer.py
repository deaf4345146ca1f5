"""Scores under every fill → what a shared fill is worth, and which order holds under all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gpex_bench.statistics import headline
from gpex_bench.statistics.intervals import t_interval
from gpex_bench.statistics.units import Scale, units
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.references.agreement import agreement
from gpex_bench.studies.references.figure import draw_consistency, draw_references
from gpex_bench.studies.references.plan import SHARED, References
from gpex_bench.tables.columns import NETWORK, PLACE
from gpex_bench.tables.order import groups
from gpex_bench.tables.words import BETTER, DEPENDS, LEADS

CONTROL = "random_map"


def answer(scores: pd.DataFrame, plausible: pd.DataFrame, plan: References) -> Answer:
    """Return what a fill is worth that explainer and metric share.

    Args:
        scores: of all networks, seeds and methods, under every fill and output.
        plausible: how plausible each fill is, for each network, seed and sample.
        plan: the study.
    """
    table = _with_families(means(scores, [*PLACE, "method", "relative_to", "fill", "output"]), plan)
    gains = pd.concat([gain(scores, name, plan) for name in plan.families], ignore_index=True)
    consistency = pd.concat(
        [_consistency(part, place, plan) for place, part in groups(scores, [*NETWORK, "output"])],
        ignore_index=True,
    )
    plausibility = means(
        plausible.rename(columns={"plausibility": "score"}), [*NETWORK, "fill", "shows"]
    ).sort_values("mean", ascending=False, ignore_index=True)
    through = [through_headline(scores, name, plan) for name in plan.families]
    places = pd.concat([one["headline"] for one in through], ignore_index=True)
    verdicts = pd.concat([one["headline_pairs"] for one in through], ignore_index=True)

    in_probability = gains[gains["output"] == "probability"]
    shown = table[table["metric"].eq("srg") & table["output"].eq("probability")]
    return Answer(
        table=table,
        tables={
            "gains": gains,
            "agreement": consistency,
            "plausibility": plausibility,
            "headline": places,
            "headline_pairs": verdicts,
        },
        drawings={
            "figure": draw_references(shown, plan),
            "consistency": draw_consistency(consistency),
        },
        sentences=page(
            "references",
            plan=plan,
            networks=[f"{model} on {dataset}" for dataset, model in _networks(scores)],
            n_samples=scores["sample"].nunique(),
            n_seeds=scores["seed"].nunique(),
            gains=in_probability,
            n_raised=in_probability[in_probability["metric"] == "srg"]["verdict"]
            .eq("raises")
            .sum(),
            consistency=consistency,
            plausibility=plausibility,
            verdicts=_counted(verdicts),
            leaders=places[places["answer"] == LEADS],
        ),
    )


def means(scores: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return mean and 95 % interval over samples; training seeds are averaged first.

    Student's t. All groups have the same samples; a single one has no interval.
    """
    by_sample = scores.groupby([*keys, "sample"], sort=False)["score"].mean()
    grouped = by_sample.groupby(list(keys), sort=False)
    found = grouped.agg(["mean", "sem", "size"]).reset_index()
    degrees = max(1, int(found["size"].min()) - 1)
    ends = t_interval(found["mean"].to_numpy(), found["sem"].to_numpy(), degrees)
    found["low"], found["high"] = ends
    return found[[*keys, "mean", "low", "high"]]


def gain(scores: pd.DataFrame, family: str, plan: References) -> pd.DataFrame:
    """Return by how much a shared fill raises the score of a family's methods.

    Each reference is scored under the fill of every other one: the mean score where reference and
    fill are the same, minus the mean where they are not. What a reference or a fill does by itself
    is in both. Logits are in shares of how far the fill moves them.
    """
    own = scores[scores["method"].isin(plan.families[family])]
    own = own.assign(shared=own["relative_to"].map(SHARED))
    fills = set(own["fill"]) & set(own["shared"])
    square = own[own["fill"].isin(fills) & own["shared"].isin(fills)]

    parts = []
    for place, part in groups(square, [*PLACE, "output"]):
        part = headline.in_shares(part)
        is_shared = part["fill"] == part["shared"]
        both = pd.concat([part[is_shared].assign(sign=1), part[~is_shared].assign(sign=-1)])
        by_sample = both.groupby(["sample", "sign"])["score"].mean()
        signed = by_sample * by_sample.index.get_level_values("sign")
        difference = signed.groupby("sample").sum().rename("score").reset_index()

        row = means(difference.assign(family=family, n_references=len(fills)), ["family"])
        for name, key in zip((*PLACE, "output"), place, strict=True):
            row[name] = key
        parts.append(row.assign(n_references=len(fills)))
    found = pd.concat(parts, ignore_index=True)
    verdict = np.select([found["low"] > 0, found["high"] < 0], ["raises", "lowers"], "not shown")
    return found.assign(verdict=verdict)


def through_headline(
    scores: pd.DataFrame, family: str, plan: References
) -> dict[str, pd.DataFrame]:
    """Return the tables `headline` and `headline_pairs` of the references of a family.

    The control is compared too: a leader has to be better than what looks at nothing.
    """
    names = [*plan.families[family], CONTROL]
    parts: dict[str, list[pd.DataFrame]] = {"headline": [], "headline_pairs": []}
    for place, part in groups(scores[scores["method"].isin(names)], PLACE):
        main = part[part["fill"].eq("baseline") & part["output"].eq("probability")]
        scale = Scale(higher_is_better=True, width=2.0)
        (plain,) = units(main, {place[2]: scale}, [CONTROL])
        found = headline.scored(plain, part)

        tables = headline.tables(found, headline.answer_of(found, [CONTROL]))
        for name, rows in parts.items():
            table = tables[name]
            ours = table[~table["is_control"].astype(bool)]
            rows.append(ours.drop(columns="is_control").assign(family=family))
    return {name: pd.concat(rows, ignore_index=True) for name, rows in parts.items()}


# --- what the page shows ---


def _with_families(table: pd.DataFrame, plan: References) -> pd.DataFrame:
    """Return the table with the family of each method, and whether it shares the fill."""
    family_of = {name: family for family, names in plan.families.items() for name in names}
    shared = table["relative_to"].map(SHARED) == table["fill"]
    table = table.assign(is_shared=shared)
    table.insert(3, "family", table["method"].map(family_of).fillna(""))
    return table


def _consistency(scores: pd.DataFrame, place: tuple[str, ...], plan: References) -> pd.DataFrame:
    """Return how far fills agree, on the source's kinds of methods and on all references."""
    every = [name for names in plan.families.values() for name in names]
    sets = {"kinds of the source": plan.source_methods, "references": tuple(every)}
    frames = []
    for name, methods in sets.items():
        rows = agreement(scores, methods, plan.resamples)
        frames.append(rows.assign(methods=name, n_methods=len(methods)))
    table = pd.concat(frames, ignore_index=True)
    for column, key in zip((*NETWORK, "output"), place, strict=True):
        table.insert(0, column, key)
    return table


def _counted(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return how many pairs of references there are of each family, and what is said of them."""
    by_family = verdicts.groupby([*PLACE, "family"], sort=False)["verdict"]
    found = by_family.value_counts().unstack(fill_value=0)
    return found.reindex(columns=_words(verdicts), fill_value=0).reset_index()


def _words(verdicts: pd.DataFrame) -> list[str]:
    first = [BETTER, DEPENDS]
    return [*first, *sorted(set(verdicts["verdict"]) - set(first))]


def _networks(scores: pd.DataFrame) -> list[tuple[str, str]]:
    pairs = scores[list(NETWORK)].drop_duplicates()
    return list(pairs.itertuples(index=False, name=None))
