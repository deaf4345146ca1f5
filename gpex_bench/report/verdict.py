"""The verdict: who leads by the headline metric, on each network and over all of them.

What leads, and what no other method beats, are columns of the table `headline`. The sentences are
in `verdict.md.j2` and `network.md.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.report.headline import Headline, Network
from gpex_bench.tables.order import Record, blind_ids, control_ids, records
from gpex_bench.tables.words import BETTER, LEADS, UNBEATEN
from gpex_bench.types import value

# Below it, nothing is tested over networks.
N_NETWORKS = 6


@value
class Finding:
    """Who leads on one network by the headline metric. Numbers that are missing are NaN."""

    dataset: str
    model: str
    # how sentences name the network: by its dataset, with its model where a dataset has several
    place: str
    metric: str
    # how the network came by its weights (`Architecture.regime`); empty if it is not known
    regime: str = ""
    # why the metric cannot be used here; empty where it can
    blank: str = ""

    # better than or equal to every other method under each fill and output
    leaders: tuple[str, ...] = ()
    # methods that no other one beats, the best place first
    unbeaten: tuple[str, ...] = ()
    n_methods: int = 0
    n_variants: int = 0
    # under which fills and outputs each method leads, most first; empty with one variant
    led_under: tuple[tuple[str, tuple[str, ...]], ...] = ()

    # the first of the leaders or of the unbeaten, with its score and rows for one explanation
    first: str = ""
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    rows: float = math.nan

    # controls that the first is not better than
    controls: tuple[str, ...] = ()
    # methods that some control beats which looks neither at the network nor at a truth
    behind: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The kind of finding: not_informative, no_score, alone, leads or unbeaten."""
        if self.blank:
            return "not_informative"
        if not self.n_methods:
            return "no_score"
        if self.n_methods == 1:
            return "alone"
        return "leads" if self.leaders else "unbeaten"

    @property
    def has_cost(self) -> bool:
        """Whether the rows of the first method are known."""
        return not math.isnan(self.rows)


@value
class Verdict:
    """What the headline metric says over all networks."""

    # led, no_score (of any method) or not_informative (on any network)
    state: str
    n_networks: int = 0
    # networks with a leader, without one, and with methods that a blind control beats
    led: tuple[Finding, ...] = ()
    open: tuple[Finding, ...] = ()
    behind: tuple[Finding, ...] = ()
    # the kinds of network by how they came by their weights, and their places: an order found on
    # one kind need not hold for another
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = ()
    # networks without any score, and those on which the metric cannot be used
    unscored: tuple[str, ...] = ()
    not_informative: tuple[str, ...] = ()


@value
class Inputs:
    """What findings are made from."""

    headline: Headline
    # run id of the headline metric
    metric: str
    # cards
    methods: Sequence[Record]
    # rows through the network for one explanation, by network and method
    rows: Mapping[tuple[Network, str], float]
    # dataset, model and metric → why the metric cannot be used there
    blank: Mapping[tuple[str, str, str], str]
    # how each network came by its weights
    regimes: Mapping[Network, str]


def findings(networks: Sequence[Network], inputs: Inputs) -> list[Finding]:
    """Return one finding for each network."""
    datasets = [dataset for dataset, _ in networks]

    found = []
    for dataset, model in networks:
        at = (dataset, model)
        has_several = datasets.count(dataset) > 1
        reason = inputs.blank.get((dataset, model, inputs.metric), "")
        known = {} if reason else _known(inputs, at)
        finding = Finding(
            dataset=dataset,
            model=model,
            place=f"{dataset} ({model})" if has_several else dataset,
            metric=inputs.metric,
            regime=inputs.regimes.get(at, ""),
            blank=reason,
            **known,
        )
        found.append(finding)
    return found


