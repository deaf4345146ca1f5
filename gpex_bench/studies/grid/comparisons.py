"""What differs between the settings of a grid: best and worst, trends along x, and choices.

Settings are compared seed by seed (`statistics.seeds`) at the 5 % level. All together are compared
by Friedman's test, because best and worst are picked after looking; choices are compared with the
first one, with Holm's correction. Every comparison is a row with a `verdict`:

    a direction  the difference is significant, and larger than the margin
    equal        it is significantly smaller than the margin (two one-sided tests)
    open         neither; `shown` is the true difference that would have been shown
    UNKNOWN      one seed
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from gpex_bench.statistics.pairs import holm
from gpex_bench.statistics.seeds import (
    Difference,
    difference,
    equality,
    settings_differ,
    smallest_shown,
    trend,
)
from gpex_bench.studies.grid.expansion import PLACES
from gpex_bench.tables.columns import LEVEL, NETWORK
from gpex_bench.tables.order import records
from gpex_bench.tables.words import BETTER, EQUAL, OPEN, WORSE

# verdicts, besides those of `tables.words`
DIFFERENT = "different"
RISES = "rises"
FALLS = "falls"
FLAT = "no trend: the change is within the margin"
OPEN_TREND = "no trend shown"
UNKNOWN = "unknown: too few seeds"
ONE_SETTING = "only one setting"
ALL_FAILED = "all fits failed"

Better = Literal["higher", "lower"]


def first_statistic(table: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first statistic on its first split, which the comparisons are about.

    Added columns: `seeds` (a series of the setting's numbers by training seed) and `name` (what
    distinguishes the setting from the others on its network).

    Args:
        table: of `measure.summarise`.
        found: of `measure.values`.
    """
    split, statistic = table.iloc[0][["split", "statistic"]]
    rows = table[(table["split"] == split) & (table["statistic"] == statistic)]
    numbers = found[(found["split"] == split) & (found["statistic"] == statistic)]

    by_setting = {}
    for key, part in numbers.groupby(list(PLACES)):
        by_setting["/".join(key)] = part.set_index("seed")["value"]

    empty = pd.Series(dtype=float)
    seeds = [by_setting.get(place, empty) for place in rows["id"]]
    return rows.assign(seeds=seeds, name=_names(rows))


def _names(rows: pd.DataFrame) -> list[str]:
    """Return what each setting is called: its labels that are not the same for all."""
    labels = list(rows.columns[: list(rows.columns).index("id")])
    varying = [
        name for name in labels if name not in NETWORK and rows[name].nunique(dropna=False) > 1
    ]
    return [
        " ".join(f"{name} {row[name]}" for name in varying if not pd.isna(row[name]))
        for row in records(rows)
    ]


# --- best and worst ---


def extremes(rows: pd.DataFrame, better: Better, margin: float) -> pd.DataFrame:
    """Return one row for each network: the best and the worst setting, and whether settings differ.

    Columns: dataset, model, failed (names of settings without a fit), n_settings, best, best_mean,
    worst, worst_mean, those of `_described` for the difference of best and worst (positive where
    higher is better), p_value, test, verdict.

    Args:
        rows: of `first_statistic`.
        better: direction of the statistic.
        margin: the smallest difference that matters.
    """
    found = []
    for (dataset, model), part in rows.groupby(list(NETWORK), sort=False):
        has_fit = part["n_seeds"] > 0
        known = part[has_fit]
        failed = part.loc[~has_fit, "name"].tolist()
        row = {"dataset": dataset, "model": model, "failed": failed, "n_settings": len(known)}
        found.append(row | _ends(known, better, margin))
    return pd.DataFrame(found)


