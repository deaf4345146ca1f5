"""The verdict: sentences made from the numbers, which call a tie a tie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import Record, blind_ids, control_ids, groups, records, surrogates_used
from gpex_bench.tables.words import below_one, interval, number
from gpex_bench.types import value


@value
class Match:
    """How well one surrogate matches a network on test items, as text."""

    surrogate: str
    mean_r: str  # Pearson r, mean over heads; empty if it is undefined for all
    weakest: str
    weakest_r: str
    argmax: str
    constant: tuple[str, ...]  # heads left out, because the network's output is constant there


@value
class Finding:
    """Who leads on one dataset and model by one metric, how sure that is, and what stands beside it."""

    dataset: str
    model: str
    place: str  # how the network is called: by its dataset, and by its model too where there are several
    metric: str
    blank: str  # why the metric says nothing here; empty where it does
    leader: str  # empty if no method has a score, or the metric says nothing here
    mean: str
    ends: str  # the interval
    tied: tuple[str, ...]  # methods (no controls) that cannot be told from the leader
    controls: tuple[str, ...]  # controls that cannot be told from the leader, or are better
    second: str  # the next best that is told from the leader
    ahead: str  # by how much the leader is ahead of it
    p_value: str  # of leader against second
    rows: str  # through the network per sample, by the leader
    cheapest: str  # among leader and tied
    cheapest_rows: str
    blind: str  # the best of the blind controls, with its mean; empty without one
    behind: tuple[str, ...]  # methods (no controls) with a worse mean than that
    matches: tuple[Match, ...]  # empty without a surrogate


def findings(
    outcomes: pd.DataFrame,
    efficiency: pd.DataFrame,
    agreement: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
) -> list[Finding]:
    """Return one finding for each dataset, model and metric."""
    up = {record["metric"]: record["higher_is_better"] for record in metrics}
    ours, blind = control_ids(methods), blind_ids(methods)
    several = outcomes.groupby("dataset")["model"].nunique()
    explaining = explained_with(methods, agreement)
    found = []
    for (dataset, model, metric), part in groups(outcomes, ["dataset", "model", "metric"]):
        scored = part[part["state"] == "ok"].sort_values(
            ["mean", "method"], ascending=[not up[metric], True]
        )
        beside = {
            "cost": _cost(efficiency, dataset, model),
            "place": f"{dataset} ({model})" if several[dataset] > 1 else dataset,
            "matches": _matches(explaining, dataset, model),
            **_behind(scored, ours, blind),
        }
        found.append(_finding((dataset, model, metric), scored, ours, **beside))
    return found


def silenced(finding: Finding, blank: Mapping[tuple[str, str, str], str]) -> Finding:
    """Return a finding without a leader where its metric is not informative."""
    reason = blank.get((finding.dataset, finding.model, finding.metric), "")
    if not reason:
        return finding
    words = (
        "leader",
        "mean",
        "ends",
        "second",
        "ahead",
        "p_value",
        "rows",
        "cheapest",
        "cheapest_rows",
        "blind",
    )
    changes: dict[str, Any] = dict.fromkeys(words, "") | dict.fromkeys(
        ("tied", "controls", "behind"), ()
    )
    return replace(finding, blank=reason, **changes)


def explained_with(methods: Sequence[Record], agreement: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of the surrogates that methods explain with; of all, where no method names one."""
    here = agreement[agreement["surrogate"].isin(surrogates_used(methods))]
    return here if len(here) else agreement


def _behind(scored: pd.DataFrame, ours: frozenset[str], blind: frozenset[str]) -> dict[str, Any]:
    """Return the best blind control, with its mean, and the methods with a worse mean; `scored` has the best first."""
    best = next((row for row in records(scored) if row["method"] in blind), None)
    if best is None:
        return {"blind": "", "behind": ()}
    after = records(scored[scored["method"].eq(best["method"]).cummax()])
    behind = tuple(
        row["method"] for row in after if row["mean"] != best["mean"] and row["method"] not in ours
    )
    return {"blind": f"{best['method']} {number(best['mean'])}", "behind": behind}


def _cost(efficiency: pd.DataFrame, dataset: str, model: str) -> dict[str, float]:
    """Return rows per sample of each method."""
    here = efficiency[(efficiency["dataset"] == dataset) & (efficiency["model"] == model)]
    return dict(zip(here["method"], here["rows_per_sample"], strict=True))


def _matches(agreement: pd.DataFrame, dataset: str, model: str) -> tuple[Match, ...]:
    """Return how well each surrogate of one network matches it on test items."""
    here = agreement[
        (agreement["dataset"] == dataset)
        & (agreement["model"] == model)
        & (agreement["split"] == "test")
    ]
    return tuple(_match(surrogate, part) for (surrogate,), part in groups(here, ["surrogate"]))


def _match(surrogate: str, part: pd.DataFrame) -> Match:
    """Return the match of one surrogate."""
    heads = part[(part["statistic"] == "pearson") & (part["head"] != "all")].sort_values(
        ["mean", "head"]
    )
    known = heads.dropna(subset=["mean"])
    argmax = part.loc[part["statistic"] == "argmax_agreement", "mean"]
    return Match(
        surrogate=surrogate,
        mean_r=below_one(known["mean"].mean()) if len(known) else "",
        weakest=str(known["head"].iloc[0]) if len(known) else "",
        weakest_r=below_one(known["mean"].iloc[0]) if len(known) else "",
        argmax=f"{100 * argmax.mean():.1f}\u00a0%" if len(argmax) else "",
        constant=tuple(sorted(map(str, heads.loc[heads["mean"].isna(), "head"]))),
    )


