"""A study's numbers: one row per grid point, and sentences about them that no one wrote beforehand.

The spread over the training seeds is the yardstick: a difference counts when it is more than `YARD` times the pooled
standard deviation over the seeds of the settings that are compared (s, with one degree of freedom for each seed beyond
the first). With one seed there is no yardstick, and the sentences say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.frames import number, require

YARD = 2.0
CONFIDENCE = 0.95
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
    wanted = [(split, name) for name in statistics for split in (("",) if name == SECONDS else splits)]
    known = set(zip(found["split"], found["statistic"], strict=True))
    for pair in wanted if any(split for split, _ in known) else []:  # every fit may have failed
        if pair not in known:
            raise ValueError(
                f"study.statistics: {pair[1]!r} is not known on the split {pair[0]!r}. "
                f"Known: {', '.join(sorted(f'{name} ({split})' if split else name for split, name in known))}."
            )
    parts = {
        key: block["value"].dropna().to_numpy(float) for key, block in found.groupby([*PLACES, "split", "statistic"])
    }
    rows = []
    for point in grid:
        for split, name in wanted:
            here = parts.get((*point["ids"], split, name), np.empty(0))
            row = {"id": "/".join(point["ids"]), "split": split, "statistic": name, **_moments(here)}
            rows.append({**point["labels"], **row, "n_seeds_planned": n_seeds})
    return pd.DataFrame(rows)


def _moments(sample: np.ndarray) -> dict[str, float]:
    """Return mean, interval and s.d. of one number per seed."""
    n = len(sample)
    mean = float(sample.mean()) if n else math.nan
    sd = float(sample.std(ddof=1)) if n > 1 else math.nan
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, max(n - 1, 1))) * sd / math.sqrt(max(n, 1))
    return {"mean": mean, "low": mean - half, "high": mean + half, "sd": sd, "n_seeds": n}


def pooled(rows: pd.DataFrame) -> float:
    """Return the pooled standard deviation over the seeds of some settings; NaN if none has two seeds."""
    several = rows[rows["n_seeds"] > 1]
    freedom = several["n_seeds"] - 1
    return math.sqrt(float((several["sd"] ** 2 * freedom).sum() / freedom.sum())) if len(several) else math.nan


def sentences(table: pd.DataFrame, x: str, hue: str | None, better: str, is_ordered: bool) -> list[str]:
    """Return two sentences on each network of a study: best and worst setting, and what happens along x.

    Args:
        table: the frame of `summarise`.
        x: the column along which settings are compared.
        hue: the column that is held fixed meanwhile, or None.
        better: "higher" or "lower", for the table's first statistic on its first split.
        is_ordered: whether x holds numbers, so that it has a direction.
    """
    first = table.iloc[0]
    chosen = table[(table["split"] == first["split"]) & (table["statistic"] == first["statistic"])]
    what = first["statistic"] + (f" on {first['split']} items" if first["split"] else "")
    varying = [name for name in _columns(chosen) if chosen[name].nunique(dropna=False) > 1]
    found = []
    for (dataset, model), block in chosen.groupby(["dataset", "model"], sort=False):
        named = [name for name in varying if name not in ("dataset", "model")] or [x]
        good = block[block["n_seeds"] > 0]
        lead = f"On {dataset} ({model}), {what}"
        if good.empty:
            found.append(f"{lead} is not known: every fit failed.")
            continue
        found.append(f"{lead} {_extremes(good, named, better)}")
        if len(good) < len(block):
            lost = ", ".join(_name(row, named) for row in block[block["n_seeds"] == 0].to_dict("records"))
            found[-1] += f" No fit succeeded with {lost}."
        if is_ordered:
            found.append(f"{lead}: {_trends(good, x, hue)}")
        else:
            found.append(f"{lead}: {_choices(good, x, hue, better)}")
    return found


def _columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that say where a row stands in the grid."""
    return list(table.columns[: list(table.columns).index("id")])


