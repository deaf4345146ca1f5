"""From scores of single samples to numbers that can be compared: means, intervals, ties.

The sample is the unit of uncertainty: scores are averaged over the training seeds first, then the samples are drawn
again with replacement. Intervals are expanded percentile intervals (hesterberg2015teachers): the tail probability of
the percentile bootstrap is replaced by one that allows for the n - 1 degrees of freedom, so that few samples do not
look too sure. Differences between two methods are tested on the same samples (paired, studentised bootstrap), with
Holm's correction for many methods. The spread over training seeds is given separately, never mixed in.

Every draw is seeded from (dataset, model, number of samples): a method's numbers do not depend on the other methods.
The marks (p values, ties) do, because they compare with the best.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.frames import (
    AGREEMENT,
    CELLS,
    MARKS,
    OUTCOMES,
    SCORES,
    SKIPPED,
    SUMMARY,
    groups,
    ordered,
    records,
    require,
    wording,
)

CONFIDENCE = 0.95
N_RESAMPLES = 10_000


def draws(key: str, n_samples: int, n_resamples: int = N_RESAMPLES) -> np.ndarray:
    """Return bootstrap indices [n_resamples, n_samples], decided by the key and the number of samples alone."""
    digest = hashlib.sha256(f"{key}/{n_samples}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    return generator.integers(0, n_samples, (n_resamples, n_samples), dtype=np.int32)


def resampled_means(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the mean of each resample [n_resamples]. Not a matrix product: its bits would depend on threads."""
    return np.asarray(values[index].mean(axis=1))


def expansion(n_samples: int) -> float:
    """Return the ratio of a mean's standard error to the standard deviation of its resamples."""
    return float(np.sqrt(n_samples / (n_samples - 1)))