def _finding(
    key: tuple[str, str, str],
    scored: pd.DataFrame,
    ours: frozenset[str],
    *,
    cost: dict[str, float],
    **beside: Any,
) -> Finding:
    """Return the finding from the scored methods, best first."""
    rows = records(scored)
    best = next((row for row in rows if row["is_best"]), None)
    rest = [row for row in rows if not row["is_best"]]
    tied = tuple(
        row["method"] for row in rest if row["is_best_group"] and row["method"] not in ours
    )
    second = next(
        (row for row in rest if not row["is_best_group"] and row["method"] not in ours), None
    )
    mean, ends = interval(best["mean"], best["low"], best["high"]) if best else ("", "")
    group = [name for name in ((best["method"], *tied) if best else ()) if name in cost]
    cheapest = min(group, key=lambda name: (cost[name], name), default="")
    leader = best["method"] if best else ""
    return Finding(
        dataset=key[0],
        model=key[1],
        metric=key[2],
        blank="",
        leader=leader,
        mean=mean,
        ends=ends,
        tied=tied,
        controls=tuple(
            row["method"] for row in rest if row["is_best_group"] and row["method"] in ours
        ),
        second=second["method"] if second else "",
        ahead=number(second["difference"]) if second else "",
        p_value=_chance(second["p_value"]) if second else "",
        rows=_count(cost.get(leader)),
        cheapest=cheapest,
        cheapest_rows=_count(cost.get(cheapest)),
        **beside,
    )


def _chance(p_value: float) -> str:
    """Write a p value."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _count(rows: float | None) -> str:
    """Write a number of rows."""
    return (
        "" if rows is None else f"{rows:,.0f}" if rows >= 10 or rows == int(rows) else f"{rows:.1f}"
    )


def listed(names: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sentences(
    found: Sequence[Finding], headline: str, overall: pd.DataFrame, name: str = ""
) -> list[str]:
    """Return up to three sentences: who leads over all networks, where one is told from all others, what to beware of.

    What is not significant is not said.

    Args:
        found: findings of all metrics.
        headline: run id of the metric that the sentences are about.
        overall: mean ranks by that metric over networks, best first; may be empty.
        name: what the metric's run id stands for.
    """
    chosen = [finding for finding in found if finding.metric == headline]
    led = [finding for finding in chosen if finding.leader]
    if not led and all(finding.blank for finding in chosen) and chosen:
        return [
            f"{headline} says nothing on any network here, so there is no leader: see below why."
        ]
    if not led:
        return [f"No method has a score for {headline}, so there is no leader."]
    silent = [finding.place for finding in chosen if not finding.leader and not finding.blank]
    blank = [finding.place for finding in chosen if finding.blank]
    by = f"By {headline}{f' ({name})' if name else ''}"
    none = [f"No method has a {headline} score on {listed(silent)}."] if silent else []
    none += [f"On {listed(blank)} {headline} says nothing: see below why."] if blank else []
    return [*_over_all(overall, by), *_fronts(led, by), *none, *_beware(led)]


def _over_all(overall: pd.DataFrame, by: str) -> list[str]:
    """Say who has the best mean rank over several networks, and who cannot be told from it."""
    if len(overall) < 2 or overall["n_networks"].max() < 2:
        return []
    rows = records(overall)
    first, n = rows[0], int(rows[0]["n_networks"])
    if not first["friedman_p"] < LEVEL:
        return []
    tied = [row["method"] for row in rows[1:] if row["tied_with_best"]]
    rank = f"{first['mean_rank']:.2f} [{first['rank_low']:.2f}, {first['rank_high']:.2f}]"
    lead = f"{by}, {first['method']} has the best mean rank of {len(rows)} methods over {n} networks, {rank}"
    if not tied:
        return [f"{lead}, and is told from every other one."]
    if len(tied) == len(rows) - 1:
        return [f"{by}, no method is told from all others over {n} networks."]
    return [f"{lead}; {_some(tied)} cannot be told from it."]


def _some(names: Sequence[str]) -> str:
    """Name up to four, and count the others."""
    return listed(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _fronts(led: Sequence[Finding], by: str) -> list[str]:
    """Say on which networks one method is told from all others; nothing where there is none."""
    clear = [one for one in led if not one.tied and one.second and not one.controls]
    if not clear:
        return []
    parts = [
        f"{one.leader} on {one.place} ({one.ahead} ahead of {one.second}, {one.p_value})"
        for one in clear
    ]
    rest = len(led) - len(clear)
    more = (
        f"; on {'the other one' if rest == 1 else f'the other {rest}'} no method is" if rest else ""
    )
    return [
        f"{by}, one method is told from all others on {len(clear)} of {len(led)} networks: {'; '.join(parts)}{more}."
    ]


def _beware(led: Sequence[Finding]) -> list[str]:
    """Say where methods are worse than a control that does not look at the network."""
    parts = [f"{len(one.behind)} on {one.place} ({one.blind})" for one in led if one.behind]
    if not parts:
        return []
    return [
        f"Methods with a worse mean than the best control that never looks at the network: {'; '.join(parts)}."
    ]


def on_one_network(finding: Finding) -> str:
    """Say who leads on one network, and how sure that is."""
    if finding.blank:
        return f"On {finding.place} {finding.metric} says nothing: {finding.blank}."
    if not finding.leader:
        return f"On {finding.place} no method has a {finding.metric} score."
    score = f"{finding.leader} {finding.mean} {finding.ends}"
    if finding.tied:
        text = f"On {finding.place} no single method leads: {score} cannot be told from {_some(finding.tied)}"
    elif finding.second:
        text = f"On {finding.place} {score} leads, by {finding.ahead} over {finding.second} ({finding.p_value})"
    else:
        text = f"On {finding.place} {score} is the only method with a score"
    if finding.controls:
        text += f"; the control {listed(finding.controls)} cannot be told from it, or is better"
    return f"{text}."
