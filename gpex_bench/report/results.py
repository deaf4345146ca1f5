"""What goes into a report and what comes out, and the columns that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import pandas as pd

from gpex_bench.tables.columns import CELLS, COSTS, OUTCOMES, PLACE, require
from gpex_bench.tables.order import Record
from gpex_bench.types import value

# Sections that hold figures.
SECTIONS = (
    "contrast",
    "dots",
    "dots_all",
    "removal",
    "cost",
    "metric_agreement",
    "agreement",
    "gallery",
    "gallery_all",
    "neighbours",
    "study",
)

# Agreement over the training seeds, as `statistics.outcomes.agreement_summary` gives it.
AGREEMENT_KEY = ("dataset", "model", "surrogate", "split", "head", "statistic")
AGREEMENT = (*AGREEMENT_KEY, "mean", "low", "high", "n_seeds", "is_weakest")

# Cost and score, as `statistics.outcomes.cost_summary` gives them.
METHOD_KEY = ("dataset", "model", "method", "metric")
EFFICIENCY = (*METHOD_KEY, "rows_per_sample", "mean", "low", "high", "is_control", "is_pareto")

# The columns that the report reads of each table of conclusions.
STATISTICS = {
    "headline": (
        *PLACE,
        "method",
        "score",
        "low",
        "high",
        "place",
        "place_best",
        "place_worst",
        "n_variants",
        "is_control",
        "answer",
    ),
    "headline_variants": (*PLACE, "fill", "output", "method", "mean", "place", "leads"),
    "headline_pairs": (*PLACE, "method", "other", "verdict"),
    "overall": ("scope", "metric", "method", "mean", "low", "high", "n_networks"),
    "pairs": (*PLACE, "method", "other", "verdict"),
    "families": (*PLACE, "n_families", "expected_false"),
    "informative": (*PLACE, "is_informative", "use", "reason"),
    "variance": (*PLACE, "component", "share"),
    "power": (*PLACE, "sentence"),
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
    "truth_agreement": (
        *PLACE,
        "truth",
        "tau",
        "low",
        "high",
        "n_methods",
        "overrated",
        "underrated",
    ),
    "trust": (*PLACE, "property", "value"),
    "variants": (*METHOD_KEY, "fill", "output", "mean", "low", "high"),
    "fill_agreement": (
        *PLACE,
        "fill",
        "output",
        "other_fill",
        "other_output",
        "tau",
        "n_methods",
    ),
}


@value
class StudyPage:
    """The answer of the study that a run has a section for."""

    name: str
    # Markdown, as the study writes it
    text: str
    # SVG by file stem
    figures: Mapping[str, str]


@value
class Picture:
    """One figure of the report."""

    # one of SECTIONS
    section: str
    # empty for a figure about all datasets
    dataset: str
    title: str
    # as `plots.to_svg` gives it: self-contained, with its own title and alternative text
    svg: str
    # path of the CSV with its numbers, relative to the report
    data: str = ""


@value
class Results:
    """Everything the report shows."""

    # name of the run
    run: str
    # run id of the metric that the verdict is about
    headline: str

    # one row for each dataset, model, method and metric
    outcomes: pd.DataFrame
    # one row for each method and trained network
    cells: pd.DataFrame
    # measured seconds and bytes of each cell
    costs: pd.DataFrame
    # cost and headline score of each method
    efficiency: pd.DataFrame
    # scores of single samples, for the distributions behind the cells
    scores: pd.DataFrame | None = None
    # tables of conclusions, by name
    statistics: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    # cards of the plug-ins
    methods: Sequence[Record]
    metrics: Sequence[Record]
    datasets: Sequence[Record] = ()
    models: Sequence[Record] = ()
    surrogates: Sequence[Record] = ()

    # agreement of surrogates with their networks; may be empty
    agreement: pd.DataFrame
    # status and cost of each fit
    fits: pd.DataFrame | None = None
    surrogate_costs: pd.DataFrame | None = None

    # BibTeX
    bibliography: str = ""
    pictures: Sequence[Picture] = ()
    # None where the run has no study
    study: StudyPage | None = None
    # about each network: dataset, network, then whatever is worth a row
    facts: Sequence[Mapping[str, Any]] = ()
    # how each network came by its weights (`Architecture.regime`), by dataset and model
    regimes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    # command, commit, created, config, versions, hardware and so on: text or mappings
    provenance: Mapping[str, Any]
    # networks that were brought along, by dataset and model: one each, whatever the seeds
    given: frozenset[tuple[str, str]] = frozenset()
    # what a reader must know about the data, in sentences by dataset
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # what was converted, filled or left out when data were read, and what surprises, by dataset
    data_notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # what a reader must know about the whole: stale or partial results
    warnings: Sequence[str] = ()


@value
class Rendered:
    """The report, and the files next to it."""

    html: str
    # Markdown, for a pull request
    summary: str
    # the ranking
    latex: str
    # numbers of the report that are in no other table
    shown: Mapping[str, pd.DataFrame]


def check(results: Results) -> None:
    """Check that everything can be shown.

    Raises:
        ValueError: a frame lacks a column, or a picture belongs to no section.
    """
    require(results.outcomes, OUTCOMES, "outcomes")
    require(results.cells, CELLS, "cells")
    require(results.costs, COSTS, "costs")
    require(results.efficiency, EFFICIENCY, "efficiency")
    require(results.agreement, AGREEMENT, "agreement")
    for name, table in results.statistics.items():
        require(table, STATISTICS.get(name, ()), name)

    unknown = sorted({picture.section for picture in results.pictures} - set(SECTIONS))
    if unknown:
        raise ValueError(
            f"pictures belong to unknown sections {unknown}; known are {list(SECTIONS)}."
        )