def percentile_interval(means: np.ndarray, n_samples: int) -> tuple[float, float]:
    """Return the expanded percentile interval of resampled means; (nan, nan) for fewer than two samples."""
    if n_samples < 2:
        return float("nan"), float("nan")
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n_samples - 1)
    tail = stats.norm.cdf(-expansion(n_samples) * quantile)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def p_value(differences: np.ndarray, index: np.ndarray) -> float:
    """Return the two-sided p value of "the mean difference is 0" by the studentised bootstrap (efron1993introduction).

    How often a resample's mean lies as many of its own standard errors from the observed mean as that one lies from 0.
    1 for fewer than two samples or no difference at all; never below 1 / (n_resamples + 1).
    """
    if len(differences) < 2 or not differences.any():
        return 1.0
    drawn = differences[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(drawn.mean(axis=1) - differences.mean()) / drawn.std(axis=1)
        observed = abs(differences.mean()) / differences.std()
    return float(((np.nan_to_num(distance, posinf=np.inf) >= observed).sum() + 1) / (len(index) + 1))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p values adjusted for many comparisons by Holm's step-down rule (holm1979simple)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def per_sample(scores: pd.DataFrame) -> pd.Series:
    """Return one number per (method, sample) of one dataset, model and metric: the mean over targets, then seeds."""
    return scores.groupby(["method", "sample", "seed"])["score"].mean().groupby(["method", "sample"]).mean()


def describe(scores: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return mean, interval and spread of each method of one dataset, model and metric."""
    values = per_sample(scores)
    seeds = scores.groupby(["method", "seed"])["score"].mean().groupby("method")
    rows = []
    for method, part in groups(values.reset_index(), ["method"]):
        n_samples = len(part)
        low, high = percentile_interval(resampled_means(part["score"].to_numpy(), draws(key, n_samples)), n_samples)
        rows.append((*method, part["score"].mean(), low, high, n_samples))
    frame = pd.DataFrame(rows, columns=["method", "mean", "low", "high", "n_samples"]).set_index("method")
    return frame.assign(seed_sd=seeds.std(ddof=1), n_seeds=seeds.size()).reset_index()


def mark(scores: pd.DataFrame, rows: pd.DataFrame, sign: int, controls: Collection[str], key: str) -> pd.DataFrame:
    """Compare each method with the best one that is no control, sample by sample.

    Adds `difference` (how much worse than the best, in the units of the score), `p_value` (paired bootstrap, Holm),
    `is_best`, and `is_best_group`: the best and all that cannot be told from it at the 5 % level, or are better.
    """
    rows = rows.assign(difference=np.nan, p_value=np.nan, is_best=False, is_best_group=False)
    candidates = rows[~rows["method"].isin(list(controls))]
    if candidates.empty:
        return rows
    best = str(candidates["method"].iloc[int(np.argmax(sign * candidates["mean"].to_numpy()))])
    values = per_sample(scores).unstack("method")
    found: dict[str, tuple[float, float]] = {}
    for method in map(str, values.columns.drop(best)):
        worse = (sign * (values[best] - values[method])).dropna().to_numpy()
        chance = p_value(worse, draws(key, len(worse))) if len(worse) else 1.0
        found[method] = (float(worse.mean()) if len(worse) else float("nan"), chance)
    adjusted = dict(zip(found, holm(np.array([p for _, p in found.values()])), strict=True))
    rows["is_best"] = rows["method"] == best
    rows["difference"] = [0.0 if method == best else found[method][0] for method in rows["method"]]
    rows["p_value"] = [adjusted.get(method, np.nan) for method in rows["method"]]
    separate = (rows["p_value"] < 1 - CONFIDENCE) & (rows["difference"] > 0)
    return rows.assign(is_best_group=~separate)


def summarise(
    scores: pd.DataFrame, higher_is_better: Mapping[str, bool], controls: Collection[str] = ()
) -> pd.DataFrame:
    """Return one row per dataset, model, method and metric: mean, interval, spread over seeds, ties with the best.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target); finite.
        higher_is_better: direction of each metric.
        controls: run ids of methods that cannot be the best (they can be tied with it, or beat it).

    Raises:
        ValueError: a column is missing, a score is not finite, or a metric has no direction.
    """
    require(scores, SCORES, "scores")
    bad = scores[~np.isfinite(scores["score"].to_numpy(dtype=float))]
    if len(bad):
        where = ", ".join(f"{key}={bad.iloc[0][key]}" for key in SCORES[:-1])
        raise ValueError(f"scores holds {len(bad)} numbers that are not finite, first at {where}.")
    unknown = sorted(set(scores["metric"]) - set(higher_is_better))
    if unknown:
        raise ValueError(f"higher_is_better lacks the metrics {unknown}; state the direction of each.")
    frames = []
    for (dataset, model, metric), part in groups(ordered(scores), ["dataset", "model", "metric"]):
        key = f"{dataset}/{model}"
        rows = mark(part, describe(part, key), 1 if higher_is_better[metric] else -1, controls, key)
        frames.append(rows.assign(dataset=dataset, model=model, metric=metric))
    columns = [*SUMMARY, *MARKS]
    return ordered(pd.concat(frames, ignore_index=True)[columns]) if frames else pd.DataFrame(columns=columns)


def outcomes(summary: pd.DataFrame, cells: pd.DataFrame, skipped: pd.DataFrame) -> pd.DataFrame:
    """Return one row for every dataset, model, method and metric, with a number or with the reason why there is none.

    `state` is ok, not_applicable, missing, or the status of the failed cells or of the failed metric. `reason` of an ok
    row names the seeds that are missing from it, if any. `mark` is "best" where one method is told from all others,
    "tied" for the members of a larger best group, and empty elsewhere.

    Raises:
        ValueError: a column is missing, or a number stands where the cell failed or the metric was skipped.
    """
    require(summary, (*SUMMARY, *MARKS), "summary")
    require(cells, CELLS, "cells")
    require(skipped, SKIPPED, "skipped")
    full = ("dataset", "model", "method", "metric")
    known = {tuple(row[name] for name in full): row for row in records(summary)}
    fates = {tuple(row[name] for name in full): (str(row["status"]), str(row["reason"])) for row in records(skipped)}
    rows: list[dict[str, Any]] = []
    for (dataset, model), block in groups(ordered(cells), ["dataset", "model"]):
        here = [frame[(frame["dataset"] == dataset) & (frame["model"] == model)] for frame in (summary, skipped)]
        for (method,), seeds in groups(block, ["method"]):
            for metric in sorted(set(here[0]["metric"]) | set(here[1]["metric"])):
                key = (dataset, model, method, metric)
                found = known.get(key, {})
                state, reason = _state(seeds, found, fates.get(key))
                fate = {"state": state, "reason": reason, "n_seeds_planned": len(seeds)}
                rows.append(dict(zip(full, key, strict=True)) | found | fate)
    frame = pd.DataFrame(rows, columns=list(OUTCOMES))
    flags = {name: frame[name].eq(True) for name in ("is_best", "is_best_group")}
    frame = frame.astype({"mean": float, "low": float, "high": float}).assign(**flags)
    size = frame.groupby(["dataset", "model", "metric"])["is_best_group"].transform("sum")
    frame["mark"] = size.gt(1).map({True: "tied", False: "best"}).where(frame["is_best_group"], "")
    return ordered(frame)


def _state(seeds: pd.DataFrame, found: Mapping[str, Any], skipped: tuple[str, str] | None) -> tuple[str, str]:
    """Return state and reason of one method and metric from its cells (one per seed)."""
    bad = seeds[seeds["status"] != "ok"]
    where = "/".join(str(seeds.iloc[0][name]) for name in ("dataset", "model", "method"))
    n_ok = len(seeds) - len(bad)
    if found and (skipped or found["n_seeds"] > n_ok):
        raise ValueError(
            f"summary has scores of {found['n_seeds']:.0f} seeds of {where}, but {n_ok} of its cells are ok"
            f"{' and the metric was skipped' if skipped else ''}; scores of other cells must not reach summarise."
        )
    if found:
        missing = [f"seed {row['seed']} {wording(row['status'], row['reason'])}" for row in records(bad)]
        return "ok", "; ".join(missing)
    if skipped:
        return skipped
    if len(bad):
        return str(bad.iloc[0]["status"]), str(bad.iloc[0]["reason"])
    return "missing", "no score was recorded"


def agreement_summary(agreement: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest over training seeds of each statistic of each head.

    `is_weakest` marks the head with the lowest mean Pearson r of its dataset, model, surrogate and split; never one
    without r. NaN (the network's output is constant) is left out of the mean and of `n_seeds`, which may be 0.
    """
    require(agreement, AGREEMENT, "agreement")
    place = ["dataset", "model", "surrogate", "split"]
    groups = ordered(agreement).groupby([*place, "head", "statistic"])["value"]
    frame = groups.agg(["mean", "min", "max", "count"]).reset_index()
    frame = frame.rename(columns={"min": "low", "max": "high", "count": "n_seeds"}).assign(is_weakest=False)
    heads = frame[(frame["statistic"] == "pearson") & (frame["head"] != "all") & (frame["n_seeds"] > 0)]
    frame.loc[heads.groupby(place)["mean"].idxmin(), "is_weakest"] = True
    return ordered(frame)


def cost_summary(
    cells: pd.DataFrame, outcomes: pd.DataFrame, metric: str, higher_is_better: bool, controls: Collection[str]
) -> pd.DataFrame:
    """Return cost per sample beside one score, for each method that has the score.

    Cost counts rows sent through a network: `forward + 2 backward + surrogate` rows per explained sample, where a pass
    through the surrogate's own network counts like a forward pass. `is_pareto`: no method that is not a control is both
    cheaper (or as cheap) and better.
    """
    require(cells, CELLS, "cells")
    done = cells[cells["status"] == "ok"].assign(surrogate=cells.get("surrogate_rows", 0))
    done["rows"] = done["forward_rows"] + 2 * done["backward_rows"] + done["surrogate"].fillna(0)
    place = ["dataset", "model", "method"]
    sums = ordered(done).groupby(place)[["rows", "forward_rows", "backward_rows", "surrogate", "n_samples"]].sum()
    per = sums.drop(columns="n_samples").div(sums["n_samples"], axis=0).reset_index()
    per = per.rename(columns={"rows": "rows_per_sample", "forward_rows": "forward", "backward_rows": "backward"})
    scores = outcomes[(outcomes["metric"] == metric) & (outcomes["state"] == "ok")]
    frame = per.merge(scores[[*place, "metric", "mean", "low", "high"]], on=place)
    frame["is_control"] = frame["method"].isin(list(controls))
    frame["is_pareto"] = False
    sign = 1 if higher_is_better else -1
    for _, block in frame[~frame["is_control"]].groupby(["dataset", "model"]):
        by_cost = block.assign(good=sign * block["mean"]).sort_values(
            ["rows_per_sample", "good"], ascending=[True, False]
        )
        front = by_cost["good"] > by_cost["good"].cummax().shift(fill_value=-np.inf)
        frame.loc[by_cost.index[front], "is_pareto"] = True
    return ordered(frame.rename(columns={"surrogate": "surrogate_rows"}))
