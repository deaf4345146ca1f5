"""The report: one HTML file that opens offline and is complete without JavaScript.

    html = render(Results(run="default", headline="srg", outcomes=..., ...))

The template holds the words, `verdict` the sentences that depend on the numbers, `sections` the tables. Nothing in here
reads a file or a clock: the same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from gpex_bench.frames import CELLS, COSTS, OUTCOMES, SURROGATE_COSTS, Record, require
from gpex_bench.report import match_tables, matches, sections, verdict
from gpex_bench.types import value

PLACE = ("dataset", "model", "surrogate", "split", "head", "statistic")
AGREEMENT = (*PLACE, "mean", "low", "high", "n_seeds", "is_weakest")
COST = ("dataset", "model", "method", "metric", "rows_per_sample", "mean", "low", "high", "is_control", "is_pareto")
SECTIONS = (
    *("ranks_overall", "ranks", "removal", "cost", "metric_agreement", "agreement"),
    *("gallery", "gallery_all", "neighbours"),
)


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
    fits: pd.DataFrame | None = None  # frames.SURROGATES: what became of each fit
    surrogate_costs: pd.DataFrame | None = None  # frames.SURROGATE_COSTS
    efficiency: pd.DataFrame  # statistics.cost_summary for the headline metric
    methods: Sequence[Record]
    metrics: Sequence[Record]
    pictures: Sequence[Picture] = ()
    facts: Sequence[Mapping[str, Any]] = ()  # about each dataset: dataset, then whatever is worth a row
    provenance: Mapping[str, Any]  # command, commit, created, config (text), versions, hardware, ...: text or mappings


def render(results: Results) -> str:
    """Return the report as HTML.

    Raises:
        ValueError: a frame lacks a column, or a picture belongs to no section.
    """
    for name, columns in (("outcomes", OUTCOMES), ("cells", CELLS), ("costs", COSTS), ("efficiency", COST)):
        require(getattr(results, name), columns, name)
    require(results.agreement, AGREEMENT, "agreement")
    stray = sorted({picture.section for picture in results.pictures} - set(SECTIONS))
    if stray:
        raise ValueError(f"pictures belong to unknown sections {stray}; known are {list(SECTIONS)}.")
    loader = jinja2.PackageLoader(__name__, ".")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    findings = verdict.findings(
        results.outcomes, results.efficiency, results.agreement, results.methods, results.metrics
    )
    return environment.get_template("report.html.j2").render(
        results=results,
        style=Markup(loader.get_source(environment, "style.css")[0]),
        script=Markup(loader.get_source(environment, "script.js")[0]),
        headline=next((record for record in results.metrics if record["metric"] == results.headline), None),
        findings=[finding for finding in findings if finding.metric == results.headline],
        sentences=verdict.sentences(findings, results.headline),
        counts=sections.counts(results.cells, results.outcomes),
        failures=sections.failures(results.cells),
        failed_metrics=sections.failed_metrics(results.cells, results.outcomes),
        inapplicable=sections.inapplicable(results.outcomes),
        tables=sections.score_tables(results.outcomes, results.methods, results.metrics, results.headline),
        **_agreement(results),
        costs=sections.cost_table(results.efficiency, results.costs, results.cells),
        methods=sections.method_cards(results.methods, results.outcomes, results.headline),
        metrics=sorted(results.metrics, key=lambda record: (record["measures"], record["metric"])),
        pictures=sections.by_section([_safe(picture) for picture in results.pictures], SECTIONS),
        provenance=sections.listed(results.provenance),
    )


def _agreement(results: Results) -> dict[str, Any]:
    """Return what the template shows of surrogates."""
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
    """Return a picture as the template shows it; its SVG is our own and already escaped."""
    return {
        "section": picture.section,
        "dataset": picture.dataset,
        "title": picture.title,
        "data": picture.data,
        "svg": Markup(picture.svg),
    }
