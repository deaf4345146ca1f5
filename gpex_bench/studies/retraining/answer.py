"""What was reached after every removal → tables, figures and sentences.

A training seed gives one number for each method: the mean over the shares that were removed. Numbers are compared with
those of random removal seed by seed (`seed_pairs`), the maps of the network on permuted labels with those of the
sibling; p values are corrected for the methods of a network and measure (Holm). Intervals are 95 % t intervals over
training seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.statistics.pairs import holm
from gpex_bench.statistics.seeds import difference
from gpex_bench.studies.answer import Answer
from gpex_bench.studies.retraining.figure import retraining_panels
from gpex_bench.studies.retraining.plan import Retraining
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import groups, ordered, records
from gpex_bench.tables.words import interval

PLACE = ["dataset", "model"]
ACCURACIES = ("roar", "kar", "masks")  # compared with chance
CHANGES = {
    "permuted": "sibling",
    "permuted_absolute": "sibling_absolute",
}  # compared with the other trainings
SIGNS = {"roar": -1}  # a lower accuracy is better there: what is lost
PROTOCOL = (
    "ROAR replaces a share of the positions, those that a method puts first, by the baseline in every training and "
    "test input, and trains from scratch; KAR replaces those that it puts last. Explained is the class that the "
    "network predicts. Means over the shares {shares}, with 95 % t intervals over the training seeds; differences are "
    "paired by seed, and p values corrected for the methods of a network (Holm, 5 %): with few seeds 'cannot be told' "
    "does not mean 'equal'. ROAR rewards what a retrained network can no longer use, not what the explained one used: "
    "evidence that is there twice is found again. And the masks tell the class (rong2022consistent), which hides "
    "losses in ROAR and adds accuracy in KAR; how much they tell is the accuracy on the masks alone, {mask_share:.0%} "
    "removed as in ROAR. Random labels: rank correlations of maps with those of another network for the same class. "
    "Low is better on permuted labels, and means something only if the maps of another training on right labels (the "
    "sibling) are more alike. Written by rule from table.csv, curves.csv and networks.csv."
)


def retraining(cells: pd.DataFrame, networks: pd.DataFrame, plan: Retraining) -> Answer:
    """Return what all methods and seeds together say.

    Args:
        cells: dataset, model, seed, method, measure, share, value, reason (`stages.retrain`).
        networks: dataset, model, seed, network, train_accuracy, test_accuracy, times.
        plan: of the study.
    """
    failed = {
        (*place, method): str(part["reason"].iloc[0])
        for (*place, method), part in groups(
            cells[cells["measure"] == "failed"], [*PLACE, "method"]
        )
    }
    keys = pd.MultiIndex.from_frame(cells[[*PLACE, "method"]])
    ran = cells[~keys.isin(list(failed))]
    table, curves = compared(ran, plan.chance), _curves(ran)
    drawings: dict[str, Drawing] = {}
    said: list[str] = []
    for place, curve in groups(curves, PLACE):
        part, trained = (
            rows[(rows[PLACE] == list(place)).all(axis=1)] for rows in (table, networks)
        )
        drawings["_".join(map(str, place))] = retraining_panels(curve, part, plan.chance)
        poor = [
            f"{key[-1]} failed ({reason})."
            for key, reason in sorted(failed.items())
            if key[:-1] == place
        ]
        said.append(" ".join([_sentences(part, curve, trained, plan), *poor]))
    how = PROTOCOL.format(
        shares=", ".join(f"{share:.0%}" for share in plan.shares), mask_share=plan.mask_share
    )
    tables = {"table": table, "curves": curves, "networks": networks}
    others = {name: ordered(part) for name, part in tables.items()}
    return Answer(
        table=others.pop("table"),
        tables=others,
        drawings=drawings,
        sentences="\n\n".join([*said, how]) + "\n",
    )


def compared(cells: pd.DataFrame, chance: str) -> pd.DataFrame:
    """Return a row per network, measure and method: mean over shares and seeds, and what it is compared with.

    `gain`: for accuracies how much lower (`roar`) or higher than chance's, for `permuted` how much lower than the
    sibling's; NaN for what is compared with. `p_value` is corrected for the methods.
    """
    removed = cells[(cells["share"] > 0) | ~cells["measure"].isin(ACCURACIES)]
    means = removed.groupby([*PLACE, "measure", "method", "seed"])["value"].mean()
    rows = []
    for (*place, measure), _ in groups(removed, [*PLACE, "measure"]):
        here = means.loc[(*place, measure)]
        against = here.loc[chance] if measure in ACCURACIES and chance in here.index else None
        found = []
        for method in sorted(set(here.index.get_level_values("method"))):
            own = here.loc[method]
            if measure in CHANGES:
                against = means.loc[(*place, CHANGES[measure], method)]
            is_chance = measure in ACCURACIES and method == chance
            sign = -1 if measure in CHANGES else SIGNS.get(measure, 1)
            gain = {} if against is None or is_chance else _gain(sign * own, sign * against)
            key = dict(zip([*PLACE, "measure", "method"], (*place, measure, method), strict=True))
            found.append(
                key
                | _mean(own)
                | {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p_value": np.nan}
                | gain
            )
        rows += _corrected(found)
    return pd.DataFrame(rows)


def _gain(own: pd.Series, against: pd.Series) -> dict[str, Any]:
    found = difference(own, against)
    return {
        "gain": found.mean,
        "gain_low": found.low,
        "gain_high": found.high,
        "p_value": found.p_value,
    }


def _mean(values: pd.Series) -> dict[str, Any]:
    """Return the mean over the seeds with its t interval."""
    found = difference(values, 0 * values)
    return {"mean": found.mean, "low": found.low, "high": found.high, "n_seeds": found.n_seeds}


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with p values that allow for their number."""
    known = [row for row in rows if row["p_value"] == row["p_value"]]
    adjusted = holm(np.array([row["p_value"] for row in known], dtype=float)).tolist()
    for row, p_value in zip(known, adjusted, strict=True):
        row["p_value"] = p_value
    return rows


