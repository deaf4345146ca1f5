"""From scores of single samples to numbers that can be compared: means, intervals, marks.

The sample is the unit of uncertainty: scores are averaged over the training seeds first, and means
over samples have intervals (`statistics.means`). The spread over training seeds is given
separately, never mixed in. The best method is the one with the best mean; what is said of each
other one is the verdict of `statistics.pairs`, beside the interval of its difference to the best,
and nothing is marked where the metric is not informative.

A method's numbers do not depend on the other methods. The marks do, because they compare with the
best.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.pairs import compare, families, verdicts
from gpex_bench.statistics.units import Scale, Units, units
from gpex_bench.tables.columns import (
    AGREEMENT,
    CELLS,
    MARKS,
    NETWORK,
    OUTCOMES,
    PLACE,
    SCORES,
    SKIPPED,
    SUMMARY,
    require,
)
from gpex_bench.tables.order import groups, ordered, records
from gpex_bench.tables.words import EQUAL, FINE, WORSE, wording

OUTCOME_KEY = (*NETWORK, "method", "metric")


def mark(block: Units, rows: pd.DataFrame) -> pd.DataFrame:
    """Compare each method with the best one that is no control, sample by sample.

    Adds `difference` (how much worse than the best on average, in the units of the score) with its
    interval, `p_value` (Holm), `verdict` on the method beside the best, `is_best`, and
    `is_best_group`: the best, and all that are not worse.
    """
    rows = unmarked(rows)
    good = np.where(block.is_control, -np.inf, block.sign * rows["mean"])
    if not np.isfinite(good).any():
        return rows

    best = int(np.argmax(good))
    comparison = compare(block)
    with_best = (block.group[best], block.group)
    from_best = (block.group, block.group[best])
    rows["difference"] = comparison.estimate[with_best]
    rows["diff_low"] = comparison.low[with_best]
    rows["diff_high"] = comparison.high[with_best]

    is_best = np.arange(len(rows)) == best
    p_value = families(block, comparison)[with_best]
    verdict = verdicts(block, comparison)[from_best]
    return rows.assign(
        p_value=np.where(is_best, np.nan, p_value),
        verdict=np.where(is_best, "", verdict),
        is_best=is_best,
        is_best_group=verdict != WORSE,
    )


def unmarked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without a best one."""
    unknown = dict.fromkeys(("difference", "diff_low", "diff_high", "p_value"), np.nan)
    return rows.assign(**unknown, verdict="", is_best=False, is_best_group=False)


def _mark_others(block: Units, rows: pd.DataFrame, left_out: Collection[str]) -> pd.DataFrame:
    """Return the rows of a block, with marks of all methods but those that are left out."""
    few = block.without(left_out)
    if few is block:
        return mark(block, rows)
    is_kept = rows["method"].isin(few.methods)
    marked = mark(few, rows[is_kept].reset_index(drop=True))
    return pd.concat([marked, unmarked(rows[~is_kept])], ignore_index=True)


def summarise(
    scores: pd.DataFrame,
    scales: Mapping[str, Scale | bool],
    controls: Collection[str] = (),
    uninformative: Collection[tuple[str, str, str]] = (),
    left_out: Mapping[tuple[str, str, str], Collection[str]] | None = None,
) -> pd.DataFrame:
    """Return one row per dataset, model, method and metric.

    Mean, interval, spread over seeds, and how it compares with the best.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target); finite.
        scales: what the scores of each metric mean, or only whether more is better.
        controls: run ids of methods that cannot be the best (they can be equal to it, or beat it).
        uninformative: dataset, model and metric where nothing is marked (`statistics.informative`).
        left_out: methods that are not marked, by dataset, model and metric: those that are not
            faithful, where a metric orders faithful ones alone.

    Raises:
        ValueError: a column is missing, a score is not finite, or a metric has no direction.
    """
    require(scores, SCORES, "scores")
    bad = scores[~np.isfinite(scores["score"].to_numpy(dtype=float))]
    if len(bad):
        where = ", ".join(f"{key}={bad.iloc[0][key]}" for key in SCORES[:-1])
        raise ValueError(f"scores holds {len(bad)} numbers that are not finite, first at {where}.")

    unknown = sorted(set(scores["metric"]) - set(scales))
    if unknown:
        raise ValueError(f"scales lacks the metrics {unknown}; state the direction of each.")

    parts = []
    for block in units(scores, scales, controls):
        rows = intervals(block)
        if block.place in uninformative:
            rows = unmarked(rows)
        else:
            rows = _mark_others(block, rows, (left_out or {}).get(block.place, ()))
        parts.append(rows.assign(**dict(zip(PLACE, block.place, strict=True))))

    columns = [*SUMMARY, *MARKS]
    if not parts:
        return pd.DataFrame(columns=columns)
    return ordered(pd.concat(parts, ignore_index=True)[columns])


