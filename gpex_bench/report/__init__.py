"""The report: one HTML file that opens offline and is complete without JavaScript.

    html = render(Results(run="default", headline="srg", outcomes=..., ...))

The template holds the words, `verdict` the sentences that depend on the numbers, `sections` the tables. Nothing in here
reads a file or a clock: the same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import jinja2
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
    trust,
    verdict,
)
from gpex_bench.tables.columns import CELLS, COSTS, OUTCOMES, SURROGATE_COSTS, require
from gpex_bench.tables.order import Record, ordered, records
from gpex_bench.types import value

PLACE = ("dataset", "model", "surrogate", "split", "head", "statistic")
AGREEMENT = (*PLACE, "mean", "low", "high", "n_seeds", "is_weakest")
COST = (
    "dataset",
    "model",
    "method",
    "metric",
    "rows_per_sample",
    "mean",
    "low",
    "high",
    "is_control",
    "is_pareto",
)
PLACES = ("dataset", "model", "method", "metric")
SECTIONS = (
    *("ranks_overall", "ranks", "removal", "cost", "metric_agreement", "agreement"),
    *("gallery", "gallery_all", "neighbours"),
)
STATISTICS = {  # columns that the report reads of each table of `inference`
    "ranking": ("dataset", "model", "metric", "method", "mean_rank"),
    "overall": (
        "metric",
        "method",
        "mean_rank",
        "rank_low",
        "rank_high",
        "tied_with_best",
        "friedman_p",
        "n_networks",
    ),
    "informative": ("dataset", "model", "metric", "is_informative", "reason"),
    "variance": ("dataset", "model", "metric", "component", "share"),
    "power": ("dataset", "model", "metric", "sentence"),
    "planted": (
        "dataset",
        "model",
        "method",
        "mean",
        "low",
        "high",
        "edge_difference",
        "p_holm",
        "beats_edge_detector",
    ),
    "trust": ("metric", "dataset", "model", "property", "value"),
    "variants": ("dataset", "model", "method", "metric", "fill", "output", "mean", "low", "high"),
    "fill_agreement": (
        "dataset",
        "model",
        "metric",
        "fill",
        "output",
        "other_fill",
        "other_output",
        "tau",
        "n_methods",
    ),
    "second_opinion": (
        "dataset",
        "model",
        "metric",
        "first",
        "second",
        "rope",
        "p_first",
        "p_equal",
        "p_second",
    ),
}


@value
class Picture:
    """One figure of the report."""

    section: str  # one of SECTIONS
    dataset: str  # empty for a figure about all
    title: str
    svg: str  # as `plots.to_svg` gives it: self-contained, with its own title and alternative text
    data: str = ""  # path of the CSV with its numbers, relative to the report


@value
class Results:
    """Everything the report shows."""

    run: str  # name of the run
    headline: str  # run id of the metric that the verdict is about
    outcomes: pd.DataFrame  # statistics.outcomes
    cells: pd.DataFrame
    costs: pd.DataFrame  # measured seconds and bytes
    agreement: pd.DataFrame  # statistics.agreement_summary; may be empty
    surrogates: Sequence[Record] = ()  # cards
    fits: pd.DataFrame | None = None  # columns.SURROGATES: what became of each fit
    surrogate_costs: pd.DataFrame | None = None  # columns.SURROGATE_COSTS
    efficiency: pd.DataFrame  # statistics.cost_summary for the headline metric
    methods: Sequence[Record]
    metrics: Sequence[Record]
    datasets: Sequence[Record] = ()  # cards
    models: Sequence[Record] = ()
    scores: pd.DataFrame | None = None  # of single samples, for the distributions behind the cells
    statistics: Mapping[str, pd.DataFrame] = field(
        default_factory=dict
    )  # tables of `inference`, by name
    bibliography: str = ""  # BibTeX
    pictures: Sequence[Picture] = ()
    facts: Sequence[
        Mapping[str, Any]
    ] = ()  # about each network: dataset, network, then whatever is worth a row
    provenance: Mapping[
        str, Any
    ]  # command, commit, created, config (text), versions, hardware, ...: text or mappings
    warnings: Sequence[
        str
    ] = ()  # what a reader must know about the whole: stale or partial results


@value
class Rendered:
    """The report, and what is beside it."""

    html: str
    summary: str  # Markdown, for a pull request
    latex: str  # the ranking
    shown: Mapping[str, pd.DataFrame]  # numbers of the report that stand in no other table


def render(results: Results) -> str:
    """Return the report as HTML."""
    return written(results).html


def written(results: Results) -> Rendered:
    """Return the report, its summary and the numbers that it derives.

    Raises:
        ValueError: a frame lacks a column, or a picture belongs to no section.
    """
    _check(results)
    loader = jinja2.PackageLoader(__name__, ".")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = contents(results)
    style, script = (
        Markup(loader.get_source(environment, name)[0]) for name in ("style.css", "script.js")
    )
    html = environment.get_template("report.html.j2").render(
        results=results, style=style, script=script, **page
    )
    return Rendered(
        html=html,
        summary=summary.markdown(results.run, results.headline, page),
        latex=summary.latex(page["ranking"], results.headline),
        shown=page["shown"],
    )


def _check(results: Results) -> None:
    """Raise ValueError if something cannot be shown."""
    for name, columns in (
        ("outcomes", OUTCOMES),
        ("cells", CELLS),
        ("costs", COSTS),
        ("efficiency", COST),
    ):
        require(getattr(results, name), columns, name)
    require(results.agreement, AGREEMENT, "agreement")
    for name, table in results.statistics.items():
        require(table, STATISTICS.get(name, ()), name)
    stray = sorted({picture.section for picture in results.pictures} - set(SECTIONS))
    if stray:
        raise ValueError(
            f"pictures belong to unknown sections {stray}; known are {list(SECTIONS)}."
        )


def contents(results: Results) -> dict[str, Any]:
    """Return everything that the templates write out, by name."""
    tables, methods, metrics, headline = (
        results.statistics,
        results.methods,
        results.metrics,
        results.headline,
    )
    outcomes = ordered(results.outcomes)
    outcomes = outcomes.join(scaling.scaled(outcomes, methods, metrics))
    blank = scores.blank(tables.get("informative"))
    findings = [
        verdict.silenced(finding, blank)
        for finding in verdict.findings(
            outcomes, results.efficiency, results.agreement, methods, metrics
        )
        if finding.metric == headline
    ]
    card = next((record for record in metrics if record["metric"] == headline), None)
    overall = ranking.ranks(tables.get("overall"), headline)
    trusted = trust.trust(tables, metrics, headline)
    grouped = scaling.by_group(outcomes, frozenset(blank), metrics)
    spread = _spread(results, outcomes)
    ranked = ranking.Ranked(
        is_higher_better=card is None or card["higher_is_better"],
        overall=tables.get("overall"),
        efficiency=results.efficiency,
        groups=grouped,
        blank=frozenset(blank),
    )
    costs = sections.cost_table(results.efficiency, results.costs, results.cells)
    known = cards.Known(
        ranking=tables.get("ranking"), costs=costs, behind=cards.behind_blind(findings)
    )
    used = {record["reference"] for record in (*methods, *metrics) if record["reference"]}
    return {
        "headline": card,
        "findings": [(finding, verdict.on_one_network(finding)) for finding in findings],
        "sentences": verdict.sentences(
            findings, headline, overall, card.get("title", "") if card else ""
        ),
        "counts": sections.counts(results.cells, outcomes),
        "seconds": cards.total_seconds(results.costs),
        "failures": sections.failures(results.cells),
        "failed_metrics": sections.failed_metrics(results.cells, outcomes),
        "inapplicable": sections.inapplicable(outcomes),
        "ranking": ranking.ranking_table(outcomes, methods, headline, ranked),
        "n_first": ranking.N_FIRST,
        "blank_networks": {
            (dataset, model) for dataset, model, metric in blank if metric == headline
        },
        "networks": scores.score_tables(outcomes, headline, _beside(results, blank, spread)),
        "trust": trusted,
        **_agreement(results),
        "costs": costs,
        "method_groups": cards.method_cards(methods, outcomes, headline, known),
        "metric_groups": cards.metric_cards(metrics, trusted["metrics"]),
        "network_cards": cards.network_cards(results.facts, results.datasets, results.models),
        "references": bibliography.references(results.bibliography, used)
        if results.bibliography
        else [],
        "pictures": sections.by_section([_safe(picture) for picture in results.pictures], SECTIONS),
        "provenance": sections.listed(results.provenance),
        "shown": {
            "scaled": outcomes[
                [*PLACES, "mean", "low", "high", *scaling.COLUMNS, "reference", "mark"]
            ],
            "distributions": spread,
            "groups": grouped,
        },
    }


def _beside(
    results: Results, blank: Mapping[scores.Place, str], spread: pd.DataFrame
) -> scores.Beside:
    """Return what stands beside the scores of the tables."""
    return scores.Beside(
        methods=results.methods,
        metrics=results.metrics,
        blank=blank,
        tau=scores.least_tau(results.statistics.get("fill_agreement")),
        spread={
            (row["dataset"], row["model"], row["metric"], row["method"]): row
            for row in records(spread)
        },
    )


def _spread(results: Results, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the distributions behind the cells of the score tables."""
    if results.scores is None:
        return pd.DataFrame(columns=list(distributions.COLUMNS))
    wanted = scores.detailed(outcomes, results.metrics, results.headline)
    return distributions.distributions(results.scores, wanted)


def _agreement(results: Results) -> dict[str, Any]:
    """Return what the templates show of surrogates."""
    costs = results.surrogate_costs
    costs = pd.DataFrame(columns=list(SURROGATE_COSTS)) if costs is None else costs
    return {
        "matches": match_tables.tables(results.agreement, costs),
        "match_sentences": matches.sentences(results.agreement, results.surrogates, costs),
        "exact": {card["surrogate"] for card in results.surrogates if card["exact"]},
        "surrogates": sorted(results.surrogates, key=lambda card: card["surrogate"]),
        "failed_fits": [] if results.fits is None else match_tables.failed(results.fits),
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
