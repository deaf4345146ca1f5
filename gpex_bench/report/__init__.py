"""The report: one HTML file that opens offline and is complete without JavaScript.

    html = render(Results(run="default", headline="srg", outcomes=..., ...))

Python decides and counts, the templates (`*.j2`) hold the words. Nothing in here reads a file or a
clock: the same results give the same bytes.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from gpex_bench.report import (
    bibliography,
    cards,
    cases,
    distributions,
    doubts,
    headline,
    match_tables,
    overview,
    ranking,
    scores,
    sections,
    standin,
    study,
    summary,
    templates,
    trust,
    verdict,
)
from gpex_bench.report.headline import Headline
from gpex_bench.report.results import (
    AGREEMENT,
    SECTIONS,
    STATISTICS,
    Picture,
    Rendered,
    Results,
    StudyPage,
    check,
)
from gpex_bench.tables.columns import SURROGATE_COSTS
from gpex_bench.tables.order import ordered, records
from gpex_bench.tables.words import SPLITS

__all__ = [
    "AGREEMENT",
    "STATISTICS",
    "Picture",
    "Rendered",
    "Results",
    "StudyPage",
    "render",
    "written",
]


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
    blank = scores.blank(results.statistics.get("informative"))
    known = headline.read(results.statistics, results.headline)
    costs = sections.cost_table(results.efficiency, results.costs, results.cells)

    pairs = results.statistics.get("pairs")
    answers = _answers(results, known, costs)
    shown = {
        "answers": cases.table(answers),
        "overview": overview.overview(outcomes, pairs, results.methods),
        "distributions": _distributions(results, outcomes),
    }
    page = {
        **_verdict(results, outcomes, known, blank),
        **_first(results, outcomes),
        "answers": cases.shown(answers, results.methods),
        **_tables(results, outcomes, blank, shown),
        "ranking": ranking.ranking_table(_ranked(results, outcomes, known)),
        "costs": costs,
        **_surrogates(results),
        **_ends(results, outcomes),
        "warnings": results.warnings,
        "remarks": results.remarks,
    }
    page["doubts"] = _doubts(results, outcomes, page)
    page |= _cards(results, outcomes, known, page)

    html = templates.render(
        "report.html.j2",
        results=results,
        style=templates.source("style.css"),
        script=templates.source("script.js"),
        titles={card["method"]: card.get("title", "") for card in results.methods},
        **page,
    )
    return Rendered(
        html=html,
        summary=summary.markdown(results.run, results.headline, page),
        latex=summary.latex(page["ranking"], results.headline),
        shown=shown,
    )


def _answers(
    results: Results, known: Headline, costs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return which explainer is named for which case."""
    inputs = cases.Inputs(
        headline=known,
        methods=results.methods,
        costs=cases.costs_of(costs),
        kinds=cases.kinds_of(results.datasets),
    )
    return cases.answers(inputs)


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
    results: Results, outcomes: pd.DataFrame, known: Headline, blank: dict[scores.Place, str]
) -> dict[str, Any]:
    """Return the verdict over all networks and on each."""
    rows = {
        ((row["dataset"], row["model"]), row["method"]): float(row["rows_per_sample"])
        for row in records(results.efficiency)
    }
    inputs = verdict.Inputs(
        headline=known,
        metric=results.headline,
        methods=results.methods,
        rows=rows,
        blank=blank,
        regimes=results.regimes,
    )
    findings = verdict.findings(ranking.networks(outcomes), inputs)

    card = _headline_card(results)
    title = card.get("title", "") if card else ""
    conclusion = verdict.conclude(findings)
    return {
        "headline": card,
        "findings": [(finding, verdict.on_one_network(finding)) for finding in findings],
        "sentences": verdict.sentences(conclusion, results.headline, title),
        "over_networks": verdict.over_networks(results.statistics.get("overall"), results.headline),
    }


