"""Scores on one scale: 0 is the random control, 1 the planted oracle or else the best method."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pandas as pd

from gpex_bench.tables.columns import PLACE
from gpex_bench.tables.order import Record, control_ids
from gpex_bench.types import Role

COLUMNS = ("scaled", "scaled_low", "scaled_high")

# Shades of a colour, from the random control to the upper end.
N_SHADES = 5


def scaled(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record]
) -> pd.DataFrame:
    """Return each score and its interval between the random control (0) and a reference (1).

    The reference is the planted oracle for metrics of the planted truth. For others it is the best
    method that is no control: the oracle gives all pixels of a part the same rank, so that it is
    not their upper end. The direction is respected: below 0 is worse than random. NaN without a
    score, without a random control, and where nothing is better than it.

    Returns:
        The columns `COLUMNS` and the name of the `reference`, with the index of `outcomes`.
    """
    result = pd.DataFrame(float("nan"), index=outcomes.index, columns=list(COLUMNS))
    result["reference"] = ""

    cards = {record["metric"]: record for record in metrics}
    random = control_ids(methods, Role.RANDOM)
    controls = control_ids(methods)
    oracles = control_ids(methods, Role.ORACLE)

    scored = outcomes[outcomes["state"] == "ok"]
    for (_, _, metric), part in scored.groupby(list(PLACE)):
        sign = 1 if cards[metric]["higher_is_better"] else -1
        is_of_truth = cards[metric]["measures"] == "truth"

        chance = part.loc[part["method"].isin(list(random)), "mean"]
        candidates = _candidates(part, controls, oracles if is_of_truth else ())
        if chance.empty or candidates.empty:
            continue

        best = _best(candidates, sign)
        zero = chance.mean()
        size = float(sign * best["mean"] - sign * zero)
        if size <= 0:
            continue

        # Where lower is better, the ends of the interval change places.
        lower, upper = ("low", "high") if sign > 0 else ("high", "low")
        here = part.index
        result.loc[here, "scaled"] = sign * (part["mean"] - zero) / size
        result.loc[here, "scaled_low"] = sign * (part[lower] - zero) / size
        result.loc[here, "scaled_high"] = sign * (part[upper] - zero) / size
        result.loc[here, "reference"] = best["method"]
    return result


def _candidates(
    part: pd.DataFrame, controls: Collection[str], oracles: Collection[str]
) -> pd.DataFrame:
    """Return the rows of the oracles; of the methods that are no controls where there are none."""
    planted = part[part["method"].isin(list(oracles))]
    return planted if len(planted) else part[~part["method"].isin(list(controls))]


def _best(rows: pd.DataFrame, sign: int) -> pd.Series:
    """Return the best row; the first by name among equals."""
    ranked = rows.assign(good=sign * rows["mean"])
    return ranked.sort_values(["good", "method"], ascending=[False, True]).iloc[0]


def shade(scaled_score: float) -> str:
    """Return the colour of a scaled score.

    Returns:
        "u0" to "u4" above the random control, "d0" to "d2" below it, nothing for NaN.
    """
    if math.isnan(scaled_score):
        return ""
    if scaled_score < 0:
        return f"d{min(2, int(-scaled_score * 3))}"
    return f"u{min(N_SHADES - 1, int(scaled_score * N_SHADES))}"


def by_group(
    outcomes: pd.DataFrame, blank: Collection[tuple[str, str, str]], metrics: Sequence[Record]
) -> pd.DataFrame:
    """Return the mean scaled score of each method over the informative metrics of a group.

    The mean is over all networks. `n_cells` of `n_planned` network and metric pairs have a score: a
    mean over fewer of them than another method has would mislead.

    Args:
        outcomes: with the columns of `scaled`.
        blank: dataset, model and metric of what is not informative.
        metrics: cards, for the groups.
    """
    measures = {record["metric"]: record["measures"] for record in metrics}

    known = outcomes[outcomes["scaled"].notna()]
    places = pd.MultiIndex.from_frame(known[list(PLACE)])
    is_blank = places.isin(list(blank))
    known = known[~is_blank]
    known = known.assign(group=known["metric"].map(measures))

    by_method = known.groupby(["group", "method"])
    cells = by_method["scaled"].agg(["mean", "size"]).reset_index()
    cells = cells.rename(columns={"mean": "scaled", "size": "n_cells"})

    distinct = known.drop_duplicates(list(PLACE))
    n_planned = distinct.groupby("group").size()
    cells["n_planned"] = cells["group"].map(n_planned)
    return cells
