"""A study's numbers: one row per grid point, and sentences about them that no one wrote beforehand.

Settings are compared seed by seed (`seed_pairs`), at the 5 % level: all together by Friedman's test, because best and
worst are picked after looking, choices with the first one after Holm's correction. With one seed nothing can be
told, and the sentences say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.statistics.pairs import holm
from gpex_bench.statistics.seeds import Difference, difference, settings_differ, trend
from gpex_bench.tables.columns import LEVEL, require
from gpex_bench.tables.words import number

SECONDS = "fit_seconds"  # the one statistic that is measured, not calculated; two runs give different ones
KEYS = ("dataset", "model", "seed", "surrogate")
PLACES = ("dataset", "model", "surrogate")  # entries as written; the run ids stand in `id`
VALUES = (*KEYS, "split", "statistic", "value")


def values(agreement: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Return one number per network, seed, surrogate, split and statistic.

    Statistics of head "all" are taken as they are, those of single heads are averaged over the heads that have one.
    The seconds that a fit took are the statistic fit_seconds, without a split.
    """
    keys = [*KEYS, "split", "statistic"]
    joint = agreement[agreement["head"] == "all"]
    names = set(joint["statistic"])
    single = agreement[(agreement["head"] != "all") & ~agreement["statistic"].isin(list(names))]
    mean = single.groupby(keys)["value"].mean().reset_index()
    seconds = costs.rename(columns={"wall_seconds": "value"}).assign(split="", statistic=SECONDS)
    parts = [part[list(VALUES)] for part in (joint, mean, seconds) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(VALUES))


def summarise(
    found: pd.DataFrame,
    grid: Sequence[Mapping[str, Any]],
    statistics: Sequence[str],
    splits: Sequence[str],
    n_seeds: int,
) -> pd.DataFrame:
    """Return one row per grid point, split and statistic: mean, 95 % interval (Student's t) and s.d. over seeds.

    Args:
        found: the frame of `values`.
        grid: for each grid point its run ids under "ids" and its labels under "labels".
        statistics: which, in this order.
        splits: which, in this order; statistics without a split come once.
        n_seeds: how many were planned; a point whose fits failed has fewer, or none and NaN.

    Raises:
        ValueError: a statistic was not calculated on any of the splits; names those that were.
    """
    require(found, VALUES, "values")
    wanted = [
        (split, name) for name in statistics for split in (("",) if name == SECONDS else splits)
    ]
    known = set(zip(found["split"], found["statistic"], strict=True))
    for pair in wanted if any(split for split, _ in known) else []:  # every fit may have failed
        if pair not in known:
            raise ValueError(
                f"study.statistics: {pair[1]!r} is not known on the split {pair[0]!r}. "
                f"Known: {', '.join(sorted(f'{name} ({split})' if split else name for split, name in known))}."
            )
    parts = {
        key: block["value"].dropna().to_numpy(float)
        for key, block in found.groupby([*PLACES, "split", "statistic"])
    }
    rows = []
    for point in grid:
        for split, name in wanted:
            here = parts.get((*point["ids"], split, name), np.empty(0))
            row = {
                "id": "/".join(point["ids"]),
                "split": split,
                "statistic": name,
                **_moments(here),
            }
            rows.append({**point["labels"], **row, "n_seeds_planned": n_seeds})
    return pd.DataFrame(rows)


def _moments(sample: np.ndarray) -> dict[str, float]:
    """Return mean, interval and s.d. of one number per seed."""
    n = len(sample)
    mean = float(sample.mean()) if n else math.nan
    sd = float(sample.std(ddof=1)) if n > 1 else math.nan
    low, high = t_interval(mean, sd / math.sqrt(max(n, 1)), n - 1)
    return {"mean": mean, "low": float(low), "high": float(high), "sd": sd, "n_seeds": n}


