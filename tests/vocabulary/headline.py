"""The tables of a headline metric from mean scores: plausible, not computed by the real rules."""

from __future__ import annotations

import zlib
from itertools import combinations
from typing import Any

import pandas as pd

from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import control_ids, groups
from gpex_bench.tables.words import BETTER, EQUAL, OPEN, WORSE

FILLS = ("baseline", "blur", "middle", "uniform")
OUTPUTS = ("probability", "logit")


def moved(*names: str) -> float:
    """Return a number between -1 and 1 that depends on some names."""
    return zlib.crc32(" ".join(names).encode()) / 2**31 - 1


def frames(
    outcomes: pd.DataFrame, methods: list[dict[str, Any]], metric: str, spread: float = 0.05
) -> dict[str, pd.DataFrame]:
    """Return `headline`, `headline_variants` and `headline_pairs` of a metric.

    Args:
        outcomes: of which the mean scores are taken; higher is better.
        methods: cards.
        metric: run id.
        spread: how far scores are from the mean under a fill and output.
    """
    controls = control_ids(methods)
    scored = outcomes[outcomes["metric"].eq(metric) & outcomes["state"].eq("ok")]
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for (dataset, model), part in groups(scored, NETWORK):
        place = {"dataset": dataset, "model": model, "metric": metric}
        variants = _variants(part, f"{dataset} {model}", spread, controls)
        pairs = _pairs(variants, sorted(part["method"]), controls, spread)
        found = {
            "headline_variants": variants,
            "headline_pairs": pairs,
            "headline": _headline(part, variants, pairs, controls),
        }
        for name, table in found.items():
            parts[name].append(table.assign(**place))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


TABLES = ("headline", "headline_variants", "headline_pairs")


def _variants(
    part: pd.DataFrame, network: str, spread: float, controls: frozenset[str]
) -> pd.DataFrame:
    """Return mean and place of each method under each fill and output."""
    tables = []
    for fill in FILLS:
        for output in OUTPUTS:
            shifts = [spread * moved(network, fill, output, name) for name in part["method"]]
            mean = part["mean"] + shifts
            is_control = part["method"].isin(list(controls))
            table = part[["method"]].assign(
                fill=fill,
                output=output,
                mean=mean,
                low=mean - spread,
                high=mean + spread,
                place=mean.rank(ascending=False, method="min"),
                leads=mean.where(~is_control).eq(mean.where(~is_control).max()),
            )
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _pairs(
    variants: pd.DataFrame, names: list[str], controls: frozenset[str], spread: float
) -> pd.DataFrame:
    """Return the verdict of each two methods, and of each method over each control."""
    wide = variants.pivot(index="method", columns=["fill", "output"], values="mean")
    rows = []
    for one, other in combinations(names, 2):
        if one in controls and other in controls:
            continue
        if one in controls:
            one, other = other, one
        gap = wide.loc[one] - wide.loc[other]
        better = [", ".join(at) for at in gap.index[gap > spread]]
        worse = [", ".join(at) for at in gap.index[gap < -spread]]
        words = {(True, False): BETTER, (False, True): WORSE, (True, True): "depends"}
        word = words.get((bool(better), bool(worse)), EQUAL if gap.abs().max() < spread else OPEN)
        rows.append((one, other, word, "; ".join(better), "; ".join(worse)))
    columns = ["method", "other", "verdict", "better_under", "worse_under"]
    return pd.DataFrame(rows, columns=columns)


def _headline(
    part: pd.DataFrame, variants: pd.DataFrame, pairs: pd.DataFrame, controls: frozenset[str]
) -> pd.DataFrame:
    """Return score, place and answer of each method."""
    by_method = variants.groupby("method")
    rows = by_method.agg(
        score=("mean", "mean"),
        low=("low", "mean"),
        high=("high", "mean"),
        place_best=("place", "min"),
        place_worst=("place", "max"),
        n_variants=("place", "size"),
    ).reset_index()

    beaten: dict[str, list[str]] = {}
    open_pairs: set[str] = set()
    for row in pairs[~pairs["other"].isin(list(controls))].to_dict("records"):
        if row["verdict"] in (BETTER, WORSE):
            names = (row["method"], row["other"])
            winner, loser = names if row["verdict"] == BETTER else names[::-1]
            beaten.setdefault(loser, []).append(winner)
        elif row["verdict"] != EQUAL:
            open_pairs |= {row["method"], row["other"]}

    def answer(name: str) -> str:
        if name in beaten:
            return "beaten"
        return "unbeaten" if name in open_pairs else "leads"

    is_control = rows["method"].isin(list(controls))
    return rows.assign(
        place=rows["score"].rank(ascending=False, method="min"),
        is_control=is_control,
        answer=[
            "" if one else answer(name)
            for name, one in zip(rows["method"], is_control, strict=True)
        ],
        beaten_by=[", ".join(sorted(beaten.get(name, ()))) for name in rows["method"]],
    )
