"""Which surrogate stands in for a network best, in sentences made from the numbers.

A surrogate leads on a split if its mean R² over heads, averaged over the training seeds, is the largest. It leads by
more than the seeds' spread if its range over the seeds lies above that of the next one; otherwise the two are said not
to be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from gpex_bench.report.verdict import listed
from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import SPLITS, below_one, number
from gpex_bench.types import value

GOOD = (0.85, 0.97)  # shares of outputs in a 90 % interval that count as fitting
PERFECT = 0.999  # R² on every split, from which a surrogate that is exact by construction is said to be so


@value
class Said:
    """What is said of the surrogates of one network."""

    place: str
    sentences: tuple[str, ...]


@value
class Lead:
    """Who is ahead by one statistic on one split."""

    leader: str
    best: float
    second: str  # empty if there is only one
    next_best: float
    is_clear: bool  # the ranges over the seeds do not touch
    n_seeds: int


def lead(
    agreement: pd.DataFrame, split: str, statistic: str, is_largest: bool = True
) -> Lead | None:
    """Return who leads among the surrogates of one dataset and model, or None if the statistic is defined for none."""
    chosen = agreement[(agreement["head"] == "all") & (agreement["statistic"] == statistic)]
    chosen = chosen[chosen["split"] == split].dropna(subset="mean")
    if chosen.empty:
        return None
    sign = 1 if is_largest else -1
    ranked = records(chosen.assign(key=-sign * chosen["mean"]).sort_values(["key", "surrogate"]))
    first, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    ahead = second is not None and (
        first["low"] > second["high"] if is_largest else first["high"] < second["low"]
    )
    return Lead(
        leader=first["surrogate"],
        best=first["mean"],
        second=second["surrogate"] if second else "",
        next_best=second["mean"] if second else math.nan,
        is_clear=ahead,
        n_seeds=int(first["n_seeds"]),
    )


def sentences(agreement: pd.DataFrame, cards: Sequence[Record], costs: pd.DataFrame) -> list[Said]:
    """Return sentences on each network: who matches best where, what is exact, whose variance is right, who is fast.

    Args:
        agreement: the frame of `statistics.agreement_summary`.
        cards: of the surrogates; `exact` says that one holds the network's outputs by construction.
        costs: seconds of each fit; may be empty.
    """
    exact = {record["surrogate"] for record in cards if record.get("exact")}
    said = []
    for (dataset, model), here in groups(agreement, ["dataset", "model"]):
        names = set(here["surrogate"])
        parts = [_who(here, f"On {dataset} ({model})")]
        shown = sorted(exact & names)
        parts += [_exact(here, name) for name in shown]
        rest = here[~here["surrogate"].isin(shown)]
        if shown and len(set(rest["surrogate"])) > 1:
            parts.append(_who(rest, "Of the others"))
        parts += [
            _coverage(here),
            *_far_off(here),
            *_doubt(here),
            *_seconds(costs, dataset, model, names),
        ]
        said.append(
            Said(place=f"{dataset} ({model})", sentences=tuple(part for part in parts if part))
        )
    return said


def _who(here: pd.DataFrame, start: str) -> str:
    """Say who leads on which split."""
    leads = {
        split: found for split in SPLITS if (found := lead(here, split, "mean_r2")) is not None
    }
    if not leads:
        return f"{start} no R² is defined: the network's outputs are constant."
    names = sorted(set(here["surrogate"]))
    if len(names) == 1:
        all_of_it = [f"{below_one(one.best)} on {SPLITS[split]}" for split, one in leads.items()]
        return f"{start} {names[0]} alone was fitted; its mean R² over heads is {listed(all_of_it)} items."
    return f"{start}, by mean R² over heads, {'; '.join(_led(one, split) for split, one in leads.items())}."


def _led(one: Lead, split: str) -> str:
    """Say who leads on one split, and whether by more than the seeds' spread."""
    where = f"on {SPLITS[split]} items"
    if not one.second:
        return f"{where} only {one.leader} has one ({below_one(one.best)})"
    pair = f"{one.leader} ({below_one(one.best)})"
    other = f"{one.second} ({below_one(one.next_best)})"
    if one.n_seeds < 2:
        return f"{where} {pair} is ahead of {other}, on one training seed"
    if one.is_clear:
        return f"{where} {pair} leads, ahead of {other} by more than the spread over {one.n_seeds} seeds"
    return f"{where} {pair} and {other} cannot be told apart by the spread over {one.n_seeds} seeds"