def sentences(  # noqa: PLR0913 - the numbers, and how they are compared
    table: pd.DataFrame,
    found: pd.DataFrame,
    *,
    x: str,
    hue: str | None,
    better: str,
    is_ordered: bool,
) -> list[str]:
    """Return two sentences on each network of a study: best and worst setting, and what happens along x.

    Args:
        table: the frame of `summarise`.
        found: the frame of `values` that it was made of.
        x: the column along which settings are compared.
        hue: the column that is held fixed meanwhile, or None.
        better: "higher" or "lower", for the table's first statistic on its first split.
        is_ordered: whether x holds numbers, so that it has a direction.
    """
    first = table.iloc[0]
    chosen = table[(table["split"] == first["split"]) & (table["statistic"] == first["statistic"])]
    chosen = chosen.assign(seeds=_seeds(chosen, found))
    what = first["statistic"] + (f" on {first['split']} items" if first["split"] else "")
    varying = [name for name in _columns(chosen) if chosen[name].nunique(dropna=False) > 1]
    said = []
    for (dataset, model), block in chosen.groupby(["dataset", "model"], sort=False):
        named = [name for name in varying if name not in ("dataset", "model")] or [x]
        good = block[block["n_seeds"] > 0]
        lead = f"On {dataset} ({model}), {what}"
        if good.empty:
            said.append(f"{lead} is not known: every fit failed.")
            continue
        said.append(f"{lead} {_extremes(good, named, better)}")
        if len(good) < len(block):
            lost = ", ".join(
                _name(row, named) for row in block[block["n_seeds"] == 0].to_dict("records")
            )
            said[-1] += f" No fit succeeded with {lost}."
        if is_ordered:
            said.append(f"{lead}: {_trends(good, x, hue)}")
        else:
            said.append(f"{lead}: {_choices(good, x, hue, better)}")
    return said


def _columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that say where a row stands in the grid."""
    return list(table.columns[: list(table.columns).index("id")])


def _name(row: Mapping[Any, Any], named: Sequence[str]) -> str:
    """Return a setting as it is called in a sentence."""
    return " ".join(
        f"{name} {row[name]}" for name in named if row[name] is not None and row[name] == row[name]
    )


def _seeds(chosen: pd.DataFrame, found: pd.DataFrame) -> list[pd.Series]:
    """Return each row's numbers by training seed."""
    split, statistic = chosen.iloc[0][["split", "statistic"]]
    here = found[(found["split"] == split) & (found["statistic"] == statistic)]
    parts = {
        "/".join(key): part.set_index("seed")["value"] for key, part in here.groupby(list(PLACES))
    }
    return [parts.get(place, pd.Series(dtype=float)) for place in chosen["id"]]


def _is_told(p_value: float) -> bool:
    return p_value < LEVEL


def _evidence(told: Difference, sign: float = 1.0) -> str:
    """Return the interval of a difference, and from what it is; of minus the difference with sign -1."""
    how = "" if told.is_paired else " each, not paired"
    low, high = sorted((sign * told.low, sign * told.high))
    return f"[{number(low)}, {number(high)}], {told.n_seeds} seeds{how}"


def _extremes(rows: pd.DataFrame, named: Sequence[str], better: str) -> str:
    """Say which setting is best, which is worst, and whether the difference means anything."""
    order = rows.sort_values("mean", ascending=better == "lower", kind="stable")
    best, worst = order.iloc[0], order.iloc[-1]
    if len(order) == 1:
        return f"is {number(best['mean'])} with the only setting, {_name(dict(best), named)}."
    ends = (
        f"is best with {_name(dict(best), named)} ({number(best['mean'])}) and worst with {_name(dict(worst), named)} "
        f"({number(worst['mean'])})"
    )
    told = difference(best["seeds"], worst["seeds"])
    if math.isnan(told.p_value):
        return f"{ends}; with one seed, whether they differ is not known."
    sign = -1.0 if better == "lower" else 1.0
    gap = f"{number(abs(told.mean))} {_evidence(told, sign)}"
    if len(order) == 2:
        verb = "differ" if _is_told(told.p_value) else "cannot be told apart"
        return f"{ends}; they {verb} (by {gap}; p = {number(told.p_value)})."
    p_value = settings_differ(list(order["seeds"]))
    if math.isnan(p_value):
        return f"{ends}, by {gap}; whether the settings differ is not known without common seeds."
    verb = "differ" if _is_told(p_value) else "cannot be told apart"
    return f"{ends}, by {gap}; the {len(order)} settings {verb} (Friedman's test, p = {number(p_value)})."


