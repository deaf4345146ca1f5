"""Shares of every network → tables, figures and the page on how interactions differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.statistics.seeds import difference
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.interactions import contrasts
from gpex_bench.studies.interactions.contrasts import CHOICES, NOT_SIGNIFICANT, PAIRS, SCORES
from gpex_bench.studies.interactions.figure import draw_shares
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import ordered, records

LABELS = {"interaction": "interaction share", "background": "background's share"}


def answer(shares: pd.DataFrame, accuracies: pd.DataFrame, plan: Interactions) -> Answer:
    """Return how interactions differ between networks.

    Args:
        shares: frames of `measure.decompose` with dataset, model and seed in front.
        accuracies: dataset, model, seed, test_accuracy, attacked_accuracy, attack_radius,
            n_attacked.
        plan: of the study.
    """
    table = contrasts.summarise(shares)
    changes = contrasts.compare_networks(shares, plan.ladder, plan.twins)
    choices = contrasts.compare_choices(shares, plan.ladder, plan.twins)
    networks = summarise_networks(shares, accuracies)

    drawings: dict[str, Drawing] = {}
    datasets = []
    for dataset, own_networks in networks.groupby("dataset", sort=False):
        stem = str(dataset)
        means = table[table["dataset"] == dataset]
        drawings[stem] = draw_shares(means[means["score"] != PAIRS], own_networks)

        own_changes = changes[changes["dataset"] == dataset]
        comparisons = count_changes(own_changes, choices[choices["dataset"] == dataset])
        own_accuracies = accuracies[accuracies["dataset"] == dataset]
        datasets.append(
            {
                "dataset": stem,
                "comparisons": comparisons,
                "changed": [row for row in comparisons if row["n_changed"]],
                "networks": _network_rows(own_networks, means),
                "gap": own_networks["test_accuracy"].max() - own_networks["test_accuracy"].min(),
                "robustness": compare_robustness(own_accuracies, plan.twins),
                "spreads": compare_spreads(means),
            }
        )

    return Answer(
        table=ordered(table),
        tables={
            "changes": ordered(changes),
            "choices": ordered(choices),
            "networks": ordered(networks),
        },
        drawings=drawings,
        sentences=page(
            "interactions",
            plan=plan,
            datasets=datasets,
            n_seeds=shares["seed"].nunique(),
            n_combinations=len(plan.outputs) * len(plan.fills) * len(plan.masks),
            equally_sure=contrasts.EQUALLY_SURE,
        ),
    )


def summarise_networks(shares: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return how good every network is.

    Accuracies over the seeds on all test images and under attack, and the mean probability of the
    label on the images that are compared.
    """
    place = ["dataset", "model"]
    by_network = accuracies.groupby(place, sort=False)

    plain = by_network["test_accuracy"]
    frame = plain.agg(test_accuracy="mean", lowest="min", highest="max")

    attacked = by_network["attacked_accuracy"]
    of_attack = attacked.agg(
        attacked_accuracy="mean",
        attacked_lowest="min",
        attacked_highest="max",
    )
    frame = frame.join(of_attack)
    frame = frame.join(by_network[["attack_radius", "n_attacked"]].first())

    frame["probability"] = shares.groupby(place)["probability"].mean()
    frame["n_images"] = shares.groupby(place)["sample"].nunique()
    return frame.reset_index()


def count_changes(changes: pd.DataFrame, choices: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each score and question of a dataset, under which combinations shares change.

    Args:
        changes: of one dataset, as `contrasts.compare_networks` makes it.
        choices: of the same dataset, as `contrasts.compare_choices` makes it.

    Returns:
        up, down and unclear (names of combinations), their number `n`, how many slopes are above 0
        (`n_above`), the smallest and the largest slope, what the slope depends on, and how many
        changes hold among images of equal certainty.
    """
    rows = []
    for (score, question), part in changes.groupby(["score", "question"], sort=False):
        slopes = part["slope_per_step"].dropna()
        own = (choices["score"] == score) & (choices["question"] == question)

        counted = {
            "question": question,
            "label": LABELS[str(score)],
            "n": len(part),
            "up": _combinations(part[part["change"] == "up"]),
            "down": _combinations(part[part["change"] == "down"]),
            "unclear": _combinations(part[part["change"] == NOT_SIGNIFICANT]),
            "is_known": bool(len(slopes)),
            "n_above": int((slopes > 0).sum()),
            "least": slopes.min(),
            "most": slopes.max(),
            "depends": records(choices[own & choices["depends"]]),
        }
        rows.append(counted | _count_kept(part))
    return rows


def compare_robustness(
    accuracies: pd.DataFrame, twins: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Return whether robust twins withstand more than plain ones: a t test over the seeds.

    Args:
        accuracies: of one dataset: model, seed, attacked_accuracy, attack_radius.
        twins: pairs of a robust model and its plain twin.

    Returns:
        One record for each pair; none where nothing was attacked.
    """
    if not accuracies["attack_radius"].max() > 0:
        return []
    by_seed = accuracies.pivot(index="seed", columns="model", values="attacked_accuracy")

    rows = []
    for robust, plain in twins:
        gap = difference(by_seed[robust], by_seed[plain])
        rows.append(
            {
                "robust": robust,
                "plain": plain,
                "mean": gap.mean,
                "low": gap.low,
                "high": gap.high,
                "has_interval": gap.n_seeds > 1,
                "is_more_robust": gap.mean > 0 and gap.p_value < LEVEL,
            }
        )
    return rows


def compare_spreads(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how far combinations move a network's share, and how far networks are apart.

    Both are medians: over the networks, and over the combinations.
    """
    rows = []
    for score in SCORES:
        own = table[table["score"] == score]
        means = own.pivot_table(index="model", columns=list(CHOICES), values="mean", sort=False)
        if means.empty:
            continue

        between_combinations = means.max(axis=1) - means.min(axis=1)
        between_networks = means.max() - means.min()
        rows.append(
            {
                "label": LABELS[score],
                "between_combinations": between_combinations.median(),
                "between_networks": between_networks.median(),
            }
        )
    return rows


def _combinations(rows: pd.DataFrame) -> list[str]:
    """Return the combinations of these rows, as they are called on the page."""
    return [", ".join(names) for names in rows[list(CHOICES)].to_numpy().tolist()]


def _count_kept(rows: pd.DataFrame) -> dict[str, Any]:
    """Return how many changes hold among images of which the networks are equally sure.

    A change holds if its direction is the same there, with an interval without 0.
    """
    changed = rows[rows["change"] != NOT_SIGNIFICANT]
    matched = changed[changed["n_matched"] >= 2]
    is_up = matched["slope_per_step"] > 0
    is_kept = np.where(is_up, matched["matched_low"] > 0, matched["matched_high"] < 0)
    return {
        "n_changed": len(changed),
        "n_kept": int(is_kept.sum()),
        "fewest_matched": changed["n_matched"].min(),
        "most_matched": changed["n_matched"].max(),
    }


def _network_rows(networks: pd.DataFrame, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the networks of a dataset, with the range of each share over the combinations."""
    rows = []
    for network in records(networks):
        own = table[table["model"] == network["model"]]
        for score in (*SCORES, PAIRS):
            means = own.loc[own["score"] == score, "mean"]
            network |= {f"{score}_least": means.min(), f"{score}_most": means.max()}
        rows.append(network)
    return rows
