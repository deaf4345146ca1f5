"""The verdict: who leads by the headline metric, on each network and over all of them.

Everything is decided here, and a tie is a tie. The sentences are in `verdict.md.j2` and
`network.md.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import (
    Record,
    blind_ids,
    control_ids,
    groups,
    records,
    surrogates_used,
)
from gpex_bench.types import value


@value
class Match:
    """How well one surrogate matches a network on test items."""

    surrogate: str
    # Pearson r, mean over heads; NaN if it is undefined for all
    mean_r: float
    # the head with the lowest r; empty if there is none
    weakest: str
    weakest_r: float
    # share of items with the network's arg-max; NaN if not known
    same_class: float
    # heads without an r, because the network's output is constant there
    constant: tuple[str, ...]
    n_heads: int = 0

    @property
    def is_defined(self) -> bool:
        """Whether some head has an r."""
        return bool(self.weakest)

    @property
    def has_classes(self) -> bool:
        """Whether it is known how often the surrogate gives the network's class."""
        return not math.isnan(self.same_class)


@value
class Finding:
    """Who leads on one network by one metric, and by how much. Numbers that are missing are NaN."""

    dataset: str
    model: str
    # how sentences name the network: by its dataset, with its model where a dataset has several
    place: str
    metric: str
    # how the network came by its weights (`Architecture.regime`); empty if it is not known
    regime: str = ""
    # why the metric is not informative here; empty where it is
    blank: str = ""

    # the method with the best mean; empty if there is none or the metric is not informative
    leader: str = ""
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    # methods that do not differ significantly from the leader
    tied: tuple[str, ...] = ()
    # controls that are better than the leader or do not differ significantly from it
    controls: tuple[str, ...] = ()

    # the best method that is significantly worse than the leader
    second: str = ""
    difference: float = math.nan
    p_value: float = math.nan

    # through the network for one explanation: of the leader, and of the cheapest among the tied
    rows: float = math.nan
    cheapest: str = ""
    cheapest_rows: float = math.nan

    # the best control that looks neither at the network nor at a truth; empty without one
    blind: str = ""
    blind_mean: float = math.nan
    # methods with a worse mean than that
    behind: tuple[str, ...] = ()

    # empty without a surrogate
    matches: tuple[Match, ...] = ()

    @property
    def state(self) -> str:
        """The kind of finding: not_informative, no_score, tie, lead or alone."""
        if self.blank:
            return "not_informative"
        if not self.leader:
            return "no_score"
        if self.tied:
            return "tie"
        return "lead" if self.second else "alone"

    @property
    def has_cost(self) -> bool:
        """Whether the rows of the leader are known."""
        return not math.isnan(self.rows)

    @property
    def is_cheaper_tie(self) -> bool:
        """Whether a method that ties with the leader takes visibly fewer rows."""
        is_other = self.has_cost and self.cheapest != self.leader
        return is_other and templates.rows(self.cheapest_rows) != templates.rows(self.rows)

    @property
    def is_clear(self) -> bool:
        """Whether the leader is significantly better than all others, and no control is as good."""
        return self.state == "lead" and not self.controls


@value
class Overall:
    """Who has the best mean rank over several networks."""

    leader: str
    mean_rank: float
    rank_low: float
    rank_high: float
    n_methods: int
    n_networks: int
    # methods that do not differ significantly from the leader
    tied: tuple[str, ...]

    @property
    def state(self) -> str:
        """The kind of ranking: lead, tie, or all_tied where no method differs from the leader."""
        if not self.tied:
            return "lead"

        is_nobody_left = len(self.tied) == self.n_methods - 1
        return "all_tied" if is_nobody_left else "tie"


@value
class Verdict:
    """What the headline metric says over all networks."""

    # led, no_score (of any method) or not_informative (on any network)
    state: str
    # None for one network, and where methods do not differ over networks
    overall: Overall | None = None
    # networks with a leader, those on which it is clear, those with methods behind a blind control
    n_led: int = 0
    clear: tuple[Finding, ...] = ()
    behind: tuple[Finding, ...] = ()
    # the kinds of network with a leader, by how they came by their weights, and their places: an
    # order found on one kind need not hold for another
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = ()
    # networks without a leader
    unscored: tuple[str, ...] = ()
    not_informative: tuple[str, ...] = ()


