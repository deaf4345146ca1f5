"""Scores on one scale: 0 is the random control, 1 the planted oracle or, where there is none, the best method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import Record, control_ids
from gpex_bench.types import Role

COLUMNS = ("scaled", "scaled_low", "scaled_high")
N_SHADES = 5  # of a colour, from the random control to the upper end


def scaled(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record]
) -> pd.DataFrame:
    """Return mean and interval of each score between the random control (0) and the reference (1), and the reference.

    The reference is the planted oracle for metrics of the planted truth (elsewhere it is not the upper end: it ranks
    all pixels of a part alike), and the best method that is no control for all others. The direction is respected:
    below 0 is worse than random. NaN without a score, without a random control, and where nothing is better than it.
    """
    columns: dict[str, Any] = dict.fromkeys(COLUMNS, float("nan"))
    result = pd.DataFrame({**columns, "reference": ""}, index=outcomes.index)
    cards = {record["metric"]: record for record in metrics}
    ours = control_ids(methods)
    random, oracles = control_ids(methods, Role.RANDOM), control_ids(methods, Role.ORACLE)
    for (_, _, metric), part in outcomes[outcomes["state"] == "ok"].groupby(
        ["dataset", "model", "metric"]
    ):
        sign = 1 if cards[metric]["higher_is_better"] else -1
        chance = part.loc[part["method"].isin(list(random)), "mean"]
        planted = (
            part[part["method"].isin(list(oracles))]
            if cards[metric]["measures"] == "truth"
            else part[:0]
        )
        pool = planted if len(planted) else part[~part["method"].isin(list(ours))]
        if chance.empty or pool.empty:
            continue
        best = (
            pool.assign(good=sign * pool["mean"])
            .sort_values(["good", "method"], ascending=[False, True])
            .iloc[0]
        )
        size = float(best["good"] - sign * chance.mean())
        if size <= 0:
            continue
        ends = [sign * (part[name] - chance.mean()) / size for name in ("mean", "low", "high")]
        low, high = (ends[1], ends[2]) if sign > 0 else (ends[2], ends[1])
        for column, numbers in zip(COLUMNS, (ends[0], low, high), strict=True):
            result.loc[part.index, column] = numbers
        result.loc[part.index, "reference"] = best["method"]
    return result


def shade(value: float) -> str:
    """Return the name of the colour of a scaled score: "u0" to "u4" above the random control, "d0" to "d2" below it."""
    if value != value:
        return ""
    if value < 0:
        return f"d{min(2, int(-value * 3))}"
    return f"u{min(N_SHADES - 1, int(value * N_SHADES))}"


def by_group(
    outcomes: pd.DataFrame, blank: frozenset[tuple[str, str, str]], metrics: Sequence[Record]
) -> pd.DataFrame:
    """Return the mean scaled score of each method over the informative metrics of a group and all networks.

    A method has a number only where it has a score for every network and metric that another one has in this group:
    a mean over easier cells would mislead.

    Args:
        outcomes: with the columns of `scaled`.
        blank: dataset, model and metric of what is not informative.
        metrics: cards, for the groups.
    """
    measures = {record["metric"]: record["measures"] for record in metrics}
    known = outcomes[outcomes["scaled"].notna()]
    keys = pd.MultiIndex.from_frame(known[["dataset", "model", "metric"]])
    known = known[~keys.isin(list(blank))].assign(group=known["metric"].map(measures))
    cells = known.groupby(["group", "method"])["scaled"].agg(["mean", "size"]).reset_index()
    planned = known.drop_duplicates(["dataset", "model", "metric"]).groupby("group").size()
    cells["n_planned"] = cells["group"].map(planned)
    return cells.rename(columns={"mean": "scaled", "size": "n_cells"})
