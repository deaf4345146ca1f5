"""Shares of every network → tables, figures and sentences on how interactions differ between architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.statistics.seeds import Difference, difference
from gpex_bench.studies.answer import Answer
from gpex_bench.studies.interactions import contrasts
from gpex_bench.studies.interactions.contrasts import CHOICES, PAIRS, SCORES
from gpex_bench.studies.interactions.figure import share_rows
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import ordered, records
from gpex_bench.tables.words import number

WORDS = {"interaction": "interaction share", "background": "background's share"}
PROTOCOL = (
    "Our reconstruction (anonymous2022sbsa): the object that the data were planted with, and all else, are cut into "
    "{parts} regions each. The interaction share of an image is 1 minus the sum of the first-order Sobol indices of "
    "the regions, the background's share its part of the sum of the total indices. The slope per step is Theil-Sen's, "
    "of each image and training seed. A change is told where both paired tests of these slopes agree at the 5 % level: "
    "over the images (Wilcoxon's), after Holm's correction for the {choices} combinations, and over the {seeds} "
    "training seeds (t test, not corrected); with so few seeds 'not told' does not mean 'equal'. A slope depends on a "
    "choice where the paired difference between two of its options is told over the images (Wilcoxon's test, Holm's "
    "correction), which is about these trained networks. Binary masks are exact; continuous ones are sampled with "
    "{points} base points an image, and their intervals are the wider for it. "
    "Written by rule from table.csv, changes.csv, choices.csv and networks.csv."
)


def interactions(shares: pd.DataFrame, accuracies: pd.DataFrame, plan: Interactions) -> Answer:
    """Return what all networks together say.

    Args:
        shares: frames of `decompose` with dataset, model and seed in front.
        accuracies: dataset, model, seed, test_accuracy, attacked_accuracy, attack_radius, n_attacked.
        plan: of the experiment.
    """
    table, networks = contrasts.summary(shares), _networks(shares, accuracies)
    changes, choices = (
        ask(shares, plan.ladder, plan.twins) for ask in (contrasts.compared, contrasts.dependence)
    )
    drawings: dict[str, Drawing] = {}
    said: list[str] = []
    for dataset, own in networks.groupby("dataset", sort=False):
        means = table[table["dataset"] == dataset]
        drawings[str(dataset)] = share_rows(means[means["score"] != PAIRS], own)
        said += [
            _about(str(dataset), own),
            _robust(own, accuracies[accuracies["dataset"] == dataset], plan),
        ]
        said += [*_answers(str(dataset), changes[changes["dataset"] == dataset], choices)]
        said += [_spread(str(dataset), means), _pairs(str(dataset), means)]
    how = PROTOCOL.format(
        parts=plan.sides**2,
        choices=len(plan.outputs) * len(plan.fills) * len(plan.masks),
        seeds=shares["seed"].nunique(),
        points=plan.points,
    )
    others = {"changes": changes, "choices": choices, "networks": networks}
    return Answer(
        table=ordered(table),
        tables={name: ordered(part) for name, part in others.items()},
        drawings=drawings,
        sentences="\n\n".join(filter(None, [*said, how])) + "\n",
    )


def _networks(shares: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies over the seeds (on all test images; under attack), and the mean probability of the label."""
    place = ["dataset", "model"]
    by_network = accuracies.groupby(place, sort=False)
    frame = by_network["test_accuracy"].agg(test_accuracy="mean", lowest="min", highest="max")
    under = by_network["attacked_accuracy"].agg(
        attacked_accuracy="mean", attacked_lowest="min", attacked_highest="max"
    )
    frame = frame.join(under).join(by_network[["attack_radius", "n_attacked"]].first())
    frame["probability"] = shares.groupby(place)["probability"].mean()
    frame["n_images"] = shares.groupby(place)["sample"].nunique()
    return frame.reset_index()


def _about(dataset: str, networks: pd.DataFrame) -> str:
    """Say which images are compared, and how good the networks are: a difference of that kind is a confound."""
    each = ", ".join(
        f"{row['model']} {100 * row['test_accuracy']:.1f} % (lowest seed {100 * row['lowest']:.1f} %; "
        f"{number(row['probability'])})"
        for row in records(networks)
    )
    gap = networks["test_accuracy"].max() - networks["test_accuracy"].min()
    return (
        f"{dataset}: compared are the first {networks['n_images'].max()} test images that all networks classify "
        "correctly with every seed. Test accuracy (lowest seed; mean probability of the label on these images): "
        f"{each}. The accuracies differ by up to {100 * gap:.1f} points; how sure a network is moves its shares, so "
        "that changes are also given for images of which the compared networks are about equally sure."
    )


def _robust(networks: pd.DataFrame, accuracies: pd.DataFrame, plan: Interactions) -> str:
    """Say how much of the accuracy is left under attack, and whether the twins withstand more."""
    radius, n_attacked = networks["attack_radius"].max(), networks["n_attacked"].max()
    if not radius > 0:
        return ""
    each = ", ".join(
        f"{row['model']} {100 * row['attacked_accuracy']:.1f} % (lowest seed {100 * row['attacked_lowest']:.1f} %)"
        for row in records(networks)
    )
    dataset = networks["dataset"].iloc[0]
    parts = [
        f"{dataset}: accuracy on the first {n_attacked} test images under attack (projected gradient ascent, 10 steps, "
        f"each entry by at most {radius:g}): {each}."
    ]
    of = accuracies.pivot(index="seed", columns="model", values="attacked_accuracy")
    return " ".join(
        [
            *parts,
            *(_withstands(own, plain, difference(of[own], of[plain])) for own, plain in plan.twins),
        ]
    )


