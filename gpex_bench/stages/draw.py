"""Tables and artefacts → figures. Pictures are chosen by rule: best, median and worst by the headline score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench import frames, plots, statistics
from gpex_bench.frames import Record
from gpex_bench.plots import Drawing, Gallery
from gpex_bench.stages.draw_agreement import draw_agreement
from gpex_bench.stages.draw_neighbours import draw_neighbours
from gpex_bench.stages.shown import Shown
from gpex_bench.types import Attribution, Examples, Explanation

N_IMAGES, N_TABLE_ROWS = 6, 3
Figures = Iterator[tuple[str, str, str, Drawing]]  # file stem, section of the report, dataset, drawing


def draw_tables(
    tables: Mapping[str, pd.DataFrame], methods: Sequence[Record], metrics: Sequence[Record], headline: str
) -> Figures:
    """Draw what the tables say: scores, removal curves, agreement, cost.

    Args:
        tables: "outcomes", "cells", "curves", "agreement", "predictions".
        methods: cards of the methods.
        metrics: cards of the metrics.
        headline: run id of the metric that the verdict is about.
    """
    outcomes, curves = tables["outcomes"], statistics.curve_summary(tables["curves"])
    better = next(record["higher_is_better"] for record in metrics if record["metric"] == headline)
    ours = frames.controls(methods)
    cost = statistics.cost_summary(tables["cells"], outcomes, headline, better, ours)
    for dataset, model in sorted(set(zip(outcomes["dataset"], outcomes["model"], strict=True))):
        here = {"dataset": dataset, "model": model}
        for number, (block, _) in enumerate(frames.blocks(_at(outcomes, here), metrics)):
            first = headline if headline in set(block["metric"]) else str(min(block["metric"]))
            drawing = plots.heat_map(block, methods, metrics, first)
            yield f"scores_{dataset}_{model}_{number + 1}", "scores", dataset, drawing
        if len(_at(curves, here)):
            drawing = plots.removal_curves(_at(curves, here), methods)
            yield f"removal_{dataset}_{model}", "removal", dataset, drawing
        if len(_at(cost, here)):
            yield f"cost_{dataset}_{model}", "cost", dataset, plots.cost_against_score(_at(cost, here), better)
    yield from draw_agreement(tables, methods)


def _at(frame: pd.DataFrame, key: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows with this key."""
    return frame[np.logical_and.reduce([frame[name] == wanted for name, wanted in key.items()])]


def draw_explanations(shown: Shown, scores: pd.DataFrame, methods: Sequence[Record], headline: str) -> Figures:
    """Draw galleries of attributions and sheets of neighbours.

    Args:
        shown: the network.
        scores: of this network and seed; the choice of the samples depends on them.
        methods: cards of the methods.
        headline: run id of the metric that decides which samples are best, median and worst.
    """
    controls = frames.controls(methods)
    wanted = scores[(scores["metric"] == headline) & ~scores["method"].isin(list(controls))]
    order = wanted.groupby("sample")["score"].mean().sort_values(ascending=False, kind="stable").index.to_numpy()
    place = {int(sample): row for row, sample in enumerate(shown.query.sample.tolist())}
    ranked = [place[int(sample)] for sample in order] or list(range(len(place)))
    stem = f"{shown.dataset}_{shown.model_name}"
    maps = {
        name: explanation.values.numpy()
        for name, explanation in _ordered(shown.explanations, methods)
        if isinstance(explanation, Attribution)
    }
    if maps:
        rows = spaced(ranked, N_IMAGES if shown.data.is_image else N_TABLE_ROWS)
        drawn = plots.gallery if shown.data.is_image else plots.table_gallery
        yield f"gallery_{stem}", "gallery", shown.dataset, drawn(_gallery(shown, maps, rows))
    for name, explanation in shown.explanations.items():
        if isinstance(explanation, Examples) and name in shown.surrogates:
            yield from draw_neighbours(shown, name, explanation, shown.surrogates[name])


def spaced(ranked: Sequence[int], n: int) -> list[int]:
    """Return n entries of a ranking, evenly spaced from the first (best) over the median to the last (worst)."""
    places = np.linspace(0, len(ranked) - 1, min(n, len(ranked))).round().astype(int)
    return [ranked[number] for number in places]


def _ordered(found: Mapping[str, Explanation], methods: Sequence[Record]) -> list[tuple[str, Explanation]]:
    """Return explanations in the order of the config, controls last."""
    controls = frames.controls(methods)
    names = [record["method"] for record in methods if record["method"] in found]
    return [(name, found[name]) for name in sorted(names, key=lambda name: name in controls)]


def _gallery(shown: Shown, maps: Mapping[str, np.ndarray], rows: Sequence[int]) -> Gallery:
    return Gallery(
        name=shown.name,
        inputs=shown.query.x[list(rows)].numpy(),
        predicted=[shown.predicted(row) for row in rows],
        true=[shown.true(row) for row in rows],
        maps={name: values[list(rows)] for name, values in maps.items()},
        features=shown.data.features,
    )
