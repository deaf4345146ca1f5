"""The verdict: three sentences made from the numbers, which call a tie a tie."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gpex_bench.frames import Record, groups, interval, number, records
from gpex_bench.types import value


@value
class Finding:
    """Who leads on one dataset and model by one metric, how sure that is, and what stands beside it."""

    dataset: str
    model: str
    metric: str
    leader: str  # empty if no method has a score
    mean: str
    ends: str  # the interval
    tied: tuple[str, ...]  # methods (no controls) that cannot be told from the leader
    controls: tuple[str, ...]  # controls that cannot be told from the leader, or are better
    second: str  # the next best that is told from the leader
    p_value: str  # of leader against second
    rows: str  # through the network per sample, by the leader
    cheapest: str  # among leader and tied
    cheapest_rows: str
    mean_r: str  # Pearson r of GP and network, mean over heads; empty without a surrogate
    weakest: str
    weakest_r: str
    argmax: str


def findings(
    outcomes: pd.DataFrame, efficiency: pd.DataFrame, agreement: pd.DataFrame, metrics: Sequence[Record]
) -> list[Finding]:
    """Return one finding for each dataset, model and metric."""
    up = {record["metric"]: record["higher_is_better"] for record in metrics}
    ours = set(efficiency.loc[efficiency["is_control"].astype(bool), "method"])
    found = []
    for (dataset, model, metric), part in groups(outcomes, ["dataset", "model", "metric"]):
        scored = part[part["state"] == "ok"].sort_values(["mean", "method"], ascending=[not up[metric], True])
        cost = _cost(efficiency, dataset, model)
        found.append(_finding((dataset, model, metric), scored, ours, cost, _match(agreement, dataset, model)))
    return found


def _cost(efficiency: pd.DataFrame, dataset: str, model: str) -> dict[str, float]:
    """Return rows per sample of each method."""
    here = efficiency[(efficiency["dataset"] == dataset) & (efficiency["model"] == model)]
    return dict(zip(here["method"], here["rows_per_sample"], strict=True))


def _match(agreement: pd.DataFrame, dataset: str, model: str) -> dict[str, str]:
    """Return how well the GP matches the network on test items, as text."""
    here = agreement[(agreement["dataset"] == dataset) & (agreement["model"] == model) & (agreement["split"] == "test")]
    heads = here[(here["statistic"] == "pearson") & (here["head"] != "all")].sort_values(["mean", "head"])
    argmax = here[here["statistic"] == "argmax_agreement"]
    result = dict.fromkeys(("mean_r", "weakest", "weakest_r", "argmax"), "")
    if len(heads):
        weakest = heads.iloc[0]
        result |= {
            "mean_r": number(heads["mean"].mean()),
            "weakest": str(weakest["head"]),
            "weakest_r": number(weakest["mean"]),
        }
    if len(argmax):
        result["argmax"] = f"{100 * argmax['mean'].mean():.1f}\u00a0%"
    return result


def _finding(
    key: tuple[str, str, str], scored: pd.DataFrame, ours: set[str], cost: dict[str, float], match: dict[str, str]
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
        p_value=_chance(second["p_value"]) if second else "",
        rows=_count(cost.get(leader)),
        cheapest=cheapest,
        cheapest_rows=_count(cost.get(cheapest)),
        **match,
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
    """Return up to three sentences: who leads and how sure, what it costs, how well the GP matches the network."""
    chosen = [finding for finding in found if finding.metric == headline]
    led = [finding for finding in chosen if finding.leader]
    if not led:
        return [f"No method has a score for {headline}, so there is no leader."]
    silent = [finding.dataset for finding in chosen if not finding.leader]
    who = [f"By {headline}, " + "; ".join(_who(finding) for finding in led)]
    who += [f"no method has a score on {listed(silent)}"] if silent else []
    return ["; ".join(who) + ".", *_what_it_costs(led), *_how_well_it_matches(led)]


def _who(finding: Finding) -> str:
    """Say who leads on one dataset."""
    score = f"{finding.leader} {finding.mean} {finding.ends}"
    beaten = f"; the control {listed(finding.controls)} is no worse" if finding.controls else ""
    if finding.tied:
        many = f"{len(finding.tied)} others" if len(finding.tied) > 3 else listed(finding.tied)
        return f"on {finding.dataset} no single method leads: {score} cannot be told from {many}{beaten}"
    if finding.second:
        return f"on {finding.dataset} {score} leads, ahead of {finding.second} ({finding.p_value}){beaten}"
    return f"on {finding.dataset} {score} is the only method with a score{beaten}"


def _what_it_costs(led: Sequence[Finding]) -> list[str]:
    """Say what the leaders cost, and what is cheaper at no measurable loss."""
    parts = []
    for finding in led:
        text = f"{finding.leader} {finding.rows} on {finding.dataset}"
        if finding.cheapest != finding.leader and finding.cheapest_rows != finding.rows:
            text += f" ({finding.cheapest}, tied with it, {finding.cheapest_rows})"
        parts.append(text)
    return [f"Rows sent through the network for one explanation: {'; '.join(parts)}."]


def _how_well_it_matches(led: Sequence[Finding]) -> list[str]:
    """Say how well the GPs match the networks, and where worst."""
    matched = {(finding.dataset, finding.model): finding for finding in led if finding.mean_r}
    if not matched:
        return []
    parts = [
        f"r = {finding.mean_r} on {finding.dataset} (weakest head {finding.weakest}, r = {finding.weakest_r})"
        for finding in matched.values()
    ]
    return [f"The GP matches the network's outputs on test items with a mean Pearson {'; '.join(parts)}."]
