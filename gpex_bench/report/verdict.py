"""The verdict: sentences made from the numbers, which call a tie a tie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gpex_bench import frames
from gpex_bench.frames import Record, below_one, controls, groups, interval, number, records
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
    leader: str  # empty if no method has a score
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
    blind: str  # the best of the controls `frames.BLIND`, with its mean; empty without one
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
    ours, blind = controls(methods), frames.blind(methods)
    several = outcomes.groupby("dataset")["model"].nunique()
    explaining = explained_with(methods, agreement)
    found = []
    for (dataset, model, metric), part in groups(outcomes, ["dataset", "model", "metric"]):
        scored = part[part["state"] == "ok"].sort_values(["mean", "method"], ascending=[not up[metric], True])
        beside = {
            "cost": _cost(efficiency, dataset, model),
            "place": f"{dataset} ({model})" if several[dataset] > 1 else dataset,
            "matches": _matches(explaining, dataset, model),
            **_behind(scored, ours, blind),
        }
        found.append(_finding((dataset, model, metric), scored, ours, **beside))
    return found


def explained_with(methods: Sequence[Record], agreement: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of the surrogates that methods explain with; of all, where no method names one."""
    used = {need.removeprefix("surrogate ") for record in methods for need in record["needs"]}
    here = agreement[agreement["surrogate"].isin(used)]
    return here if len(here) else agreement


def _behind(scored: pd.DataFrame, ours: frozenset[str], blind: frozenset[str]) -> dict[str, Any]:
    """Return the best blind control, with its mean, and the methods with a worse mean; `scored` has the best first."""
    best = next((row for row in records(scored) if row["method"] in blind), None)
    if best is None:
        return {"blind": "", "behind": ()}
    after = records(scored[scored["method"].eq(best["method"]).cummax()])
    behind = tuple(row["method"] for row in after if row["mean"] != best["mean"] and row["method"] not in ours)
    return {"blind": f"{best['method']} {number(best['mean'])}", "behind": behind}


def _cost(efficiency: pd.DataFrame, dataset: str, model: str) -> dict[str, float]:
    """Return rows per sample of each method."""
    here = efficiency[(efficiency["dataset"] == dataset) & (efficiency["model"] == model)]
    return dict(zip(here["method"], here["rows_per_sample"], strict=True))


def _matches(agreement: pd.DataFrame, dataset: str, model: str) -> tuple[Match, ...]:
    """Return how well each surrogate of one network matches it on test items."""
    here = agreement[(agreement["dataset"] == dataset) & (agreement["model"] == model) & (agreement["split"] == "test")]
    return tuple(_match(surrogate, part) for (surrogate,), part in groups(here, ["surrogate"]))


def _match(surrogate: str, part: pd.DataFrame) -> Match:
    """Return the match of one surrogate."""
    heads = part[(part["statistic"] == "pearson") & (part["head"] != "all")].sort_values(["mean", "head"])
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
    key: tuple[str, str, str], scored: pd.DataFrame, ours: frozenset[str], *, cost: dict[str, float], **beside: Any
) -> Finding:
    """Return the finding from the scored methods, best first."""
    rows = records(scored)
    best = next((row for row in rows if row["is_best"]), None)
    rest = [row for row in rows if not row["is_best"]]
    tied = tuple(row["method"] for row in rest if row["is_best_group"] and row["method"] not in ours)
    second = next((row for row in rest if not row["is_best_group"] and row["method"] not in ours), None)
    mean, ends = interval(best["mean"], best["low"], best["high"]) if best else ("", "")
    group = [name for name in ((best["method"], *tied) if best else ()) if name in cost]
    cheapest = min(group, key=lambda name: (cost[name], name), default="")
    leader = best["method"] if best else ""
    return Finding(
        dataset=key[0],
        model=key[1],
        metric=key[2],
        leader=leader,
        mean=mean,
        ends=ends,
        tied=tied,
        controls=tuple(row["method"] for row in rest if row["is_best_group"] and row["method"] in ours),
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
    return "" if rows is None else f"{rows:,.0f}" if rows >= 10 or rows == int(rows) else f"{rows:.1f}"


def listed(names: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sentences(found: Sequence[Finding], headline: str) -> list[str]:
    """Return up to four sentences: who leads and how sure, who is behind a control, what it costs, how GPs match."""
    chosen = [finding for finding in found if finding.metric == headline]
    led = [finding for finding in chosen if finding.leader]
    if not led:
        return [f"No method has a score for {headline}, so there is no leader."]
    silent = [finding.place for finding in chosen if not finding.leader]
    who = [f"By {headline}, " + "; ".join(_who(finding) for finding in led)]
    who += [f"no method has a score on {listed(silent)}"] if silent else []
    return ["; ".join(who) + ".", *_who_is_behind(led), *_what_it_costs(led), *_how_well_it_matches(led)]


def _who(finding: Finding) -> str:
    """Say who leads on one dataset."""
    score = f"{finding.leader} {finding.mean} {finding.ends}"
    beaten = (
        f"; it cannot be told from the control {listed(finding.controls)}, or is behind" if finding.controls else ""
    )
    if finding.tied:
        many = f"{len(finding.tied)} others" if len(finding.tied) > 3 else listed(finding.tied)
        return f"on {finding.place} no single method leads: {score} cannot be told from {many}{beaten}"
    if finding.second:
        return f"on {finding.place} {score} leads, by {finding.ahead} over {finding.second} ({finding.p_value}){beaten}"
    return f"on {finding.place} {score} is the only method with a score{beaten}"


def _what_it_costs(led: Sequence[Finding]) -> list[str]:
    """Say what the leaders cost, and what is cheaper at no measurable loss."""
    parts = []
    for finding in led:
        text = f"{finding.leader} {finding.rows} on {finding.place}"
        if finding.cheapest != finding.leader and finding.cheapest_rows != finding.rows:
            text += f" ({finding.cheapest}, tied with it, {finding.cheapest_rows})"
        parts.append(text)
    return [f"Rows sent through the network for one explanation: {'; '.join(parts)}."]


def _who_is_behind(led: Sequence[Finding]) -> list[str]:
    """Name the methods with a worse mean than a control that looks neither at the network nor at a truth."""
    parts = [f"on {one.place} {listed(one.behind)} (control: {one.blind})" for one in led if one.behind]
    return [f"Worse on average than a control that does not look at the network: {'; '.join(parts)}."] if parts else []


def _how_well_it_matches(led: Sequence[Finding]) -> list[str]:
    """Say how well the surrogates match the networks, and where worst."""
    places = {finding.place: finding for finding in led if finding.matches}
    parts = [f"{match.surrogate} on {place} {_how(match)}" for place, one in places.items() for match in one.matches]
    return [f"Pearson r of surrogate and network on test items, mean over heads: {'; '.join(parts)}."] if parts else []


def _how(match: Match) -> str:
    """Write one match."""
    if not match.mean_r:
        return "undefined (the network's outputs are constant)"
    left_out = f"; without {listed(match.constant)}, where the network is constant" if match.constant else ""
    return f"{match.mean_r} (weakest head {match.weakest}, {match.weakest_r}{left_out})"
