"""The report: one HTML file that opens offline and is complete without JavaScript.

    html = render(Results(run="default", headline="srg", outcomes=..., ...))

Python decides and counts, the templates (`*.j2`) hold the words. Nothing in here reads a file or a
clock: the same results give the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from markupsafe import Markup

from gpex_bench.report import (
    bibliography,
    cards,
    distributions,
    match_tables,
    matches,
    ranking,
    scaling,
    scores,
    sections,
    summary,
    templates,
    trust,
    verdict,
)
from gpex_bench.report.results import (
    AGREEMENT,
    METHOD_KEY,
    SECTIONS,
    STATISTICS,
    Picture,
    Rendered,
    Results,
    check,
)
from gpex_bench.tables.columns import SURROGATE_COSTS
from gpex_bench.tables.order import ordered, records

__all__ = ["AGREEMENT", "STATISTICS", "Picture", "Rendered", "Results", "render", "written"]


def render(results: Results) -> str:
    """Return the report as HTML."""
    return written(results).html


def written(results: Results) -> Rendered:
    """Return the report, its summary and the numbers that it derives.

    Raises:
        ValueError: a frame lacks a column, or a picture belongs to no section.
    """
    check(results)
    outcomes = ordered(results.outcomes)
    outcomes = outcomes.join(scaling.scaled(outcomes, results.methods, results.metrics))
    blank = scores.blank(results.statistics.get("informative"))
    shown = {
        "scaled": outcomes[
            [*METHOD_KEY, "mean", "low", "high", *scaling.COLUMNS, "reference", "mark"]
        ],
        "distributions": _distributions(results, outcomes),
        "groups": scaling.by_group(outcomes, blank.keys(), results.metrics),
    }

    page = {
        **_verdict(results, outcomes, blank),
        **_tables(results, outcomes, blank, shown),
        **_surrogates(results),
        **_ends(results, outcomes),
        "warnings": results.warnings,
        "remarks": results.remarks,
    }
    page |= _cards(results, outcomes, page)

    html = templates.render(
        "report.html.j2",
        results=results,
        style=templates.source("style.css"),
        script=templates.source("script.js"),
        **page,
    )
    return Rendered(
        html=html,
        summary=summary.markdown(results.run, results.headline, page),
        latex=summary.latex(page["ranking"], results.headline),
        shown=shown,
    )


def _distributions(results: Results, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the distributions behind the cells of the score tables."""
    if results.scores is None:
        return pd.DataFrame(columns=list(distributions.COLUMNS))

    wanted = scores.detailed(outcomes, results.metrics, results.headline)
    return distributions.distributions(results.scores, wanted)


def _headline_card(results: Results) -> Any:
    """Return the card of the headline metric, or None."""
    named = [record for record in results.metrics if record["metric"] == results.headline]
    return named[0] if named else None


def _verdict(
    results: Results, outcomes: pd.DataFrame, blank: dict[scores.Place, str]
) -> dict[str, Any]:
    """Return what the first section shows: the verdict over all networks and on each."""
    every = verdict.findings(
        outcomes=outcomes,
        efficiency=results.efficiency,
        agreement=results.agreement,
        methods=results.methods,
        metrics=results.metrics,
    )
    findings = [
        replace(
            verdict.without_leader(finding, blank),
            regime=results.regimes.get((finding.dataset, finding.model), ""),
        )
        for finding in every
        if finding.metric == results.headline
    ]

    ranks = ranking.ranks(results.statistics.get("overall"), results.headline)
    conclusion = verdict.conclude(findings, ranks)
    card = _headline_card(results)
    title = card.get("title", "") if card else ""
    return {
        "headline": card,
        "findings": [(finding, verdict.on_one_network(finding)) for finding in findings],
        "sentences": verdict.sentences(conclusion, results.headline, title),
        "counts": sections.counts(results.cells, outcomes),
        "networks_run": sections.networks_run(results.cells, results.given),
        "seconds": sections.total_seconds(results.costs),
    }


