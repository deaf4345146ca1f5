"""Leads of the claimed methods → which claims hold, which do not, and which cannot be decided."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.statistics.pairs import holm
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.claims.figure import draw_leads
from gpex_bench.studies.claims.measure import LEADS
from gpex_bench.studies.claims.plan import ENOUGH_SEEDS, Claim, Claims
from gpex_bench.tables.columns import CONFIDENCE, LEVEL, NETWORK
from gpex_bench.tables.order import groups, records

HOLDS = "holds"
OPPOSITE = "the opposite holds"
NO_DIFFERENCE = "equal within the margin"
NOT_SHOWN = "not shown"
MISSING = "no scores"

PLACE = LEADS[:6]  # claim, network, the two methods and the metric
COLUMNS = (
    *PLACE,
    "says",
    "n_seeds",
    "n_ahead",
    "mean",
    "low",
    "high",
    "margin",
    "detectable",
    "p_value",
    "p_holm",
    "verdict",
)


def answer(leads: pd.DataFrame, plan: Claims) -> Answer:
    """Answer which claims hold.

    Args:
        leads: columns `LEADS`, of `measure.leads`.
        plan: the study.
    """
    table = comparisons(leads, plan)
    text = page(
        "claims",
        plan=plan,
        claims=[_about(number, claim, table) for number, claim in enumerate(plan.claims)],
        n_seeds=int(table["n_seeds"].max()) if len(table) else 0,
        enough=ENOUGH_SEEDS,
        n_tests=len(table),
    )
    return Answer(table=table, drawings={"leads": draw_leads(table)}, sentences=text)


def comparisons(leads: pd.DataFrame, plan: Claims) -> pd.DataFrame:
    """Return one row for each claim, network and compared method, with its verdict (`COLUMNS`)."""
    rows = []
    for key, part in groups(leads, PLACE):
        says = plan.claims[key[0]].says
        place = dict(zip(PLACE, key, strict=True))
        rows.append({**place, "says": says, **_compared(part, says, plan)})
    table = pd.DataFrame(rows, columns=list(COLUMNS))

    # A comparison without a p value, of one seed, is corrected for as well.
    p_values = table["p_value"].astype(float).fillna(1.0)
    table["p_holm"] = holm(p_values.to_numpy())
    table["verdict"] = [verdict(row) for row in records(table)]
    return table


def _compared(part: pd.DataFrame, says: str, plan: Claims) -> dict[str, Any]:
    """Return the numbers of one comparison: its lead over the seeds, and what could be seen.

    Args:
        part: rows of one comparison, one a training seed.
        says: what the claim says of its method.
        plan: the study.
    """
    ahead = part["ahead"].to_numpy(float)
    n_seeds = len(ahead)
    mean = float(ahead.mean())
    spread = float(np.sqrt((part["spread"] ** 2).mean()))
    margin = plan.margin * spread
    known = {"n_seeds": n_seeds, "n_ahead": int((ahead > 0).sum()), "mean": mean, "margin": margin}
    if n_seeds < 2:
        return known

    error = float(ahead.std(ddof=1)) / math.sqrt(n_seeds)
    low, high = t_interval(mean, error, n_seeds - 1)

    # What the claim denies: no lead, or a lag of the margin or more.
    away = mean if says == "better" else mean + margin
    return known | {
        "low": float(low),
        "high": float(high),
        "detectable": detectable(error, n_seeds, plan.power),
        "p_value": _p_value(away, error, n_seeds),
    }


def _p_value(mean: float, error: float, n_seeds: int) -> float:
    """Return the two-sided p value of Student's t test that a mean is 0."""
    if error == 0:
        return float(mean == 0)
    return float(2 * stats.t.sf(abs(mean) / error, n_seeds - 1))


def detectable(error: float, n_seeds: int, power: float) -> float:
    """Return the smallest true lead that a test at the 5 % level shows with this chance.

    Two-sided Student's t test: (t at 97.5 % + t at the power) standard errors (an approximation of
    the noncentral t).
    """
    quantiles = stats.t.ppf([(1 + CONFIDENCE) / 2, power], n_seeds - 1)
    return float(quantiles.sum() * error)


def verdict(row: dict[str, Any]) -> str:
    """Return what became of a claim in one comparison.

    A claim of a better method holds where the lead is significant (Holm) and not below the margin,
    and one of a method that is not worse where a lag of the margin is excluded. Two methods are
    equal where both one-sided tests exclude a difference of the margin: where the interval with
    90 % confidence is inside it.
    """
    mean, margin = row["mean"], row["margin"]
    is_significant = row["n_seeds"] > 1 and row["p_holm"] < LEVEL

    if row["says"] == "not worse":
        if not is_significant:
            return NOT_SHOWN
        return HOLDS if mean > -margin else OPPOSITE

    if is_significant and abs(mean) >= margin:
        return HOLDS if mean > 0 else OPPOSITE
    return NO_DIFFERENCE if _is_equal(row) else NOT_SHOWN


def _is_equal(row: dict[str, Any]) -> bool:
    """Return whether two one-sided tests at the 5 % level exclude a difference of the margin."""
    if row["n_seeds"] < 2:
        return False

    half = (row["high"] - row["low"]) / 2
    degrees = row["n_seeds"] - 1
    quantiles = stats.t.ppf([1 - LEVEL, (1 + CONFIDENCE) / 2], degrees)
    narrower = half * quantiles[0] / quantiles[1]
    return bool(abs(row["mean"]) + narrower < row["margin"])


def _about(number: int, claim: Claim, table: pd.DataFrame) -> dict[str, Any]:
    """Return a claim, its comparisons, and how many of them came out in each way."""
    rows = table[table["claim"] == number]
    counts = rows["verdict"].value_counts()
    words = [HOLDS, OPPOSITE, NO_DIFFERENCE, NOT_SHOWN]
    return {
        "claim": claim,
        "rows": rows,
        "n": len(rows),
        "n_networks": len(rows[list(NETWORK)].drop_duplicates()),
        "counts": [(word, int(counts[word])) for word in words if word in counts],
    }
