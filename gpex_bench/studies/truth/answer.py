"""Agreement with planted truth → which faithfulness scores agree best, and the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.truth.agreement import MEAN, TABLE, agree, compare, with_variants
from gpex_bench.studies.truth.figure import agreement_dots
from gpex_bench.studies.truth.plan import TruthStudy
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import Record, groups, ordered


def answer(  # noqa: PLR0913 - keyword-only
    scores: pd.DataFrame,
    variant_scores: pd.DataFrame,
    used: pd.DataFrame,
    *,
    cards: Mapping[str, Sequence[Record]],
    images: Collection[str],
    plan: TruthStudy,
) -> Answer:
    """Answer which scores agree with planted truth.

    Args:
        scores: of the run.
        variant_scores: the same under every fill and output.
        used: dataset, model, seed and the columns `measure.USED`.
        cards: what is known about the "methods" and "metrics" of the run.
        images: the datasets that hold images; the others are tables.
        plan: the study.
    """
    every, metrics = with_variants(scores, variant_scores, cards["metrics"])
    agreement, taus = agree(every, cards["methods"], metrics)
    networks = what_is_used(used, plan.holds)

    # planted evidence is no truth about a network that uses something else
    holding = networks[networks["holds"]]
    counted = list(holding[list(NETWORK)].drop_duplicates().itertuples(index=False, name=None))
    scopes = {
        "images": [network for network in counted if network[0] in images],
        "tables": [network for network in counted if network[0] not in images],
    }
    tables = [
        compare(scope, taus, agreement, there) for scope, there in scopes.items() if len(there)
    ]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(TABLE))
    return Answer(
        table=table,
        tables={"agreement": ordered(agreement), "networks": networks},
        drawings={"figure": agreement_dots(table, _dots(agreement, scopes))},
        sentences=page(
            "truth",
            plan=plan,
            leading=leading(table),
            table=table,
            networks=networks,
            run=_counts(scores, agreement),
        ),
    )


def what_is_used(used: pd.DataFrame, holds: float) -> pd.DataFrame:
    """Return a row for each network and intervention: means over trainings, and `holds`.

    The truth holds for a network if the interventions that change what the mask marks have at least
    this share of the drop, under every training.
    """
    parts = []
    for _, part in groups(used, NETWORK):
        planted = part[part["is_planted"]].groupby("seed")["share"].sum()
        means = part.groupby(["thing", "is_planted"], sort=False)[["drop", "share", "accuracy"]]
        rows = means.mean().reset_index()
        rows.insert(0, "model", part["model"].iloc[0])
        rows.insert(0, "dataset", part["dataset"].iloc[0])
        rows["least_accuracy"] = part["accuracy"].min()
        rows["planted_share"] = planted.min()
        rows["holds"] = bool(planted.min() >= holds)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def leading(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the answer of each scope: its top score, and how many others may be the best."""
    found = []
    for scope, part in table.groupby("scope", sort=False):
        top = part.iloc[0]
        others = part["score"].iloc[1:][part["may_be_best"].iloc[1:]]
        entries = {"n_networks": top["n_networks"], "n_scores": len(part)}
        found.append({"scope": scope, "top": top.to_dict(), "others": others.tolist(), **entries})
    return found


def _dots(agreement: pd.DataFrame, scopes: Mapping[str, Sequence[tuple[str, str]]]) -> pd.DataFrame:
    """Return scope, dataset, score and tau: the mean over the truth metrics on each dataset."""
    scope_of = {network: scope for scope, networks in scopes.items() for network in networks}
    means = agreement[agreement["truth"] == MEAN]
    placed = means.assign(scope=means[list(NETWORK)].apply(tuple, axis=1).map(scope_of))
    columns = ["scope", "dataset", "score"]
    return placed.dropna(subset="scope").groupby(columns)["tau"].mean().reset_index()


def _counts(scores: pd.DataFrame, agreement: pd.DataFrame) -> dict[str, Any]:
    """Return how much was measured."""
    methods = agreement.groupby(list(NETWORK))["n_methods"].first()
    return {
        "seeds": scores["seed"].nunique(),
        "samples": int(scores.groupby(["dataset", "seed"])["sample"].nunique().min()),
        "least_methods": int(methods.min()),
        "most_methods": int(methods.max()),
        "truths": sorted(set(agreement["truth"]) - {MEAN}),
    }