def _lines(rows: pd.DataFrame, hue: str | None) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each line of the figure, with its name."""
    if hue is None:
        return [("", rows)]
    return [
        (f"with {hue} {name} ", part) for name, part in rows.groupby(hue, sort=False, dropna=False)
    ]


def _trends(rows: pd.DataFrame, x: str, hue: str | None) -> str:
    """Say which way the statistic goes along x, from the smallest x to the largest one."""
    said = []
    for name, line in _lines(rows, hue):
        line = line.dropna(subset=[x]).sort_values(x, kind="stable")
        if line.empty:
            continue
        first, last = line.iloc[0], line.iloc[-1]
        if len(line) < 2:
            said.append(f"{name}there is one {x} only")
            continue
        ends = f"from {number(first['mean'])} at {x} {first[x]:g} to {number(last['mean'])} at {last[x]:g}"
        points = [
            pd.DataFrame(
                {"seed": row["seeds"].index, "place": row[x], "value": row["seeds"].to_numpy()}
            )
            for row in line.to_dict("records")
        ]
        along = trend(pd.concat(points))
        if math.isnan(along.p_value):
            change = last["mean"] - first["mean"]
            moves = "goes up" if change > 0 else "goes down" if change < 0 else "stays"
            said.append(
                f"{name}it {moves} {ends}; with one seed, whether that is a trend is not known"
            )
            continue
        moves = "shows no trend"
        if _is_told(along.p_value):
            moves = "rises" if along.mean > 0 else "falls"
        else:
            ends += _between(line, x)
        said.append(
            f"{name}it {moves} {ends} (median change from one {x} to the next {_evidence(along)})"
        )
    return "; ".join(said) + "."


def _between(line: pd.DataFrame, x: str) -> str:
    """Name the extremes along x where they differ though there is no trend."""
    low, high = (line.sort_values("mean").iloc[place] for place in (0, -1))
    apart = difference(high["seeds"], low["seeds"]).p_value * len(line) * (len(line) - 1) / 2
    if not _is_told(apart):
        return ""
    return f", with {number(low['mean'])} at {low[x]:g} and {number(high['mean'])} at {high[x]:g} on the way"


def _choices(rows: pd.DataFrame, x: str, hue: str | None, better: str) -> str:
    """Say which choices along x differ from the first one."""
    said = []
    sign = 1 if better == "higher" else -1
    for name, line in _lines(rows, hue):
        first, others = line.iloc[0], line.iloc[1:]
        start = f"{name}against {x} {first[x]} ({number(first['mean'])})"
        every = [
            (label, difference(seeds, first["seeds"]))
            for label, seeds in zip(others[x], others["seeds"], strict=True)
        ]
        known = [(label, step) for label, step in every if not math.isnan(step.p_value)]
        if others.empty:
            said.append(f"{start} there is nothing to compare")
            continue
        if not known:
            said.append(f"{start} nothing can be told, with one seed")
            continue
        adjusted = holm(np.array([step.p_value for _, step in known])).tolist()
        is_told = [_is_told(p_value) for p_value in adjusted]
        better_ones, worse_ones = (
            [
                f"{label} ({number(abs(step.mean))})"
                for (label, step), is_clear in zip(known, is_told, strict=True)
                if is_clear and way * sign * step.mean > 0
            ]
            for way in (1, -1)
        )
        alike = [
            str(label) for (label, _), is_clear in zip(known, is_told, strict=True) if not is_clear
        ]
        unknown = [str(label) for label, step in every if math.isnan(step.p_value)]
        parts = [
            f"{', '.join(names)} {words}"
            for names, words in (
                (worse_ones, "is worse"),
                (better_ones, "is better"),
                (alike, f"cannot be told from it ({len(alike)} of {len(every)} others)"),
                (unknown, "has too few seeds to tell"),
            )
            if names
        ]
        said.append(
            f"{start} {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}"
        )
    return "; ".join(said) + "."