def _tables(
    results: Results,
    outcomes: pd.DataFrame,
    blank: dict[scores.Place, str],
    shown: dict[str, pd.DataFrame],
) -> dict[str, Any]:
    """Return ranking, scores, costs, and which metrics can be trusted."""
    card = _headline_card(results)
    ranked = ranking.Inputs(
        outcomes=outcomes,
        methods=results.methods,
        headline=results.headline,
        is_higher_better=card is None or card["higher_is_better"],
        overall=results.statistics.get("overall"),
        efficiency=results.efficiency,
        groups=shown["groups"],
        blank=blank.keys(),
    )
    context = scores.Context(
        methods=results.methods,
        metrics=results.metrics,
        headline=results.headline,
        blank=blank,
        tau=scores.least_tau(results.statistics.get("fill_agreement")),
        spread={
            (row["dataset"], row["model"], row["metric"], row["method"]): row
            for row in records(shown["distributions"])
        },
    )

    headline = results.headline
    return {
        "ranking": ranking.ranking_table(ranked),
        "n_first": ranking.N_FIRST,
        "blank_networks": {
            (dataset, model) for dataset, model, metric in blank if metric == headline
        },
        "networks": scores.score_tables(outcomes, context),
        "costs": sections.cost_table(results.efficiency, results.costs, results.cells),
        "trust": trust.trust(results.statistics, results.metrics, headline),
    }


def _surrogates(results: Results) -> dict[str, Any]:
    """Return what the report shows of surrogates."""
    costs = results.surrogate_costs
    if costs is None:
        costs = pd.DataFrame(columns=list(SURROGATE_COSTS))

    found = matches.matches(results.agreement, results.surrogates, costs)
    return {
        "matches": match_tables.tables(results.agreement, costs),
        "match_sentences": [(match.place, matches.sentences(match)) for match in found],
        "exact": {card["surrogate"] for card in results.surrogates if card["exact"]},
        "surrogates": sorted(results.surrogates, key=lambda card: card["surrogate"]),
        "failed_fits": [] if results.fits is None else match_tables.failed(results.fits),
    }


def _cards(results: Results, outcomes: pd.DataFrame, page: dict[str, Any]) -> dict[str, Any]:
    """Return the cards of methods, metrics, datasets and networks."""
    findings = [finding for finding, _ in page["findings"]]
    facts = cards.MethodFacts(
        ranking=results.statistics.get("ranking"),
        costs=page["costs"],
        behind=cards.behind_blind(findings),
    )
    return {
        "method_groups": cards.method_cards(results.methods, outcomes, results.headline, facts),
        "metric_groups": cards.metric_cards(results.metrics, page["trust"]["metrics"]),
        "network_cards": cards.network_cards(results.facts, results.datasets, results.models),
    }


def _ends(results: Results, outcomes: pd.DataFrame) -> dict[str, Any]:
    """Return failures, figures, references and provenance."""
    failed_metrics = sections.failed_metrics(results.cells, outcomes)
    records_shown = [*results.methods, *results.metrics]
    keys = {record["reference"] for record in records_shown if record["reference"]}
    references = bibliography.references(results.bibliography, keys)

    return {
        "failures": sections.failures(results.cells),
        "sums": sections.sums(results.cells),
        "failed_metrics": failed_metrics,
        "n_failed_metrics": sum(len(row["metrics"]) for row in failed_metrics),
        "inapplicable": sections.inapplicable(outcomes),
        "pictures": sections.by_section([_safe(one) for one in results.pictures], SECTIONS),
        "references": references if results.bibliography else [],
        "provenance": sections.provenance_rows(results.provenance),
    }


def _safe(picture: Picture) -> dict[str, Any]:
    """Return a picture as the templates show it; its SVG is our own and already escaped."""
    return {
        "section": picture.section,
        "dataset": picture.dataset,
        "title": picture.title,
        "data": picture.data,
        "svg": Markup(picture.svg),
    }