def _ends(known: pd.DataFrame, better: Better, margin: float) -> dict[str, Any]:
    """Return the best and the worst of some settings, and whether the settings differ."""
    if known.empty:
        return {"verdict": ALL_FAILED}

    order = known.sort_values("mean", ascending=better == "lower", kind="stable")
    best = order.iloc[0]
    worst = order.iloc[-1]
    row = {
        "best": best["name"],
        "best_mean": best["mean"],
        "worst": worst["name"],
        "worst_mean": worst["mean"],
    }
    if len(order) == 1:
        return row | {"verdict": ONE_SETTING}

    high, low = (worst, best) if better == "lower" else (best, worst)
    gap = difference(high["seeds"], low["seeds"])
    row |= _described(gap, "difference")
    test = "t test, paired by seed" if gap.is_paired else "Welch's t test"
    p_value = gap.p_value
    # the two ends of more settings were picked after looking: only all together can be tested
    if len(order) > 2 and not math.isnan(p_value):
        test = "Friedman's test"
        p_value = settings_differ(list(order["seeds"]))

    verdict = OPEN
    if math.isnan(p_value):
        verdict = UNKNOWN
    elif p_value < LEVEL and gap.mean > margin:
        verdict = DIFFERENT
    elif _are_equal(list(order["seeds"]), margin):
        verdict = EQUAL
    return row | {"p_value": p_value, "test": test, "verdict": verdict}


def _are_equal(samples: list[pd.Series], margin: float) -> bool:
    """Return whether every two settings differ by less than the margin.

    Each pair must show it at the 5 % level, so that no correction is needed.
    """
    pairs = combinations(samples, 2)
    return all(equality(difference(first, second), margin) < LEVEL for first, second in pairs)


def _described(found: Difference, name: str) -> dict[str, float]:
    """Return a difference as columns.

    Its mean and interval; n_seeds, and n_above and n_below (seeds in which it is above and below
    0); shown (the smallest true difference that would have been shown).
    """
    return {
        name: found.mean,
        f"{name}_low": found.low,
        f"{name}_high": found.high,
        "n_seeds": found.n_seeds,
        "n_above": found.n_above,
        "n_below": found.n_below,
        "shown": smallest_shown(found),
    }


# --- along x ---


def _lines(rows: pd.DataFrame, hue: str | None) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the settings of each line of the figure that have a number, with the line's key."""
    known = rows[rows["n_seeds"] > 0]
    keys = list(NETWORK) if hue is None else list(dict.fromkeys([*NETWORK, hue]))
    for key, line in known.groupby(keys, sort=False, dropna=False):
        place = dict(zip(keys, key, strict=True))
        yield (
            {
                "dataset": place["dataset"],
                "model": place["model"],
                "line": "" if hue is None else place[hue],
            },
            line,
        )


def trends(rows: pd.DataFrame, x: str, hue: str | None, margin: float) -> pd.DataFrame:
    """Return one row for each network and line: whether the statistic rises or falls along x.

    Columns: dataset, model, line, first and last (the ends of x), first_mean, last_mean, those of
    `_described` for the change (the median change from one x to the next, times the number of
    steps), p_value, verdict, and for lines without a trend has_peak: whether the lowest and the
    highest point differ by more than the margin, significantly (Bonferroni over all pairs of the
    line); then lowest_at, lowest, highest_at, highest.

    Args:
        rows: of `first_statistic`.
        x: the column along which settings are compared.
        hue: the column that is held fixed meanwhile, or None.
        margin: the smallest difference that matters.
    """
    found = []
    for key, part in _lines(rows, hue):
        line = part.dropna(subset=[x]).sort_values(x, kind="stable")
        if line.empty:
            continue
        first = line.iloc[0]
        last = line.iloc[-1]
        row = key | {
            "has_peak": False,
            "first": first[x],
            "first_mean": first["mean"],
            "last": last[x],
            "last_mean": last["mean"],
        }
        found.append(row | _trend(line, x, margin))
    return pd.DataFrame(found)


