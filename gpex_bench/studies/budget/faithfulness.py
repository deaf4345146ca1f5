"""Scores at several budgets → curves, and how many evaluations reach the reference.

The sample is the unit of uncertainty: scores are averaged over the training seeds, then the samples
are resampled (`statistics.bootstrap`). A method reaches the reference at the first of its budgets
at which its mean score is at least that of the reference method at its own budget, less a
tolerance. Both are resampled together. An end of the interval that no budget reaches is infinite.

The first budget that reaches the reference is picked after a look at the scores. So it is also
chosen on every other sample, and judged on the rest (`held_out`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.statistics.bootstrap import counts, resampled_means, tail
from gpex_bench.statistics.means import interval
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import groups

RUN = [*NETWORK, "method", "budget"]
# per sample; a backward row counts as two
COST = ["forward", "backward", "rows", "cpu_seconds"]
CURVES = [*RUN, "status", "reason", "mean", "low", "high", "n_samples", "n_seeds", *COST]

NEEDED = ["needed", "needed_low", "needed_high", "reached", "largest", "rows", "cpu_seconds"]
HELD_OUT = ["chosen", "difference", "difference_low", "difference_high", "keeps", "n_judged"]
FASTER = ["fewer_rows", "faster", "faster_low", "faster_high"]
NEEDS = [*NETWORK, "method", *NEEDED, *HELD_OUT, *FASTER, "tried", "reason"]


def curves(scores: pd.DataFrame, runs: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, method and budget (`CURVES`): mean score, interval, costs.

    A budget at which a method failed for some training seed has the reason and no numbers.

    Args:
        scores: dataset, model, method, seed, budget, sample, score.
        runs: dataset, model, method, seed, budget, status, reason, n_samples, forward_rows,
            backward_rows.
        seconds: dataset, model, method, seed, budget, part, n_samples, cpu_seconds; measured.
    """
    spent = seconds.groupby(RUN)[["cpu_seconds", "n_samples"]].sum()
    rows = []
    for key, part in groups(runs, RUN):
        row = dict(zip(RUN, key, strict=True)) | {"n_seeds": len(part)}
        failed = part[part["status"] != "ok"]
        if len(failed):
            first = failed.iloc[0]
            rows.append(row | {"status": first["status"], "reason": str(first["reason"])})
            continue

        values = per_sample(scores, key).to_numpy()
        low, high = interval(values)
        row |= {"status": "ok", "reason": "", "n_samples": len(values)}
        row |= {"mean": values.mean(), "low": low, "high": high}
        rows.append(row | _costs(part, spent.loc[key]))
    return pd.DataFrame(rows, columns=CURVES)


def _costs(part: pd.DataFrame, spent: pd.Series) -> dict[str, float]:
    """Return what one budget costs per sample, as a mean over the training seeds."""
    forward = (part["forward_rows"] / part["n_samples"]).mean()
    backward = (part["backward_rows"] / part["n_samples"]).mean()
    return {
        "forward": forward,
        "backward": backward,
        "rows": forward + 2 * backward,
        "cpu_seconds": spent["cpu_seconds"] / spent["n_samples"],
    }


def per_sample(scores: pd.DataFrame, key: tuple[str, str, str, int]) -> pd.Series:
    """Return the score of each sample at one budget, averaged over the training seeds.

    Samples are in sorted order.
    """
    is_run = pd.Series(True, index=scores.index)
    for column, value in zip(RUN, key, strict=True):
        is_run &= scores[column] == value

    own = scores[is_run]
    return own.groupby("sample")["score"].mean()


@dataclass(frozen=True)
class Ladder:
    """The scores of one method at its budgets, and those of the reference, on the same samples."""

    # at which it ran, ascending
    budgets: list[int]
    # [budget, sample]
    scores: np.ndarray
    # [sample]
    reference: np.ndarray

    def on(self, samples: np.ndarray) -> Ladder:
        """Return the ladder on some samples."""
        return Ladder(self.budgets, self.scores[:, samples], self.reference[samples])

    def step(self, tolerance: float) -> int:
        """Return the place of the first budget that reaches the reference, or their number."""
        means = self.scores.mean(1)[:, None]
        goal = self.reference.mean(keepdims=True)
        return int(_first(means, goal, tolerance)[0])

    def steps(self, tolerance: float, times: np.ndarray) -> np.ndarray:
        """Return the same for each resample of the samples [n_resamples]."""
        means = resampled_means(self.scores.T, times).T
        goal = resampled_means(self.reference[:, None], times)[:, 0]
        return _first(means, goal, tolerance)