def outcome_table(
    summary: pd.DataFrame,
    cells: pd.DataFrame,
    skipped: pd.DataFrame,
    metrics: Collection[str] = (),
) -> pd.DataFrame:
    """Return one row for every dataset, model, method and metric: a number, or why there is none.

    `state` is ok, not_applicable, missing, or the status of the failed cells or of the failed
    metric. `reason` of an ok row names the seeds that are missing from it, if any. `mark` is "best"
    for a method that is better than all others. Without one, it is "equal" for what is equal to the
    method with the best mean and "open" for what is not shown to differ from it; that method itself
    is "open" where any other one is. It is empty elsewhere.

    Args:
        summary: the frame of `summarise`.
        cells: one row per network, seed and method.
        skipped: one row per network, method and metric without a score, with the reason.
        metrics: of the run; a network that cannot be used has no score of any.

    Raises:
        ValueError: a column is missing, or there is a number where the cell failed or the metric
            was skipped.
    """
    require(summary, (*SUMMARY, *MARKS), "summary")
    require(cells, CELLS, "cells")
    require(skipped, SKIPPED, "skipped")

    numbers = {_outcome_key(row): row for row in records(summary)}
    reasons = {
        _outcome_key(row): (str(row["status"]), str(row["reason"])) for row in records(skipped)
    }
    rows: list[dict[str, Any]] = []
    for network, block in groups(ordered(cells), NETWORK):
        known = _metrics_of(network, summary) | _metrics_of(network, skipped) | set(metrics)
        for (method,), seeds in groups(block, ["method"]):
            for metric in sorted(known):
                key = (*network, method, metric)
                number = numbers.get(key, {})
                state, reason = _state(seeds, number, reasons.get(key))
                row = dict(zip(OUTCOME_KEY, key, strict=True)) | number
                row |= {"state": state, "reason": reason, "n_seeds_planned": len(seeds)}
                rows.append(row)
    return ordered(_with_marks(pd.DataFrame(rows, columns=list(OUTCOMES))))


def _outcome_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in OUTCOME_KEY)


def _metrics_of(network: tuple[str, str], frame: pd.DataFrame) -> set[str]:
    """Return the metrics that a frame has of one network."""
    dataset, model = network
    return set(frame.loc[(frame["dataset"] == dataset) & (frame["model"] == model), "metric"])


