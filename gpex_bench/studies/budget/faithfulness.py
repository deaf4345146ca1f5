"""Scores at several budgets → curves, and how many evaluations each method needs to reach the reference.

The sample is the unit of uncertainty: scores are averaged over the training seeds, then the samples are drawn again
(`statistics`). A method reaches the reference at the first of its budgets at which its mean score is at least that of
the reference method at its own budget, less a tolerance. Both are drawn together, so that the interval of the budget
is one of the same samples; an end that no budget reaches reads infinite ("not reached").

The first budget that does is picked after a look at the scores. So it is also picked on every other sample, and judged
on the rest (`held_out`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from gpex_bench.statistics.bootstrap import counts, interval, resampled_means, tail
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.tables.order import groups

PLACE = ["dataset", "model"]
RUN = [*PLACE, "method", "budget"]
COST = ["forward", "backward", "rows", "cpu_seconds"]  # per sample; a backward row counts as two


def curves(scores: pd.DataFrame, runs: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, method and budget: mean score, interval, costs per sample, or why there is none.

    Args:
        scores: dataset, model, method, seed, budget, sample, score.
        runs: dataset, model, method, seed, budget, status, reason, n_samples, forward_rows, backward_rows.
        seconds: dataset, model, method, seed, budget, part, n_samples, cpu_seconds; measured.
    """
    spent = seconds.groupby(RUN)[["cpu_seconds", "n_samples"]].sum()
    rows = []
    for key, part in groups(runs, RUN):
        bad = part[part["status"] != "ok"]
        found = dict(zip(RUN, key, strict=True)) | {
            "status": "ok",
            "reason": "",
            "n_seeds": len(part),
        }
        if len(bad):
            rows.append(found | {"status": "failed", "reason": str(bad.iloc[0]["reason"])})
            continue
        values = per_sample(scores, key).to_numpy()
        n = len(values)
        low, high = interval(values, "/".join(key[:2]))
        costs = {f: (part[f"{f}_rows"] / part["n_samples"]).mean() for f in ("forward", "backward")}
        costs["rows"] = costs["forward"] + 2 * costs["backward"]
        costs["cpu_seconds"] = spent.loc[key, "cpu_seconds"] / spent.loc[key, "n_samples"]
        rows.append(
            found | {"mean": values.mean(), "low": low, "high": high, "n_samples": n} | costs
        )
    columns = [*RUN, "status", "reason", "mean", "low", "high", "n_samples", "n_seeds", *COST]
    return pd.DataFrame(rows, columns=columns)


def per_sample(scores: pd.DataFrame, key: tuple[str, str, str, int]) -> pd.Series:
    """Return the score of each sample at one budget, averaged over the training seeds; samples in sorted order."""
    dataset, model, method, budget = key
    here = (scores["dataset"] == dataset) & (scores["model"] == model)
    part = scores[here & (scores["method"] == method) & (scores["budget"] == budget)]
    return part.groupby("sample")["score"].mean()


@dataclass(frozen=True)
class Ladder:
    """The scores of one method at its budgets, and those of the reference, on the same samples."""

    budgets: list[int]  # at which it ran, ascending
    scores: np.ndarray  # [budget, sample]
    reference: np.ndarray  # [sample]

    def on(self, samples: np.ndarray) -> Ladder:
        """Return the ladder on some samples."""
        return Ladder(self.budgets, self.scores[:, samples], self.reference[samples])

    def step(self, tolerance: float) -> int:
        """Return the place of the first budget that reaches the reference, or their number if none does."""
        return int(
            _first(self.scores.mean(1)[:, None], self.reference.mean(keepdims=True), tolerance)[0]
        )

    def steps(self, tolerance: float, times: np.ndarray) -> np.ndarray:
        """Return the same for each resample of the samples [n_resamples]."""
        means = resampled_means(self.scores.T, times).T
        return _first(means, resampled_means(self.reference[:, None], times)[:, 0], tolerance)