def _first(means: np.ndarray, goal: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the first row of each column of means [budget, resample] that reaches the goal.

    The number of rows where none does.
    """
    reaches = means >= goal - tolerance * np.abs(goal)
    return np.where(reaches.any(0), reaches.argmax(0), len(means))


def needs(
    scores: pd.DataFrame, curve: pd.DataFrame, seconds: pd.DataFrame, plan: Budget
) -> pd.DataFrame:
    """Return one row per network and method with budgets (`NEEDS`): what reaches the reference.

    - `needed`: the first budget that does, with its interval (infinite: none does); `rows` and
      `cpu_seconds`: what a sample costs there; `reached`: share of the resamples in which any does.
    - `chosen` and what follows: see `held_out` and `faster`.
    - `tried`: number of budgets; `reason`: why there is no number.
    """
    rows = []
    for place, part in groups(curve[curve["budget"] != OWN_COST], NETWORK):
        goal = per_sample(scores, (*place, plan.reference_method, plan.reference_budget)).to_numpy()
        for (method,), own in groups(part, ["method"]):
            row = dict(zip(NETWORK, place, strict=True)) | {"method": method, "tried": len(own)}
            ran = own[own["status"] == "ok"].set_index("budget")
            if ran.empty or not len(goal):
                missing = f"{plan.reference_method} has no scores to compare with"
                rows.append(row | {"reason": str(own.iloc[0]["reason"]) or missing})
                continue

            budgets = list(ran.index)
            values = [per_sample(scores, (*place, method, b)).to_numpy() for b in budgets]
            ladder = Ladder(budgets, np.stack(values), goal)
            network = "/".join(place)
            row |= _needed(ladder, ran, plan, network)
            row |= held_out(ladder, plan)
            if np.isfinite(row["chosen"]):
                row |= faster(seconds, (*place, method, int(row["chosen"])), plan)
                row["fewer_rows"] = plan.reference_budget / float(ran["rows"][int(row["chosen"])])
            rows.append(row)
    return pd.DataFrame(rows, columns=NEEDS)


def _needed(ladder: Ladder, ran: pd.DataFrame, plan: Budget, key: str) -> dict[str, float]:
    """Return the budget that reaches the reference with its interval, and what it costs."""
    n = len(ladder.reference)
    steps = ladder.steps(plan.tolerance, counts(key, n))
    low, high = np.quantile(steps, [tail(n), 1 - tail(n)], method="inverted_cdf")

    # one step after the last budget is "not reached"
    budgets = [*map(float, ladder.budgets), np.inf]
    step = ladder.step(plan.tolerance)
    is_reached = steps < len(ran)
    found = {
        "needed": budgets[step],
        "needed_low": budgets[int(low)],
        "needed_high": budgets[int(high)],
        "reached": float(is_reached.mean()),
        "largest": float(ladder.budgets[-1]),
    }
    if step == len(ran):
        return found

    cost = ran.iloc[step]
    return found | {"rows": float(cost["rows"]), "cpu_seconds": float(cost["cpu_seconds"])}


def held_out(ladder: Ladder, plan: Budget) -> dict[str, Any]:
    """Choose the budget on every other sample and return how the method then does on the rest.

    `chosen`: the budget, infinite if none reaches the reference. Then only, on the other samples:
    `difference`: mean score minus the reference's, with its interval; `keeps`: whether its lower
    end is within the tolerance of the reference.
    """
    n = len(ladder.reference)
    step = ladder.on(np.arange(0, n, 2)).step(plan.tolerance)
    judged = ladder.on(np.arange(1, n, 2))
    n_judged = len(judged.reference)
    if step == len(ladder.budgets):
        return {"chosen": np.inf, "n_judged": n_judged}

    gain = judged.scores[step] - judged.reference
    low, high = interval(gain)
    allowed = plan.tolerance * abs(judged.reference.mean())
    return {
        "chosen": float(ladder.budgets[step]),
        "n_judged": n_judged,
        "difference": float(gain.mean()),
        "difference_low": low,
        "difference_high": high,
        "keeps": bool(low >= -allowed),
    }


def faster(seconds: pd.DataFrame, run: tuple[str, str, str, int], plan: Budget) -> dict[str, float]:
    """Return how many times faster than the reference a method is at a budget.

    The mean over the measurements, with the smallest and the largest ratio. Seconds are measured on
    parts of all the samples, and are not looked at when the budget is chosen.
    """
    dataset, model, method, budget = run
    here = seconds[(seconds["dataset"] == dataset) & (seconds["model"] == model)]
    spent = here.set_index(["method", "budget", "seed", "part"])["cpu_seconds"].sort_index()

    # one measurement for each training seed and part of the samples
    reference = spent.loc[plan.reference_method, plan.reference_budget]
    own = spent.loc[method, budget]
    both = pd.concat([reference, own], axis=1)
    ratios = (both.iloc[:, 0] / both.iloc[:, 1]).to_numpy()
    return {
        "faster": float(ratios.mean()),
        "faster_low": float(ratios.min()),
        "faster_high": float(ratios.max()),
    }
