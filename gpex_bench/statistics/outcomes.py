"""From scores of single samples to numbers that can be compared: means, intervals, ties.

The sample is the unit of uncertainty: scores are averaged over the training seeds first, then the samples are drawn
again with replacement (`inference.bootstrap`). The spread over training seeds is given separately, never mixed in. The
best method is the one with the best mean; which others cannot be told from it is decided by paired tests on the same
samples with Holm's correction (`inference.pairs`), and nothing is marked where the metric is not informative.

A method's numbers do not depend on the other methods. The marks (p values, ties) do, because they compare with the
best.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.pairs import compare, families, verdicts
from gpex_bench.statistics.units import Units, sample_means, units
from gpex_bench.tables.columns import (
    AGREEMENT,
    CELLS,
    MARKS,
    OUTCOMES,
    PLACE,
    SCORES,
    SKIPPED,
    SUMMARY,
    require,
)
from gpex_bench.tables.order import groups, ordered, records
from gpex_bench.tables.words import wording


def mark(block: Units, rows: pd.DataFrame) -> pd.DataFrame:
    """Compare each method with the best one that is no control, sample by sample.

    Adds `difference` (how much worse than the best on average, in the units of the score), `p_value` (Wilcoxon, Holm),
    `is_best`, and `is_best_group`: the best and all that cannot be told from it at the 5 % level, or are better.
    """
    rows = unmarked(rows)
    good = np.where(block.is_control, -np.inf, block.sign * rows["mean"])
    if not np.isfinite(good).any():
        return rows
    best = int(np.argmax(good))
    told = compare(block)
    adjusted = families(block, told)
    behind = sample_means(block.scores[best] - block.scores)
    known = np.isfinite(behind)
    rows["difference"] = np.where(known, behind, 0).sum(1) / np.maximum(known.sum(1), 1)
    rows["p_value"] = adjusted[block.group[best], block.group]
    rows["is_best"] = np.arange(len(rows)) == best
    rows.loc[rows["is_best"], "p_value"] = np.nan
    return rows.assign(is_best_group=verdicts(told, adjusted)[block.group[best], block.group] < 1)


def unmarked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without a best one."""
    return rows.assign(difference=np.nan, p_value=np.nan, is_best=False, is_best_group=False)


def summarise(
    scores: pd.DataFrame,
    higher_is_better: Mapping[str, bool],
    controls: Collection[str] = (),
    uninformative: Collection[tuple[str, str, str]] = (),
) -> pd.DataFrame:
    """Return one row per dataset, model, method and metric: mean, interval, spread over seeds, ties with the best.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target); finite.
        higher_is_better: direction of each metric.
        controls: run ids of methods that cannot be the best (they can be tied with it, or beat it).
        uninformative: dataset, model and metric where nothing is marked (`inference.informative`).

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
        raise ValueError(
            f"higher_is_better lacks the metrics {unknown}; state the direction of each."
        )
    frames = []
    for block in units(scores, higher_is_better, controls):
        rows = intervals(block)
        rows = unmarked(rows) if block.place in uninformative else mark(block, rows)
        frames.append(rows.assign(**dict(zip(PLACE, block.place, strict=True))))
    columns = [*SUMMARY, *MARKS]
    return (
        ordered(pd.concat(frames, ignore_index=True)[columns])
        if frames
        else pd.DataFrame(columns=columns)
    )


def outcome_table(
    summary: pd.DataFrame, cells: pd.DataFrame, skipped: pd.DataFrame
) -> pd.DataFrame:
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
    fates = {
        tuple(row[name] for name in full): (str(row["status"]), str(row["reason"]))
        for row in records(skipped)
    }
    rows: list[dict[str, Any]] = []
    for (dataset, model), block in groups(ordered(cells), ["dataset", "model"]):
        here = [
            frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
            for frame in (summary, skipped)
        ]
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


def _state(
    seeds: pd.DataFrame, found: Mapping[str, Any], skipped: tuple[str, str] | None
) -> tuple[str, str]:
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
        missing = [
            f"seed {row['seed']} {wording(row['status'], row['reason'])}" for row in records(bad)
        ]
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
    frame = frame.rename(columns={"min": "low", "max": "high", "count": "n_seeds"}).assign(
        is_weakest=False
    )
    heads = frame[
        (frame["statistic"] == "pearson") & (frame["head"] != "all") & (frame["n_seeds"] > 0)
    ]
    frame.loc[heads.groupby(place)["mean"].idxmin(), "is_weakest"] = True
    return ordered(frame)


def cost_summary(
    cells: pd.DataFrame,
    outcomes: pd.DataFrame,
    metric: str,
    higher_is_better: bool,
    controls: Collection[str],
) -> pd.DataFrame:
    """Return cost per sample beside one score, for each method that has the score.

    Cost counts rows sent through a network: `forward + 2 backward + surrogate` rows per explained sample, where a pass
    through the surrogate's own network counts like a forward pass. `is_pareto`: no method that is not a control is
    cheaper and as good, or as cheap and better.
    """
    require(cells, CELLS, "cells")
    done = cells[cells["status"] == "ok"].assign(surrogate=cells.get("surrogate_rows", 0))
    done["rows"] = done["forward_rows"] + 2 * done["backward_rows"] + done["surrogate"].fillna(0)
    place = ["dataset", "model", "method"]
    sums = (
        ordered(done)
        .groupby(place)[["rows", "forward_rows", "backward_rows", "surrogate", "n_samples"]]
        .sum()
    )
    per = sums.drop(columns="n_samples").div(sums["n_samples"], axis=0).reset_index()
    per = per.rename(
        columns={"rows": "rows_per_sample", "forward_rows": "forward", "backward_rows": "backward"}
    )
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
        alike = [
            by_cost["rows_per_sample"],
            by_cost["good"],
        ]  # of equal methods no name comes first
        frame.loc[by_cost.index[front.groupby(alike).transform("any")], "is_pareto"] = True
    return ordered(frame.rename(columns={"surrogate": "surrogate_rows"}))