def _withstands(own: str, plain: str, gap: Difference) -> str:
    """Say whether a twin is more robust than its plain one: only then is their comparison about robustness."""
    ends = f", {100 * gap.low:.1f} to {100 * gap.high:.1f}" if gap.n_seeds > 1 else ""
    measured = f"(difference {100 * gap.mean:.1f} points{ends}; t test over the seeds)"
    if gap.mean > 0 and gap.p_value < LEVEL:
        return f"{own} withstands more than {plain} {measured}."
    return f"That {own} withstands more than {plain} is not told {measured}: comparing them is no test of robustness."


def _answers(dataset: str, changes: pd.DataFrame, choices: pd.DataFrame) -> list[str]:
    """Return one sentence for each score and question."""
    said = []
    for (score, question), rows in changes.groupby(["score", "question"], sort=False):
        by = {change: [_name(row) for row in part] for change, part in _grouped(rows).items()}
        n = len(rows)
        counts = [
            f"{words} under {'all' if len(names) == n else f'{len(names)} of'} {n} combinations"
            + (f" ({'; '.join(names)})" if len(names) < n else "")
            for change, words in (
                ("up", "rises"),
                ("down", "falls"),
                ("not told", "shows no clear change"),
            )
            if (names := by.get(change))
        ]
        steps = rows["slope_per_step"].dropna()
        least, most = number(steps.min()), number(steps.max())
        reach = f"slope per step from {least} to {most}" if len(steps) else "nothing to compare"
        lead = f"{dataset}, {question}: the {WORDS[str(score)]}"
        asked = pd.Series((dataset, score, question), index=contrasts.QUESTION)
        own = choices[choices[list(contrasts.QUESTION)].eq(asked).all(axis=1)]
        said.append(f"{lead} {', '.join(counts)}; {reach}{_depends(own)}. {_matched(rows)}")
    return said


def _grouped(rows: pd.DataFrame) -> Mapping[str, list[dict[str, Any]]]:
    """Return the rows of each kind of change."""
    return {str(change): records(part) for change, part in rows.groupby("change", sort=False)}


def _name(row: Mapping[str, Any]) -> str:
    """Return a combination as it is called in a sentence."""
    return ", ".join(str(row[choice]) for choice in CHOICES)


def _depends(choices: pd.DataFrame) -> str:
    """Say on which choices the slope depends: where two options of one differ, image by image."""
    if choices.empty:
        return ""
    told = choices[choices["depends"]]
    each = [
        f"the {row['choice']} ({row['second']} minus {row['first']} {number(row['difference'])}, "
        f"{number(row['low'])} to {number(row['high'])})"
        for row in records(told)
    ]
    if each:
        return f"; it depends on {' and on '.join(each)}"
    return f"; that it depends on {', '.join(CHOICES[:-1])} or {CHOICES[-1]} is not told"


def _matched(rows: pd.DataFrame) -> str:
    """Say whether the changes that were told are there among images of which the networks are equally sure."""
    told = rows[rows["change"] != "not told"]
    if told.empty:
        return "No change was told, so there is none to check on images of equal certainty."
    enough = told[told["n_matched"] >= 2]
    keeps = np.where(
        enough["slope_per_step"] > 0, enough["matched_low"] > 0, enough["matched_high"] < 0
    )
    n_same = int(keeps.sum())
    few, many = told["n_matched"].min(), told["n_matched"].max()
    counted = f"{few}" if few == many else f"{few} to {many}"
    return (
        f"Among the {counted} images on which the networks' probabilities differ by at most "
        f"{contrasts.EQUALLY_SURE:g}, {n_same} of these {len(told)} changes keep{'s' if n_same == 1 else ''} "
        "direction and an interval without 0."
    )


def _spread(dataset: str, table: pd.DataFrame) -> str:
    """Say how far the choices move a network's number, beside how far the networks lie apart."""
    said = []
    for score in SCORES:
        means = table[table["score"] == score].pivot_table(
            index="model", columns=list(CHOICES), values="mean", sort=False
        )
        if means.empty:
            continue
        across = (means.max(axis=1) - means.min(axis=1)).median()
        apart = (means.max() - means.min()).median()
        said.append(
            f"the {WORDS[score]} of one network moves by {number(across)} between combinations, and under one "
            f"combination the networks lie {number(apart)} apart (medians)"
        )
    return f"{dataset}: {'; '.join(said)}."


def _pairs(dataset: str, table: pd.DataFrame) -> str:
    """Say how much of the variance is due to pairs of a region of the object and one of the background."""
    rows = table[table["score"] == PAIRS]
    if rows.empty:
        return ""
    each = ", ".join(
        f"{model} {number(part['mean'].min())} to {number(part['mean'].max())}"
        for model, part in rows.groupby("model", sort=False)
    )
    return (
        f"{dataset}: what a region of the object and one of the background do only together has this share of the "
        f"variance, summed over these pairs (exact second-order indices of binary masks, over their "
        f"{len(rows[['output', 'fill']].drop_duplicates())} combinations): {each}."
    )
