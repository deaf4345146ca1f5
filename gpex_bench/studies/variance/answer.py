"""Variance of each source → what makes most of it, and how much of each source to average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.variance.figure import variance_bars
from gpex_bench.studies.variance.measure import SOURCES, split
from gpex_bench.studies.variance.plan import Variance
from gpex_bench.tables.columns import NETWORK, PLACE
from gpex_bench.tables.order import groups, ordered

ROUNDING = 1e-9  # a number of levels that is so little above a whole number is that number


def answer(scores: pd.DataFrame, plan: Variance) -> Answer:
    """Answer where the variance of every metric and method comes from.

    Args:
        scores: columns `measure.REPEATED`.
        plan: the study.
    """
    table = with_design(split(scores), plan.error)
    drawings = {
        "_".join(map(str, network)): variance_bars(part) for network, part in groups(table, NETWORK)
    }

    text = page(
        "variance",
        plan=plan,
        leading=leading(table),
        explainer_seeds=explainer_seeds(table, plan.matters),
        designs=designs(table),
        figures=[
            {"stem": stem, "title": drawing.title} for stem, drawing in sorted(drawings.items())
        ],
        repeated=_counts(scores),
    )
    return Answer(table=ordered(table), drawings=drawings, sentences=text)


def with_design(table: pd.DataFrame, aim: float) -> pd.DataFrame:
    """Return the table with `error` and `average`.

    `error` is the standard error that is aimed at, and `average` says how many levels of each
    source keep the mean's standard error within it. A network or a sample belongs to one data seed,
    so that its number is for each data seed; draws are for each map.

    Args:
        table: of `measure.split`.
        aim: the standard error, as a share of the range of the methods' mean scores.
    """
    parts = []
    for _, part in groups(table, PLACE):
        means = part["mean"]
        error = aim * (means.max() - means.min())
        for _, rows in groups(part, ["method"]):
            variance = dict(zip(rows["source"], rows["variance"], strict=True))
            counts = design(variance, error)
            parts.append(rows.assign(error=error, average=rows["source"].map(counts)))
    return pd.concat(parts, ignore_index=True)


def design(variance: Mapping[str, float], error: float) -> dict[str, float]:
    """Return how many levels of each source to average for a standard error.

    Each source gets an equal share of the squared error. The residual has no levels of its own
    (NaN): it is averaged by trainings x samples, and raises the number of samples where these are
    too few. All are NaN where the error is 0, because the methods do not differ.
    """
    if not error > 0:
        return dict.fromkeys(variance, math.nan)

    # levels that a source needs in all, over all data seeds
    needed = {source: len(variance) * value / error**2 for source, value in variance.items()}

    data = _whole(needed["data seed"])
    training = _whole(needed["training seed"] / data)
    sample = _whole(max(needed["sample"] / data, needed["residual"] / (data * training)))
    draw = _whole(needed.get("explainer seed", 0.0) / (data * training * sample))

    counts = {
        "data seed": data,
        "training seed": training,
        "sample": sample,
        "residual": math.nan,
        "explainer seed": draw,
    }
    return {source: counts[source] for source in variance}


def _whole(count: float) -> float:
    """Return the next whole number, at least 1."""
    return max(1.0, float(math.ceil(count - ROUNDING)))


def leading(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each score and source that makes most of the variance of some method.

    Columns: `PLACE`, source, methods (those whose largest source it is), low and high (the smallest
    and the largest share it makes of their variance). Scores that do not vary have no row.
    """
    rows = []
    for score, part in groups(table.dropna(subset="share"), PLACE):
        largest = part.loc[part.groupby("method")["share"].idxmax()]
        for source in SOURCES:
            here = largest[largest["source"] == source]
            if len(here):
                ends = (here["share"].min(), here["share"].max())
                rows.append((*score, source, here["method"].tolist(), *ends))
    return pd.DataFrame(rows, columns=[*PLACE, "source", "methods", "low", "high"])


def explainer_seeds(table: pd.DataFrame, matters: float) -> pd.DataFrame:
    """Return one row for each score and method: the share of the explainer's own seed.

    Columns: `PLACE`, method, share, matters (whether the share is at least `matters`). The largest
    share of a score comes first.
    """
    is_own = table["source"] == "explainer seed"
    own = table[is_own].dropna(subset="share")
    own = own.assign(matters=own["share"] >= matters)

    # by score, the largest share first
    own = own.sort_values("share", ascending=False, kind="stable")
    own = own.sort_values(list(PLACE), kind="stable", ignore_index=True)
    return own[[*PLACE, "method", "share", "matters"]]


def designs(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each score: how many levels of each source suffice for every method.

    Columns: `PLACE`, error, asked_by (the methods that need most levels of some source), and the
    levels of each source (NaN where it was not repeated, or where the methods do not differ).
    """
    rows: list[dict[str, Any]] = []
    for score, part in groups(table, PLACE):
        row = dict(zip(PLACE, score, strict=True)) | {"error": part["error"].iloc[0]}
        asked_by: set[str] = set()
        for source in SOURCES:
            own = part[part["source"] == source].dropna(subset="average")
            row[source] = own["average"].max() if len(own) else math.nan
            # where all methods need the same, none of them decides
            if own["average"].nunique() > 1:
                asked_by |= set(own.loc[own["average"] == row[source], "method"])
        rows.append(row | {"asked_by": sorted(asked_by)})
    return pd.DataFrame(rows)


def _counts(scores: pd.DataFrame) -> dict[str, int]:
    """Return how often each source was repeated."""
    samples: Sequence[int] = scores.groupby(["dataset", "data_seed"])["sample"].nunique().tolist()
    return {
        "data_seeds": scores["data_seed"].nunique(),
        "training_seeds": scores["seed"].nunique(),
        "samples": max(samples),
        "draws": scores["draw"].nunique(),
    }