def _exact(here: pd.DataFrame, name: str) -> str:
    """Say what a surrogate that is exact by construction shows, and whether the numbers bear that out."""
    chosen = (
        (here["surrogate"] == name) & (here["head"] == "all") & (here["statistic"] == "weakest_r2")
    )
    lows = here[chosen].dropna(subset="low").sort_values(["low", "split"])
    if lows.empty:
        return f"{name} is exact by construction; no R² is defined here to show it."
    least, split = float(lows["low"].iloc[0]), str(lows["split"].iloc[0])
    if least >= PERFECT:
        return (
            f"{name} is exact by construction, and the numbers show it: R² is at least {below_one(least)} for every "
            "head, split and seed. Its lead says nothing about how good its kernel is."
        )
    return (
        f"{name} should be exact by construction, but R² of one head goes down to {below_one(least)} on "
        f"{SPLITS[split]} items."
    )


def _coverage(here: pd.DataFrame) -> str:
    """Say whose 90 % intervals hold what they say on test and mixed items."""
    held = _held(here, ["test", "mixed"])
    if held.empty:
        return ""
    fits = sorted(held.index[(held["min"] >= GOOD[0]) & (held["max"] <= GOOD[1])])
    off = [
        f"{name} ({_span(row['min'], row['max'])})"
        for name, row in held.iterrows()
        if name not in fits
    ]
    named = f"90 % intervals hold {100 * GOOD[0]:.0f} to {100 * GOOD[1]:.0f} % of the outputs on test and on mixed items"
    if not off:
        return f"{named} for {'all' if len(fits) > 1 else fits[0]}."
    return f"{named} for {listed(fits) if fits else 'none'}; not for {listed(off)}."


def _held(here: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    """Return the lowest and highest share of outputs in the 90 % intervals of each surrogate over some splits."""
    chosen = (
        (here["head"] == "all")
        & (here["statistic"] == "mean_coverage_90")
        & here["split"].isin(list(splits))
    )
    return here[chosen].dropna(subset="mean").groupby("surrogate")["mean"].agg(["min", "max"])


def _far_off(here: pd.DataFrame) -> list[str]:
    """Say what the intervals hold on out-of-distribution items, on which none is calibrated."""
    held = _held(here, ["ood"])["min"]
    if held.empty:
        return []
    low, high = (f"{100 * share:.0f}" for share in GOOD)
    parts = [
        f"{words} % for {listed([f'{name} ({share:.2f})' for name, share in part.items()])}"
        for words, part in (
            (f"fewer than {low}", held[held < GOOD[0]]),
            (f"{low} to {high}", held[held.between(*GOOD)]),
            (f"more than {high}", held[held > GOOD[1]]),
        )
        if len(part)
    ]
    return [
        f"On {SPLITS['ood']} items, for which no interval is calibrated, they hold {', '.join(parts)}."
    ]


def _span(low: float, high: float) -> str:
    """Write a range with two decimals; as one number if its ends read alike."""
    ends = [f"{low:.2f}", f"{high:.2f}"]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _doubt(here: pd.DataFrame) -> list[str]:
    """Say whose variance tells large errors best, on mixed items."""
    found = lead(here, "mixed", "mean_auroc")
    if found is None or not found.second:
        return []
    sure = f"{'by' if found.is_clear else 'not by'} more than the seeds' spread"
    sure = sure if found.n_seeds > 1 else "on one training seed"
    return [
        f"The variance of {found.leader} tells large errors best (AUROC {found.best:.2f} on mixed items; "
        f"{found.second} {found.next_best:.2f}, {sure})."
    ]


def _seconds(costs: pd.DataFrame, dataset: str, model: str, names: set[str]) -> list[str]:
    """Say whose fit is fastest and slowest."""
    mean = seconds(costs, dataset, model)
    known = sorted((mean[name], name) for name in names if name in mean)
    if len(known) < 2:
        return []
    (fast, first), (slow, last) = known[0], known[-1]
    return [f"Fitting took {number(fast)} s ({first}) to {number(slow)} s ({last})."]


def seconds(costs: pd.DataFrame, dataset: str, model: str) -> dict[str, float]:
    """Return the seconds of a fit of each surrogate of one network, mean over training seeds."""
    here = costs[(costs["dataset"] == dataset) & (costs["model"] == model)]
    return {
        str(name): float(mean)
        for name, mean in here.groupby("surrogate")["wall_seconds"].mean().items()
    }