def _name(row: Mapping[Any, Any], named: Sequence[str]) -> str:
    """Return a setting as it is called in a sentence."""
    return " ".join(f"{name} {row[name]}" for name in named if row[name] is not None and row[name] == row[name])


def _against(difference: float, rows: pd.DataFrame) -> str:
    """Say whether a difference exceeds the seeds' spread."""
    s = pooled(rows)
    if math.isnan(s):
        return "with one seed, whether that exceeds the spread over seeds is not known"
    size = f"{abs(difference) / s:.1f} s" if s > 0 else "s = 0"
    word = "more" if abs(difference) > YARD * s else "not more"
    return f"{word} than the seeds' spread ({size}, s = {number(s)})"


def _extremes(rows: pd.DataFrame, named: Sequence[str], better: str) -> str:
    """Say which setting is best, which is worst, and whether the difference means anything."""
    order = rows.sort_values("mean", ascending=better == "lower", kind="stable")
    best, worst = order.iloc[0], order.iloc[-1]
    if len(order) == 1:
        return f"is {number(best['mean'])} with the only setting, {_name(dict(best), named)}."
    difference = best["mean"] - worst["mean"]
    return (
        f"is best with {_name(dict(best), named)} ({number(best['mean'])}) and worst with {_name(dict(worst), named)} "
        f"({number(worst['mean'])}); they differ by {number(abs(difference))}, {_against(difference, order)}."
    )


def _lines(rows: pd.DataFrame, hue: str | None) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each line of the figure, with its name."""
    if hue is None:
        return [("", rows)]
    return [(f"with {hue} {name} ", part) for name, part in rows.groupby(hue, sort=False, dropna=False)]


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
        change = last["mean"] - first["mean"]
        s = pooled(line)
        ends = f"from {number(first['mean'])} at {x} {first[x]:g} to {number(last['mean'])} at {last[x]:g}"
        if math.isnan(s):
            moves = "goes up" if change > 0 else "goes down" if change < 0 else "stays"
        elif abs(change) > YARD * s:
            moves = "rises" if change > 0 else "falls"
        else:
            moves = "shows no trend"
            low, high = (line.sort_values("mean").iloc[place] for place in (0, -1))
            if high["mean"] - low["mean"] > YARD * s:
                ends += f", with {number(low['mean'])} at {low[x]:g} and {number(high['mean'])} at {high[x]:g} between"
        said.append(f"{name}it {moves} {ends}, {_against(change, line)}")
    return "; ".join(said) + "."


def _choices(rows: pd.DataFrame, x: str, hue: str | None, better: str) -> str:
    """Say which choices along x differ from the first one by more than the seeds' spread."""
    said = []
    sign = 1 if better == "higher" else -1
    for name, line in _lines(rows, hue):
        first, others = line.iloc[0], line.iloc[1:]
        s = pooled(line)
        start = f"{name}against {x} {first[x]} ({number(first['mean'])})"
        if others.empty:
            said.append(f"{start} there is nothing to compare")
        elif math.isnan(s):
            said.append(f"{start} nothing can be told from the spread over seeds, with one seed")
        else:
            steps = list(zip(others[x], sign * (others["mean"] - first["mean"]), strict=True))
            parts = [
                f"{', '.join(f'{label} ({number(abs(step))})' for label, step in some)} {verb} by more than {YARD:g} s"
                for some, verb in (
                    ([(label, step) for label, step in steps if step < -YARD * s], "is worse"),
                    ([(label, step) for label, step in steps if step > YARD * s], "is better"),
                )
                if some
            ]
            n_alike = sum(abs(step) <= YARD * s for _, step in steps)
            parts += [f"{n_alike} of {len(steps)} others cannot be told from it (s = {number(s)})"] if n_alike else []
            said.append(f"{start} {' and '.join(parts)}")
    return "; ".join(said) + "."