def _with_marks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes with numbers as floats, flags as booleans, and `mark`."""
    frame = frame.astype({"mean": float, "low": float, "high": float})
    frame["is_best"] = frame["is_best"].eq(True)
    frame["is_best_group"] = frame["is_best_group"].eq(True)

    frame["verdict"] = frame["verdict"].astype(object).where(frame["verdict"].notna(), "")

    # What is said of the best itself: the weakest of what is said of the others.
    in_group = frame["is_best_group"]
    is_equal = in_group & (frame["is_best"] | frame["verdict"].eq(EQUAL))
    place = list(PLACE)
    size = in_group.groupby([frame[name] for name in place]).transform("sum")
    n_equal = is_equal.groupby([frame[name] for name in place]).transform("sum")

    is_closed = is_equal & (~frame["is_best"] | (n_equal == size))
    words = np.where(size == 1, "best", np.where(is_closed, "equal", "open"))
    frame["mark"] = np.where(in_group, words, "")
    return frame


def _state(
    seeds: pd.DataFrame, number: Mapping[str, Any], skipped: tuple[str, str] | None
) -> tuple[str, str]:
    """Return state and reason of one method and metric from its cells (one per seed)."""
    bad = seeds[seeds["status"] != "ok"]
    n_ok = len(seeds) - len(bad)
    if number and (skipped or number["n_seeds"] > n_ok):
        where = "/".join(str(seeds.iloc[0][name]) for name in (*NETWORK, "method"))
        raise ValueError(
            f"summary has scores of {number['n_seeds']:.0f} seeds of {where}, but {n_ok} of its "
            f"cells are ok{' and the metric was skipped' if skipped else ''}; scores of other "
            "cells must not reach summarise."
        )

    if number:
        missing = [
            f"seed {row['seed']} {wording(row['status'], row['reason'])}" for row in records(bad)
        ]
        return "ok", "; ".join(missing)
    if skipped:
        return skipped
    if len(bad):
        # A failure says more than a seed that does not apply.
        first = bad.sort_values("status", key=lambda status: status.isin(FINE), kind="stable")
        return str(first.iloc[0]["status"]), str(first.iloc[0]["reason"])
    return "missing", "no score was recorded"


def agreement_summary(agreement: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest over training seeds of each statistic of each head.

    `is_weakest` marks the head with the lowest mean Pearson r of its dataset, model, surrogate and
    split; never one without r. NaN (the network's output is constant) is left out of the mean and
    of `n_seeds`, which may be 0.
    """
    require(agreement, AGREEMENT, "agreement")

    place = [*NETWORK, "surrogate", "split"]
    values = ordered(agreement).groupby([*place, "head", "statistic"])["value"]
    frame = values.agg(["mean", "min", "max", "count"]).reset_index()
    frame = frame.rename(columns={"min": "low", "max": "high", "count": "n_seeds"})

    is_r_of_a_head = (frame["statistic"] == "pearson") & (frame["head"] != "all")
    heads = frame[is_r_of_a_head & (frame["n_seeds"] > 0)]
    frame["is_weakest"] = False
    frame.loc[heads.groupby(place)["mean"].idxmin(), "is_weakest"] = True
    return ordered(frame)


def cost_summary(
    cells: pd.DataFrame,
    outcomes: pd.DataFrame,
    metric: str,
    higher_is_better: bool,
    controls: Collection[str],
) -> pd.DataFrame:
    """Return cost per sample and one score, for each method that has the score.

    Cost counts rows sent through a network: `forward + 2 backward + surrogate` rows per explained
    sample, where a pass through the surrogate's own network counts like a forward pass.
    `is_pareto`: no method that is not a control is cheaper and as good, or as cheap and better.
    """
    require(cells, CELLS, "cells")

    place = [*NETWORK, "method"]
    scores = outcomes[(outcomes["metric"] == metric) & (outcomes["state"] == "ok")]
    scores = scores[[*place, "metric", "mean", "low", "high"]]
    frame = _rows_per_sample(cells).merge(scores, on=place)
    frame["is_control"] = frame["method"].isin(list(controls))
    frame["is_pareto"] = False

    sign = 1 if higher_is_better else -1
    for _, block in frame[~frame["is_control"]].groupby(list(NETWORK)):
        best_first = block.assign(good=sign * block["mean"])
        best_first = best_first.sort_values(["rows_per_sample", "good"], ascending=[True, False])
        is_better = best_first["good"] > best_first["good"].cummax().shift(fill_value=-np.inf)

        # Of methods with the same cost and score no name comes first: all are on the front.
        alike = [best_first["rows_per_sample"], best_first["good"]]
        on_front = is_better.groupby(alike).transform("any")
        frame.loc[best_first.index[on_front], "is_pareto"] = True
    return ordered(frame)


def _rows_per_sample(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows per explained sample of each network and method, over the seeds that ran."""
    done = cells[cells["status"] == "ok"].assign(surrogate=cells.get("surrogate_rows", 0))
    surrogate = done["surrogate"].fillna(0)
    done["rows"] = done["forward_rows"] + 2 * done["backward_rows"] + surrogate

    counted = ["rows", "forward_rows", "backward_rows", "surrogate"]
    sums = ordered(done).groupby([*NETWORK, "method"])[[*counted, "n_samples"]].sum()
    per_sample = sums[counted].div(sums["n_samples"], axis=0).reset_index()
    return per_sample.rename(
        columns={
            "rows": "rows_per_sample",
            "forward_rows": "forward",
            "backward_rows": "backward",
            "surrogate": "surrogate_rows",
        }
    )