def _known(inputs: Inputs, at: Network) -> dict[str, Any]:
    """Return what is known of a network on which methods are compared."""
    headline = inputs.headline
    own = [row for row in headline.rows.get(at, ()) if not row["is_control"]]
    if not own:
        return {}

    leaders = [row["method"] for row in own if row["answer"] == LEADS]
    unbeaten = [row["method"] for row in own if row["answer"] in (LEADS, UNBEATEN)]
    first = next(row for row in own if row["method"] in (leaders or unbeaten or [own[0]["method"]]))
    present = {row["method"] for row in headline.rows[at]}
    return {
        "leaders": tuple(leaders),
        "unbeaten": tuple(unbeaten),
        "n_methods": len(own),
        "n_variants": int(first["n_variants"]),
        "led_under": _led_under(headline, at),
        "first": first["method"],
        "mean": first["score"],
        "low": first["low"],
        "high": first["high"],
        "rows": inputs.rows.get((at, first["method"]), math.nan),
        "controls": _not_beaten(
            headline, at, first["method"], control_ids(inputs.methods) & present
        ),
        "behind": _behind(headline, at, own, blind_ids(inputs.methods) & present),
    }


def _led_under(headline: Headline, at: Network) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return under which fills and outputs each method leads; nothing with one of them."""
    variants = headline.variants.get(at, {})
    led: dict[str, list[str]] = {}
    for variant, rows in variants.items() if len(variants) > 1 else ():
        for row in rows:
            if row["leads"]:
                led.setdefault(row["method"], []).append(variant)

    most_first = sorted(led.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple((method, tuple(names)) for method, names in most_first)


def _not_beaten(
    headline: Headline, at: Network, method: str, controls: Collection[str]
) -> tuple[str, ...]:
    """Return the controls that a method is compared with and not better than."""
    words = {name: headline.over(at, method, name) for name in sorted(controls)}
    return tuple(name for name, word in words.items() if word and word != BETTER)


def _behind(
    headline: Headline, at: Network, rows: Sequence[Record], blind: Collection[str]
) -> tuple[str, ...]:
    """Return the methods that a blind control beats, the best place first."""
    names = [row["method"] for row in rows]
    return tuple(name for name in names if headline.beaten_by(at, name, blind))


def conclude(found: Sequence[Finding]) -> Verdict:
    """Return the verdict over all networks."""
    compared = [finding for finding in found if finding.n_methods]
    unscored = tuple(finding.place for finding in found if finding.state == "no_score")
    blank = tuple(finding.place for finding in found if finding.blank)
    if not compared:
        is_blank = bool(blank) and not unscored
        state = "not_informative" if is_blank else "no_score"
        return Verdict(state=state, unscored=unscored, not_informative=blank)

    return Verdict(
        state="led",
        n_networks=len(compared),
        led=tuple(finding for finding in compared if finding.leaders),
        open=tuple(finding for finding in compared if not finding.leaders),
        behind=tuple(finding for finding in compared if finding.behind),
        kinds=_kinds(compared),
        unscored=unscored,
        not_informative=blank,
    )


def _kinds(compared: Sequence[Finding]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the kinds of network by how they came by their weights, with the places of each."""
    places: dict[str, list[str]] = {}
    for finding in compared:
        if finding.regime:
            places.setdefault(finding.regime, []).append(finding.place)
    return tuple((regime, tuple(places[regime])) for regime in sorted(places))


def over_networks(overall: pd.DataFrame | None, metric: str) -> Sequence[Record]:
    """Return the rows of the table over networks by the headline metric, each scope best first."""
    if overall is None or overall.empty:
        return []
    own = overall[(overall["metric"] == metric) & overall["mean"].notna()]
    return records(own.sort_values(["scope", "mean", "method"], ascending=[True, False, True]))


def sentences(verdict: Verdict, metric: str, title: str = "") -> list[str]:
    """Return the verdict in a few sentences.

    Args:
        verdict: over all networks.
        metric: run id of the headline metric.
        title: what the run id means; may be empty.
    """
    return templates.lines("verdict.md.j2", verdict=verdict, headline=metric, title=title)


def on_one_network(finding: Finding) -> str:
    """Return who leads on one network, and how sure that is, in words."""
    return " ".join(templates.lines("network.md.j2", finding=finding))