def _curves(cells: pd.DataFrame) -> pd.DataFrame:
    """Return means and intervals of the accuracies at each share."""
    keys = [*PLACE, "measure", "method", "share"]
    parts = groups(cells[cells["measure"].isin(ACCURACIES)], keys)
    return pd.DataFrame(
        [
            dict(zip(keys, key, strict=True)) | _mean(part.set_index("seed")["value"])
            for key, part in parts
        ]
    )


def _sentences(
    table: pd.DataFrame, curve: pd.DataFrame, networks: pd.DataFrame, plan: Retraining
) -> str:
    """Say what holds for one network."""
    whole = records(curve[curve["share"] == 0])[0]
    said = f"{whole['dataset']}, {whole['model']}: with whole inputs the network reaches {_ends(whole)} of the test labels"
    said += f" (training seeds: {whole['n_seeds']})."
    words = {"roar": "Lost beyond random removal (ROAR)", "kar": "Kept beyond random removal (KAR)"}
    for measure, start in words.items():
        rows = table[(table["measure"] == measure)]
        against = rows[rows["method"] == plan.chance]
        reached = (
            f"; {plan.chance} itself reaches {_ends(records(against)[0])}" if len(against) else ""
        )
        said += f" {start}: {_told(rows[rows['method'] != plan.chance])}{reached}."
    masks = table[table["measure"] == "masks"].sort_values(
        ["mean", "method"], ascending=[False, True]
    )
    told = ", ".join(f"{row['method']} {row['mean']:.2f}" for row in records(masks))
    said += f" On the masks alone: {told}."
    fitted = networks[networks["network"] == "permuted"]
    accuracies = (f"{fitted[f'{part}_accuracy'].min():.0%}" for part in ("train", "test"))
    said += " Trained on permuted labels it fits at least {} of them (right test labels: at least {}).".format(
        *accuracies
    )
    if fitted["train_accuracy"].min() < plan.fitted:
        said += (
            f" That is less than the {plan.fitted:.0%} aimed at: read the next numbers with care."
        )
    other = table[table["measure"] == "sibling"].set_index("method")["mean"]
    rows = table[table["measure"] == "permuted"].sort_values(["mean", "method"])
    maps = (
        f"{row['method']} {row['mean']:.2f} ({other[row['method']]:.2f})" for row in records(rows)
    )
    return (
        said
        + f" Rank correlation of its maps with the right ones (in brackets: sibling's): {', '.join(maps)}."
    )


def _told(rows: pd.DataFrame) -> str:
    """Write the gains, the largest first; those that cannot be told from none stand apart."""
    ordered = records(rows.sort_values(["gain", "method"], ascending=[False, True]))
    told = [row for row in ordered if row["p_value"] < LEVEL]
    sure = ", ".join(f"{row['method']} {_ends(row, 'gain')}" for row in told)
    rest = ", ".join(f"{row['method']} {_ends(row, 'gain')}" for row in ordered if row not in told)
    parts = [sure or "no method differs for sure"] + [f"cannot be told from random: {rest}"] * bool(
        rest
    )
    return "; ".join(parts)


def _ends(row: dict[str, Any], name: str = "mean") -> str:
    """Write a mean or gain with its interval."""
    low, high = ("low", "high") if name == "mean" else (f"{name}_low", f"{name}_high")
    return " ".join(interval(row[name], row[low], row[high])).replace("one sample", "one seed")
