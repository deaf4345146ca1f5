"""Scores of runs repeated in all that is random → how much of the variance each source makes, and what to average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from gpex_bench.plots.style import Drawing
from gpex_bench.statistics.components import SOURCES, repeated
from gpex_bench.studies.variance.figure import repetition_bars
from gpex_bench.tables.order import records
from gpex_bench.tables.words import number

MATTERS = 0.1  # share of a single score's variance from which on a source matters
ERROR = 0.1  # standard error that is aimed at, as a share of the range of the methods' mean scores
PLACE = ["dataset", "model", "metric"]
WORDS = (
    "data seed{}",
    "training{} of each",
    "sample{} of each",
    "",
    "draw{} of each map",
)  # the residual: none


@dataclass(frozen=True)
class Repetition:
    """What was found."""

    table: pd.DataFrame  # one row per dataset, model, metric, method and source
    drawings: dict[str, Drawing]  # by "dataset_model"
    sentences: str


def repetition(scores: pd.DataFrame) -> Repetition:
    """Split the variance of every metric and method.

    Args:
        scores: columns `tables.columns.REPEATED`.
    """
    table = with_design(repeated(scores))
    drawings, said = {}, []
    for (dataset, model), part in table.groupby(PLACE[:2], sort=True):
        drawings[f"{dataset}_{model}"] = repetition_bars(part)
        for metric, rows in part.groupby("metric", sort=False):
            said.append(f"**{metric}** ({dataset}, {model}). {_dominates(rows)} {_averaged(rows)}")
    return Repetition(table, drawings, "\n\n".join([*said, _how(scores)]) + "\n")


def with_design(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `average`: how many levels of each source keep the mean's standard error within `ERROR`.

    Each source gets an equal share of the squared error. A network or a sample belongs to one data seed, so that its
    number is for each data seed; draws are for each map. The residual is averaged by trainings x samples, and raises
    the number of samples where these are too few.
    """
    parts = []
    for _, part in table.groupby(PLACE, sort=True):
        span = part["mean"].max() - part["mean"].min()
        for _, rows in part.groupby("method", sort=True):
            variance = dict(zip(rows["source"], rows["variance"], strict=True))
            counts = design(variance, ERROR * span)
            parts.append(
                rows.assign(
                    error=ERROR * span, average=[counts[source] for source in rows["source"]]
                )
            )
    return pd.concat(parts, ignore_index=True)


def design(variance: Mapping[str, float], error: float) -> dict[str, float]:
    """Return how many levels of each source to average; NaN for the residual, and where methods do not differ."""
    if not error > 0:
        return dict.fromkeys(variance, math.nan)
    each = {
        source: len(variance) * value / error**2 for source, value in variance.items()
    }  # levels in all

    def whole(count: float) -> float:
        return max(1.0, float(math.ceil(count - 1e-9)))  # a hair above a whole number is rounding

    data = whole(each["data seed"])
    training = whole(each["training seed"] / data)
    sample = whole(max(each["sample"] / data, each["residual"] / (data * training)))
    draw = whole(each.get("explainer seed", 0.0) / (data * training * sample))
    counts = (data, training, sample, math.nan, draw)
    return {
        source: count for source, count in zip(SOURCES, counts, strict=True) if source in variance
    }


def _dominates(rows: pd.DataFrame) -> str:
    """Say which source makes most of the variance of single scores, and where the explainer's own seed matters."""
    known = rows.dropna(subset="share")
    if known.empty:
        return "No score varies."
    first = known.loc[known.groupby("method")["share"].idxmax()]
    leads = []
    for source in (source for source in SOURCES if source in set(first["source"])):
        part = first[first["source"] == source]
        leads.append(f"{_named(source)} for {_listed(part['method'])} ({_percent(part['share'])})")
    own = known[known["source"] == "explainer seed"].sort_values("share", ascending=False)
    matters = [
        f"{row['method']} ({100 * row['share']:.0f} %)"
        for row in records(own)
        if row["share"] >= MATTERS
    ]
    rest = own[own["share"] < MATTERS]
    about = (
        f"matters (at least {100 * MATTERS:.0f} % of the variance) for {_listed(matters)}"
        if matters
        else ""
    )
    if len(rest):
        less = f"makes at most {100 * rest['share'].max():.1f} % for {_listed(rest['method'])}"
        about = f"{about} and {less}" if about else less
    told = f"; the explainer's own seed {about}" if about else "; explainer seeds were not repeated"
    return f"Most of the variance of a single score comes from {', '.join(leads)}{told}."


def _averaged(rows: pd.DataFrame) -> str:
    """Say how many levels of each source suffice for all methods, and which method asks for most."""
    known = rows.dropna(subset="average")
    if known.empty:
        return "The methods' means do not differ, so that no standard error was aimed at."
    parts = []
    for source, what in zip(SOURCES, WORDS, strict=True):
        own = known[known["source"] == source]
        if len(own):
            most, least = own["average"].max(), own["average"].min()
            asks = _listed(own.loc[own["average"] == most, "method"])
            parts.append(
                f"{most:.0f} {what.format('' if most == 1 else 's')}"
                + (f" ({asks})" if most > least else "")
            )
    error = number(known["error"].iloc[0])
    return f"For a standard error of {error} ({ERROR:g} of the range of the methods' means) average {', '.join(parts)}."


def _how(scores: pd.DataFrame) -> str:
    """Say what was repeated, and what the words mean."""
    n = {name: scores[name].nunique() for name in ("data_seed", "seed", "draw")}
    n_samples = scores.groupby(["dataset", "data_seed"])["sample"].nunique().max()
    return (
        f"Repeated: {n['data_seed']} data seeds, {n['seed']} training seeds of each, {n_samples} samples of each, "
        f"up to {n['draw']} explainer seeds of each map. "
        "Data seed: other training and test images. Training seed: another network on the same images. Sample: one "
        "image against the others of its data seed. Explainer seed: another map of the same image and network. "
        "Residual: what a training changes on one image and not on the others. Components by the method of moments; "
        "negative ones count as 0. "
        f"Between data seeds there are {n['data_seed'] - 1} degrees of freedom (`dof` in the table), so that this "
        "component is coarse. The numbers to average are the largest over the methods, with the methods that ask for "
        "them; the design of each method is in the table. Each source gets an equal share of the squared error. This "
        "is about a method's own score: differences between methods on the same samples vary less. Written by rule "
        "from table.csv."
    )


def _named(source: str) -> str:
    """Return a source as it is called in a sentence."""
    return source if source == "residual" else f"the {source}"


def _percent(shares: pd.Series) -> str:
    """Write a range of shares."""
    low, high = f"{100 * shares.min():.0f}", f"{100 * shares.max():.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _listed(names: Sequence[str] | pd.Series) -> str:
    """Return names with commas."""
    return ", ".join(names)