def _first(results: Results, outcomes: pd.DataFrame) -> dict[str, Any]:
    """Return what else the first screen shows: truth, the surrogates, what was run."""
    agreement = results.statistics.get("truth_agreement")
    confrontations = doubts.confrontations(agreement, results.headline)
    stand_ins = standin.stand_ins(results.agreement, results.methods)
    return {
        "cheap_rows": cases.CHEAP_ROWS,
        "confronted": doubts.in_words(confrontations, results.headline),
        "truest_metrics": doubts.best_metrics(agreement),
        "stand_ins": standin.sentences(stand_ins),
        "counts": sections.counts(results.cells, outcomes),
        "networks_run": sections.networks_run(results.cells, results.given),
        "seconds": sections.total_seconds(results.costs),
    }


def _doubts(results: Results, outcomes: pd.DataFrame, page: dict[str, Any]) -> list[str]:
    """Return what the run cannot say."""
    limits = doubts.limits(
        outcomes,
        results.headline,
        [finding for finding, _ in page["findings"]],
        results.statistics.get("families"),
        results.statistics.get("power"),
    )
    return doubts.sentences(limits)


def _ranked(results: Results, outcomes: pd.DataFrame, known: Headline) -> ranking.Inputs:
    """Return what the ranking is made from."""
    return ranking.Inputs(
        headline=known,
        outcomes=outcomes,
        methods=results.methods,
        metric=results.headline,
        efficiency=results.efficiency,
    )


def _tables(
    results: Results,
    outcomes: pd.DataFrame,
    blank: dict[scores.Place, str],
    shown: dict[str, pd.DataFrame],
) -> dict[str, Any]:
    """Return the overview, the scores, and which metrics can be trusted."""
    spread = {
        (row["dataset"], row["model"], row["metric"], row["method"]): row
        for row in records(shown["distributions"])
    }
    uncoloured = set(scores.without_verdicts(results.statistics.get("informative")))
    context = scores.Context(
        methods=results.methods,
        metrics=results.metrics,
        headline=results.headline,
        blank=blank,
        uncoloured=uncoloured,
        tau=scores.least_tau(results.statistics.get("fill_agreement")),
        spread=spread,
        against_blind=scores.against_blind(shown["overview"]),
    )
    metrics = results.metrics
    name = results.headline
    return {
        "networks": scores.score_tables(outcomes, context),
        "overview": overview.tables(shown["overview"], outcomes, results.methods, metrics, name),
        "legend": overview.legend(shown["overview"]),
        "uncoloured": uncoloured,
        "n_first": ranking.N_FIRST,
        "trust": trust.trust(results.statistics, metrics, name),
    }


def _surrogates(results: Results) -> dict[str, Any]:
    """Return what the report shows of surrogates."""
    costs = results.surrogate_costs
    if costs is None:
        costs = pd.DataFrame(columns=list(SURROGATE_COSTS))
    return {
        "splits": SPLITS,
        "agreed": standin.table(results.agreement, costs, results.surrogates),
        "matches": match_tables.tables(results.agreement, costs),
        "exact": {card["surrogate"] for card in results.surrogates if card["exact"]},
        "surrogates": sorted(results.surrogates, key=lambda card: card["surrogate"]),
        "failed_fits": [] if results.fits is None else match_tables.failed(results.fits),
    }


def _cards(
    results: Results, outcomes: pd.DataFrame, known: Headline, page: dict[str, Any]
) -> dict[str, Any]:
    """Return the cards of methods, metrics, datasets and networks."""
    findings = [finding for finding, _ in page["findings"]]
    facts = cards.MethodFacts(
        headline=known,
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
    pictures = sections.by_section([_safe(one) for one in results.pictures], SECTIONS)

    return {
        "failures": sections.failures(results.cells),
        "sums": sections.sums(results.cells),
        "failed_metrics": failed_metrics,
        "n_failed_metrics": sum(len(row["metrics"]) for row in failed_metrics),
        "inapplicable": sections.inapplicable(outcomes),
        "pictures": pictures,
        "open_pictures": {name: sections.first_of_each(own) for name, own in pictures.items()},
        "study": None if results.study is None else study.html(results.study),
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