def _first(means: np.ndarray, reference: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the first row of each column of means [budget, draw] that is at least the reference less the tolerance."""
    reaches = means >= reference - tolerance * np.abs(reference)
    return np.where(reaches.any(0), reaches.argmax(0), len(means))


def needs(
    scores: pd.DataFrame, curve: pd.DataFrame, seconds: pd.DataFrame, plan: Budget
) -> pd.DataFrame:
    """Return what each method with budgets needs to reach the reference, and how that holds on other samples.

    Columns: `needed` rows as a budget with its interval (infinite: not reached); `rows` and `cpu_seconds` per sample it
    spends there; `reached`: share of the resamples in which any budget does; and what `held_out` adds.
    """
    rows = []
    for place, part in groups(curve[curve["budget"] != OWN_COST], PLACE):
        reference = per_sample(
            scores, (*place, plan.reference_method, plan.reference_budget)
        ).to_numpy()
        speed = _speed(seconds, place, plan)
        for (method,), own in groups(part, ["method"]):
            ran = own[own["status"] == "ok"].set_index("budget")
            found = dict(zip(PLACE, place, strict=True)) | {"method": method, "tried": len(own)}
            if ran.empty or not len(reference):
                reason = (
                    str(own.iloc[0]["reason"])
                    or f"{plan.reference_method} has no scores to be held against"
                )
                rows.append(found | {"reason": reason})
                continue
            table = np.stack(
                [per_sample(scores, (*place, method, budget)).to_numpy() for budget in ran.index]
            )
            ladder = Ladder(list(ran.index), table, reference)
            key = "/".join(place)
            rows.append(
                found
                | _needed(ladder, ran, plan, key)
                | held_out(ladder, ran, plan, partial(speed, method), key)
            )
    return pd.DataFrame(rows, columns=[*PLACE, "method", *NEEDED, *HELD_OUT, "tried", "reason"])


NEEDED = ["needed", "needed_low", "needed_high", "reached", "largest", "rows", "cpu_seconds"]
HELD_OUT = ["chosen", "difference", "difference_low", "difference_high", "keeps", "n_judged"]
HELD_OUT += ["fewer_rows", "faster", "faster_low", "faster_high"]


def _needed(ladder: Ladder, ran: pd.DataFrame, plan: Budget, key: str) -> dict[str, float]:
    """Return the budget that reaches the reference with its interval, and what it costs."""
    n = len(ladder.reference)
    steps = ladder.steps(plan.tolerance, counts(key, n))
    ends = np.quantile(steps, [tail(n), 1 - tail(n)], method="inverted_cdf")
    budgets = [*ladder.budgets, np.inf]
    step = ladder.step(plan.tolerance)
    cost = (
        {name: float(ran[name].iloc[step]) for name in ("rows", "cpu_seconds")}
        if step < len(ran)
        else {}
    )
    low, high = (float(budgets[int(end)]) for end in ends)
    reached = float((steps < len(ran)).mean())
    found = {
        "needed": float(budgets[step]),
        "needed_low": low,
        "needed_high": high,
        "reached": reached,
    }
    return found | {"largest": float(ladder.budgets[-1])} | cost


def held_out(
    ladder: Ladder,
    ran: pd.DataFrame,
    plan: Budget,
    speed: Callable[[int], np.ndarray],
    key: str,
) -> dict[str, float]:
    """Choose the budget on every other sample and return how the method then does on the rest.

    `difference`: mean score minus the reference's, with its interval; `keeps`: whether its lower end stays within the
    tolerance of the reference; `fewer_rows` and `faster`: the reference's rows and CPU seconds over the method's on all
    samples, the latter with the smallest and largest ratio over the measurements (seconds are measured on thirds of
    the samples, and were not looked at in choosing). Only `chosen` (infinite) if nothing reaches it.
    """
    n = len(ladder.reference)
    step = ladder.on(np.arange(0, n, 2)).step(plan.tolerance)
    judged = ladder.on(np.arange(1, n, 2))
    if step == len(ran):
        return {"chosen": np.inf, "n_judged": len(judged.reference)}
    gain = judged.scores[step] - judged.reference
    low, high = interval(gain, key)
    ratios, budget = speed(ladder.budgets[step]), ladder.budgets[step]
    return {
        "chosen": float(budget),
        "difference": float(gain.mean()),
        "difference_low": low,
        "difference_high": high,
        "keeps": bool(low >= -plan.tolerance * abs(judged.reference.mean())),
        "n_judged": len(gain),
        "fewer_rows": plan.reference_budget / float(ran["rows"].iloc[step]),
        "faster": float(ratios.mean()),
        "faster_low": float(ratios.min()),
        "faster_high": float(ratios.max()),
    }


def _speed(
    seconds: pd.DataFrame, place: tuple[str, str], plan: Budget
) -> Callable[[str, int], np.ndarray]:
    """Return the function that says how many times faster than the reference a method is, for each measurement."""
    here = seconds[(seconds["dataset"] == place[0]) & (seconds["model"] == place[1])]
    spent = here.set_index(["method", "budget", "seed", "part"])["cpu_seconds"].sort_index()

    def speed(method: str, budget: int) -> np.ndarray:
        both = pd.concat(
            [spent.loc[plan.reference_method, plan.reference_budget], spent.loc[method, budget]],
            axis=1,
        )
        return (both.iloc[:, 0] / both.iloc[:, 1]).to_numpy()

    return speed