def _trend(line: pd.DataFrame, x: str, margin: float) -> dict[str, Any]:
    """Return the change along one line with its verdict, and its extremes if it has no trend."""
    if len(line) < 2:
        return {"verdict": ONE_SETTING}

    points = [
        pd.DataFrame({"seed": seeds.index, "place": place, "value": seeds.to_numpy()})
        for place, seeds in zip(line[x], line["seeds"], strict=True)
    ]
    n_steps = float(len(line) - 1)
    change = trend(pd.concat(points)).times(n_steps)
    p_equal = equality(change, margin)
    words = (RISES, FALLS, FLAT, OPEN_TREND)
    verdict = _verdict(change.mean, margin, change.p_value, p_equal, words)
    row = _described(change, "change") | {"p_value": change.p_value, "verdict": verdict}
    return row | (_peak(line, x, margin) if verdict in (FLAT, OPEN_TREND) else {})


def _verdict(
    mean: float, margin: float, p_value: float, p_equal: float, words: tuple[str, str, str, str]
) -> str:
    """Return the verdict of a difference, or UNKNOWN where nothing could be tested.

    Args:
        mean: the difference.
        margin: the smallest one that matters.
        p_value: of "it is 0".
        p_equal: of "it is at least the margin, in either direction".
        words: for a difference above and below 0, for none, and for what is not shown.
    """
    if math.isnan(p_value):
        return UNKNOWN

    above, below, equal, neither = words
    if p_value < LEVEL and abs(mean) > margin:
        return above if mean > 0 else below
    return equal if p_equal < LEVEL else neither


def _peak(line: pd.DataFrame, x: str, margin: float) -> dict[str, Any]:
    """Return the lowest and the highest point of a line, if they differ."""
    order = line.sort_values("mean")
    low = order.iloc[0]
    high = order.iloc[-1]
    n_pairs = len(line) * (len(line) - 1) / 2
    gap = difference(high["seeds"], low["seeds"])
    if not gap.p_value * n_pairs < LEVEL or gap.mean <= margin:
        return {}
    return {
        "has_peak": True,
        "lowest_at": low[x],
        "lowest": low["mean"],
        "highest_at": high[x],
        "highest": high["mean"],
    }


# --- choices ---


def choices(
    rows: pd.DataFrame, x: str, hue: str | None, better: Better, margin: float
) -> pd.DataFrame:
    """Return one row for each network, line and choice: does it differ from the first choice?

    Columns: dataset, model, line, first, first_mean, choice, mean, those of `_described` for the
    difference (from the first; its interval is not corrected), p_value (Holm's correction over the
    line), verdict.

    Args:
        rows: of `first_statistic`.
        x: the column along which settings are compared.
        hue: the column that is held fixed meanwhile, or None.
        better: direction of the statistic.
        margin: the smallest difference that matters.
    """
    directions = (BETTER, WORSE) if better == "higher" else (WORSE, BETTER)
    words = (*directions, EQUAL, OPEN)
    found = []
    for key, line in _lines(rows, hue):
        first = line.iloc[0]
        others = line.iloc[1:]
        steps = [difference(seeds, first["seeds"]) for seeds in others["seeds"]]
        p_values = _corrected([step.p_value for step in steps])
        p_equal = _corrected([equality(step, margin) for step in steps])

        for place, step in enumerate(steps):
            p_value = p_values[place]
            verdict = _verdict(step.mean, margin, p_value, p_equal[place], words)

            row = key | {"first": first[x], "first_mean": first["mean"]}
            row |= {"choice": others[x].iloc[place], "mean": others["mean"].iloc[place]}
            row |= _described(step, "difference")
            found.append(row | {"p_value": p_value, "verdict": verdict})
    return pd.DataFrame(found)


def _corrected(p_values: list[float]) -> np.ndarray:
    """Return p values after Holm's correction over those that are known."""
    corrected = np.array(p_values, dtype=float)
    is_known = np.isfinite(corrected)
    if is_known.any():
        corrected[is_known] = holm(corrected[is_known])
    return corrected
