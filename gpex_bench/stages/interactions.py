"""Shares of every network → tables, figures and sentences on how interactions differ between architectures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench import contrasts
from gpex_bench.contrasts import CHOICES, SCORES
from gpex_bench.frames import number, records
from gpex_bench.interactions.plan import Plan
from gpex_bench.plots import Drawing
from gpex_bench.plots.interactions import share_rows

WORDS = {"interaction": "interaction share", "background": "background's share"}
PROTOCOL = (
    "Our reconstruction (anonymous2022sbsa): the object that the data were planted with, and all else, are cut into "
    "{parts} regions each. The interaction share of an image is 1 minus the sum of the first-order Sobol indices of "
    "the regions, the background's share its part of the sum of the total indices. A change is told where both paired "
    "tests agree at the 5 % level: over the images (Wilcoxon's), after Holm's correction for the {choices} "
    "combinations, and over the {seeds} training seeds (t test, not corrected); with so few seeds 'not told' does not "
    "mean 'equal', and that one combination tells a change and another does not is no evidence that they differ. "
    "Binary masks are exact; continuous ones are sampled with {points} base points an image, and their intervals are "
    "the wider for it. "
    "Written by rule from table.csv, changes.csv and networks.csv."
)


@dataclass(frozen=True)
class Found:
    """What the experiment found."""

    table: pd.DataFrame  # one row per network, score and combination
    changes: pd.DataFrame  # one row per question and combination
    networks: pd.DataFrame  # accuracy of each network, and how sure it is
    drawings: dict[str, Drawing]  # by dataset
    sentences: str


def interactions(shares: pd.DataFrame, accuracies: pd.DataFrame, plan: Plan) -> Found:
    """Return what all networks together say.

    Args:
        shares: frames of `decompose` with dataset, model and seed in front.
        accuracies: dataset, model, seed, test_accuracy.
        plan: of the experiment.
    """
    table, networks = contrasts.summary(shares), _networks(shares, accuracies)
    changes = contrasts.compared(shares, plan.ladder, plan.twins)
    drawings, said = {}, []
    for dataset, own in networks.groupby("dataset", sort=False):
        drawings[str(dataset)] = share_rows(table[table["dataset"] == dataset], own)
        said += [_about(str(dataset), own), *_answers(str(dataset), changes[changes["dataset"] == dataset])]
        said.append(_spread(str(dataset), table[table["dataset"] == dataset]))
    how = PROTOCOL.format(
        parts=plan.sides**2,
        choices=len(plan.outputs) * len(plan.fills) * len(plan.masks),
        seeds=shares["seed"].nunique(),
        points=plan.points,
    )
    return Found(table, changes, networks, drawings, "\n\n".join([*said, how]) + "\n")


def _networks(shares: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy on the whole test split, over seeds, and the mean probability of the label on these images."""
    place = ["dataset", "model"]
    frame = accuracies.groupby(place, sort=False)["test_accuracy"].agg(["mean", "min", "max"])
    frame.columns = pd.Index(["test_accuracy", "lowest", "highest"])
    frame["probability"] = shares.groupby(place)["probability"].mean()
    frame["n_images"] = shares.groupby(place)["sample"].nunique()
    return frame.reset_index()


def _about(dataset: str, networks: pd.DataFrame) -> str:
    """Say which images are compared, and how good the networks are: a difference of that kind is a confound."""
    each = ", ".join(
        f"{row['model']} {100 * row['test_accuracy']:.1f} % ({number(row['probability'])})" for row in records(networks)
    )
    gap = networks["test_accuracy"].max() - networks["test_accuracy"].min()
    return (
        f"{dataset}: compared are the first {networks['n_images'].max()} test images that all networks classify "
        f"correctly with every seed. Test accuracy (and mean probability of the label on these images): {each}. "
        f"The accuracies differ by up to {100 * gap:.1f} points; how sure a network is moves its shares, so that "
        "changes are also given for images of which the compared networks are about equally sure."
    )


def _answers(dataset: str, changes: pd.DataFrame) -> list[str]:
    """Return one sentence for each score and question."""
    said = []
    for (score, question), rows in changes.groupby(["score", "question"], sort=False):
        by = {change: [_name(row) for row in part] for change, part in _grouped(rows).items()}
        n = len(rows)
        counts = [
            f"{words} under {'all' if len(names) == n else f'{len(names)} of'} {n} combinations"
            + (f" ({'; '.join(names)})" if len(names) < n else "")
            for change, words in (("up", "rises"), ("down", "falls"), ("not told", "shows no clear change"))
            if (names := by.get(change))
        ]
        steps = rows["mean"].dropna()
        reach = f"mean step from {number(steps.min())} to {number(steps.max())}" if len(steps) else "nothing to compare"
        lead = f"{dataset}, {question}: the {WORDS[str(score)]}"
        said.append(f"{lead} {', '.join(counts)}; {reach}{_depends(rows)}. {_matched(rows)}")
    return said


def _grouped(rows: pd.DataFrame) -> Mapping[str, list[dict[str, Any]]]:
    """Return the rows of each kind of change."""
    return {str(change): records(part) for change, part in rows.groupby("change", sort=False)}


def _name(row: Mapping[str, Any]) -> str:
    """Return a combination as it is called in a sentence."""
    return ", ".join(str(row[choice]) for choice in CHOICES)


def _depends(rows: pd.DataFrame) -> str:
    """Say which choices decide the answer: those that change it while the others stay."""
    if rows["change"].nunique() < 2:
        return ""
    turns, hides = [], []
    for choice in CHOICES:
        others = [other for other in CHOICES if other != choice]
        kinds = [set(part["change"]) for _, part in rows.groupby(others)]
        if any({"up", "down"} <= kind for kind in kinds):
            turns.append(choice)
        elif any(len(kind) > 1 for kind in kinds):
            hides.append(choice)
    parts = [
        f"{what} the {' and the '.join(names)}"
        for what, names in (("its direction depends on", turns), ("whether it can be told depends on", hides))
        if names
    ]
    return f"; {', '.join(parts)}" if parts else ""


def _matched(rows: pd.DataFrame) -> str:
    """Say whether the changes that were told are there among images of which the networks are equally sure."""
    told = rows[rows["change"] != "not told"]
    if told.empty:
        return "No change was told, so there is none to check on images of equal certainty."
    enough = told[told["n_matched"] >= 2]
    keeps = np.where(enough["mean"] > 0, enough["matched_low"] > 0, enough["matched_high"] < 0)
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