def findings(
    *,
    outcomes: pd.DataFrame,
    efficiency: pd.DataFrame,
    agreement: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
) -> list[Finding]:
    """Return one finding for each dataset, model and metric."""
    is_higher_better = {record["metric"]: record["higher_is_better"] for record in metrics}
    controls = control_ids(methods)
    blind = blind_ids(methods)
    n_models = outcomes.groupby("dataset")["model"].nunique()
    matching = explained_with(methods, agreement)

    result = []
    for (dataset, model, metric), part in groups(outcomes, ["dataset", "model", "metric"]):
        order = [not is_higher_better[metric], True]
        scored = part[part["state"] == "ok"].sort_values(["mean", "method"], ascending=order)
        finding = Finding(
            dataset=dataset,
            model=model,
            place=f"{dataset} ({model})" if n_models[dataset] > 1 else dataset,
            metric=metric,
            matches=_matches(matching, dataset, model),
            **_leader(scored, controls),
            **_behind(scored, controls, blind),
        )
        result.append(replace(finding, **_cost(finding, efficiency)))
    return result


def explained_with(methods: Sequence[Record], agreement: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of the surrogates that methods use; of all where no method uses one."""
    here = agreement[agreement["surrogate"].isin(surrogates_used(methods))]
    return here if len(here) else agreement


def _leader(scored: pd.DataFrame, controls: Collection[str]) -> dict[str, Any]:
    """Return who leads, who ties, and who is second; `scored` has the best mean first."""
    rows = records(scored)
    best = next((row for row in rows if row["is_best"]), None)
    if best is None:
        return {}

    rest = [row for row in rows if not row["is_best"]]
    in_group = [row["method"] for row in rest if row["is_best_group"]]
    fields = {
        "leader": best["method"],
        "mean": best["mean"],
        "low": best["low"],
        "high": best["high"],
        "tied": tuple(name for name in in_group if name not in controls),
        "controls": tuple(name for name in in_group if name in controls),
    }

    worse = [row for row in rest if not row["is_best_group"] and row["method"] not in controls]
    if worse:
        second = worse[0]
        fields["second"] = second["method"]
        fields["difference"] = second["difference"]
        fields["p_value"] = second["p_value"]
    return fields


def _behind(
    scored: pd.DataFrame, controls: Collection[str], blind: Collection[str]
) -> dict[str, Any]:
    """Return the best blind control, and the methods with a worse mean; best mean first."""
    rows = records(scored)
    places = [place for place, row in enumerate(rows) if row["method"] in blind]
    if not places:
        return {}

    best = rows[places[0]]
    after = rows[places[0] :]
    behind = [row["method"] for row in after if row["mean"] != best["mean"]]
    return {
        "blind": best["method"],
        "blind_mean": best["mean"],
        "behind": tuple(name for name in behind if name not in controls),
    }


def _cost(finding: Finding, efficiency: pd.DataFrame) -> dict[str, Any]:
    """Return the rows of the leader, and the cheapest of the methods that tie with it."""
    is_dataset = efficiency["dataset"].eq(finding.dataset)
    is_model = efficiency["model"].eq(finding.model)
    here = efficiency[is_dataset & is_model]
    rows = dict(zip(here["method"], here["rows_per_sample"], strict=True))

    best = [name for name in (finding.leader, *finding.tied) if name in rows]
    if not best:
        return {}

    cheapest = min(best, key=lambda name: (rows[name], name))
    return {
        "rows": float(rows.get(finding.leader, math.nan)),
        "cheapest": cheapest,
        "cheapest_rows": float(rows[cheapest]),
    }


def _matches(agreement: pd.DataFrame, dataset: str, model: str) -> tuple[Match, ...]:
    """Return how well each surrogate of one network matches it on test items."""
    is_here = agreement["dataset"].eq(dataset) & agreement["model"].eq(model)
    here = agreement[is_here & agreement["split"].eq("test")]
    return tuple(_match(surrogate, part) for (surrogate,), part in groups(here, ["surrogate"]))


def _match(surrogate: str, part: pd.DataFrame) -> Match:
    """Return the match of one surrogate."""
    is_r_of_head = part["statistic"].eq("pearson") & part["head"].ne("all")
    heads = part[is_r_of_head].sort_values(["mean", "head"])
    r = heads["mean"]
    undefined = heads.loc[r.isna(), "head"]
    same_class = part.loc[part["statistic"] == "argmax_agreement", "mean"]

    # Sorted by r, NaN last: the first head is the weakest.
    has_r = bool(r.notna().any())
    return Match(
        surrogate=surrogate,
        mean_r=float(r.mean()),
        weakest=str(heads["head"].iloc[0]) if has_r else "",
        weakest_r=float(r.iloc[0]) if has_r else math.nan,
        same_class=float(same_class.mean()),
        constant=tuple(sorted(map(str, undefined))),
        n_heads=len(heads),
    )


def without_leader(finding: Finding, blank: Mapping[tuple[str, str, str], str]) -> Finding:
    """Return the finding as it is, or without a leader where its metric is not informative.

    Args:
        finding: of one network and metric.
        blank: dataset, model and metric → why the metric is not informative there.
    """
    reason = blank.get((finding.dataset, finding.model, finding.metric), "")
    if not reason:
        return finding

    return Finding(
        dataset=finding.dataset,
        model=finding.model,
        place=finding.place,
        metric=finding.metric,
        blank=reason,
        matches=finding.matches,
    )


def conclude(headline: Sequence[Finding], ranks: pd.DataFrame) -> Verdict:
    """Return the verdict over all networks.

    Args:
        headline: findings of the headline metric.
        ranks: mean ranks by that metric over networks, best first; may be empty.
    """
    led = [finding for finding in headline if finding.leader]
    unscored = tuple(finding.place for finding in headline if finding.state == "no_score")
    blank = tuple(finding.place for finding in headline if finding.state == "not_informative")
    if not led:
        is_blank = bool(blank) and not unscored
        return Verdict(
            state="not_informative" if is_blank else "no_score",
            unscored=unscored,
            not_informative=blank,
        )

    return Verdict(
        state="led",
        overall=_overall(ranks),
        n_led=len(led),
        clear=tuple(finding for finding in led if finding.is_clear),
        behind=tuple(finding for finding in led if finding.behind),
        kinds=_kinds(led),
        unscored=unscored,
        not_informative=blank,
    )


def _kinds(led: Sequence[Finding]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the kinds of network by how they came by their weights, with the places of each."""
    places: dict[str, list[str]] = {}
    for finding in led:
        if finding.regime:
            places.setdefault(finding.regime, []).append(finding.place)
    return tuple((regime, tuple(places[regime])) for regime in sorted(places))


def _overall(ranks: pd.DataFrame) -> Overall | None:
    """Return who has the best mean rank; None unless methods differ over several networks."""
    if len(ranks) < 2 or ranks["n_networks"].max() < 2:
        return None

    first, *others = records(ranks)
    # Friedman's test: do methods differ over networks at all?
    is_significant = first["friedman_p"] < LEVEL
    if not is_significant:
        return None

    return Overall(
        leader=first["method"],
        mean_rank=first["mean_rank"],
        rank_low=first["rank_low"],
        rank_high=first["rank_high"],
        n_methods=len(ranks),
        n_networks=int(first["n_networks"]),
        tied=tuple(row["method"] for row in others if row["tied_with_best"]),
    )


def sentences(verdict: Verdict, headline: str, title: str = "") -> list[str]:
    """Return the verdict in up to five sentences; what is not significant is left out.

    Args:
        verdict: over all networks.
        headline: run id of the metric.
        title: what the run id means; may be empty.
    """
    return templates.lines("verdict.md.j2", verdict=verdict, headline=headline, title=title)


def on_one_network(finding: Finding) -> str:
    """Return who leads on one network, and how sure that is, in words."""
    return " ".join(templates.lines("network.md.j2", finding=finding))
