"""What the numbers mean: who reaches the reference, and whether E-LIME's claim holds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.tables.order import records

# times faster than LIME: wang2022explaining reports this of E-LIME
CLAIM = 10

# verdicts
REACHES = "reaches it"
NOT_REACHED = "not reached"
FAILED = "failed"
HOLDS = "holds"
DOES_NOT_HOLD = "does not hold"


def reference(curve: pd.DataFrame, plan: Budget) -> dict[str, Any]:
    """Return the row of the reference on one network."""
    is_reference = curve["method"] == plan.reference_method
    return records(curve[is_reference & (curve["budget"] == plan.reference_budget)])[0]


def reach(needs: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """Return the methods with budgets, the one that needs fewest evaluations first.

    Added columns: `verdict`, and for methods that do not reach the reference `best` and `best_at`:
    their best mean score, and its budget.

    Args:
        needs: of one network.
        curve: of one network.
    """
    ran = curve[curve["status"] == "ok"]
    rows = []
    for row in records(needs.sort_values(["needed", "method"], kind="stable")):
        if np.isnan(row["needed"]):
            rows.append(row | {"verdict": FAILED})
        elif np.isfinite(row["needed"]):
            rows.append(row | {"verdict": REACHES})
        else:
            own = ran[ran["method"] == row["method"]]
            best = own.loc[own["mean"].idxmax()]
            row |= {"verdict": NOT_REACHED, "best": best["mean"], "best_at": best["budget"]}
            rows.append(row)
    return pd.DataFrame(rows)


def own_costs(curve: pd.DataFrame, plan: Budget) -> pd.DataFrame:
    """Return the methods that ran as they are configured, the best first, with a verdict.

    Args:
        curve: of one network.
        plan: of the study.
    """
    goal = reference(curve, plan)["mean"]
    enough = goal - plan.tolerance * abs(goal)

    is_own = curve["budget"] == OWN_COST
    is_ok = curve["status"] == "ok"
    own = curve[is_own & is_ok].sort_values("mean", ascending=False)

    verdicts = [REACHES if mean >= enough else NOT_REACHED for mean in own["mean"]]
    return own.assign(verdict=verdicts)


def chosen(needs: pd.DataFrame) -> pd.DataFrame:
    """Return the methods for which a budget was chosen on half of the samples, fastest first."""
    found = needs[np.isfinite(needs["chosen"].astype(float))]
    return found.sort_values(["faster", "method"], ascending=[False, False], kind="stable")


def claims(needs: pd.DataFrame, evolutionary: Collection[str], plan: Budget) -> pd.DataFrame:
    """Return one row per evolutionary explainer: is it CLAIM times faster, and as faithful?

    Columns: method, verdict, keeps, faster with its ends, against (times faster than the reference
    method at the budget chosen for it; NaN where none was) and against_budget.

    Args:
        needs: of one network.
        evolutionary: run ids of the explainers.
        plan: of the study.
    """
    known = {row["method"]: row for row in records(needs.dropna(subset="chosen"))}
    own = known.get(plan.reference_method)
    rows = []
    for name, row in known.items():
        if name not in evolutionary:
            continue
        if not np.isfinite(row["chosen"]):
            rows.append({"method": name, "verdict": NOT_REACHED})
            continue

        holds = row["keeps"] and row["faster_low"] >= CLAIM
        found = {key: row[key] for key in ("keeps", "faster", "faster_low", "faster_high")}
        if own is not None and np.isfinite(own["chosen"]):
            found |= {"against": row["faster"] / own["faster"], "against_budget": own["chosen"]}
        rows.append({"method": name, "verdict": HOLDS if holds else DOES_NOT_HOLD} | found)
    return pd.DataFrame(rows)
