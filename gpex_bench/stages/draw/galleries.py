"""Explanations → galleries. Inputs and methods are chosen by rule, never by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench import plots
from gpex_bench.measurements.similarity import unit_ranks
from gpex_bench.plots import Drawing, Gallery
from gpex_bench.stages.draw.neighbours import draw_neighbours
from gpex_bench.stages.draw.shown import Shown
from gpex_bench.tables.order import Record, control_ids
from gpex_bench.types import Attribution, Examples, Explanation, Role

N_SIDE_BY_SIDE = 10  # methods in the first gallery; all of them, by kind, stand in others
N_FEW = 3  # inputs in the galleries of all methods
N_APART = 2  # inputs chosen because methods disagree most about them
Figures = Iterator[
    tuple[str, str, str, Drawing]
]  # file stem, section of the report, dataset, drawing


def draw_explanations(
    shown: Shown, scores: pd.DataFrame, methods: Sequence[Record], headline: str
) -> Figures:
    """Draw galleries of attributions and sheets of neighbours.

    Args:
        shown: the network.
        scores: of this network and seed; the choice of the samples depends on them.
        methods: cards of the methods.
        headline: run id of the metric that decides which samples are best, median and worst.
    """
    order = _ranked(shown, scores, headline, control_ids(methods))
    stem = f"{shown.dataset}_{shown.model_name}"
    maps = {
        name: explanation.values.numpy()
        for name, explanation in _ordered(shown.explanations, methods)
        if isinstance(explanation, Attribution)
    }
    if maps:
        drawn = plots.gallery if shown.data.is_image else plots.table_gallery
        rows = chosen(shown, order, maps)
        parts = (
            grouped(maps, scores, methods, headline) if shown.data.is_image else {"": list(maps)}
        )
        for number, (group, names) in enumerate(parts.items()):
            section = "gallery_all" if number else "gallery"
            few = {row: why for row, why in list(rows.items())[: N_FEW if number else None]}
            drawing = drawn(_gallery(shown, {name: maps[name] for name in names}, few, group))
            yield f"gallery_{stem}{f'_{number}' if number else ''}", section, shown.dataset, drawing
    for name, explanation in shown.explanations.items():
        if isinstance(explanation, Examples) and name in shown.surrogates:
            yield from draw_neighbours(shown, name, explanation, shown.surrogates[name])


def _ranked(
    shown: Shown, scores: pd.DataFrame, headline: str, controls: Collection[str]
) -> list[int]:
    """Return the rows of the query, the one with the best mean headline score of all methods first."""
    wanted = scores[(scores["metric"] == headline) & ~scores["method"].isin(list(controls))]
    order = (
        wanted.groupby("sample")["score"]
        .mean()
        .sort_values(ascending=False, kind="stable")
        .index.to_numpy()
    )
    place = {int(sample): row for row, sample in enumerate(shown.query.sample.tolist())}
    return [place[int(sample)] for sample in order] or list(range(len(place)))


def chosen(shown: Shown, order: Sequence[int], maps: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Return rows of the query and why: best, median and worst score, largest disagreement, first misclassified."""
    rows = {order[0]: "best"}
    rows.setdefault(order[len(order) // 2], "median")
    rows.setdefault(order[-1], "worst")
    apart = [int(row) for row in np.argsort(likeness(maps), kind="stable") if int(row) not in rows]
    rows |= dict.fromkeys(apart[:N_APART], "methods\ndisagree most")
    wrong = next(
        (row for row in range(len(order)) if shown.predicted(row) != shown.true(row)), None
    )
    if wrong is not None:
        rows.setdefault(wrong, "first\nmisclassified")
    return rows


def likeness(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return, for each input, the mean rank correlation of the maps of every two methods: low where they disagree."""
    flat = np.stack([values.reshape(len(values), -1) for values in maps.values()])
    unit = unit_ranks(flat)
    n = len(flat)
    return (((unit.sum(0) ** 2).sum(-1) - (unit**2).sum((0, -1))) / max(n * (n - 1), 1)).round(12)


def grouped(
    maps: Mapping[str, np.ndarray], scores: pd.DataFrame, methods: Sequence[Record], headline: str
) -> dict[str, list[str]]:
    """Return the methods of each gallery: if there are many, some that are chosen by their score, then all by kind.

    Chosen are the three best, two in the middle and the two worst by the mean headline score of this seed, and the
    random control and one more.
    """
    if len(maps) <= N_SIDE_BY_SIDE + 2:
        return {"": list(maps)}
    ours = control_ids(methods)
    mean = scores[scores["metric"] == headline].groupby("method")["score"].mean()
    ranked = sorted(
        (name for name in maps if name in mean and name not in ours),
        key=lambda name: (-mean[name], name),
    )
    middle = len(ranked) // 2
    shown = list(dict.fromkeys([*ranked[:3], *ranked[middle - 1 : middle + 1], *ranked[-2:]]))
    random = sorted(control_ids(methods, Role.RANDOM) & set(maps))
    rest = [name for name in maps if name in ours and name not in random]
    parts = {
        f"best, median and worst by {headline}, and controls": [*shown, *random[:1], *rest[:2]]
    }
    for kind in dict.fromkeys(
        record["kind"] for record in sorted(methods, key=lambda record: record["kind"])
    ):
        names = [
            record["method"]
            for record in methods
            if record["kind"] == kind and record["method"] in maps
        ]
        for start in range(0, len(names), N_SIDE_BY_SIDE):
            more = f", {start // N_SIDE_BY_SIDE + 1}" if len(names) > N_SIDE_BY_SIDE else ""
            parts[f"{kind}{more}"] = names[start : start + N_SIDE_BY_SIDE]
    return {group: names for group, names in parts.items() if names}


def _ordered(
    found: Mapping[str, Explanation], methods: Sequence[Record]
) -> list[tuple[str, Explanation]]:
    """Return explanations in the order of the config, controls last."""
    controls = control_ids(methods)
    names = [record["method"] for record in methods if record["method"] in found]
    return [(name, found[name]) for name in sorted(names, key=lambda name: name in controls)]


def _gallery(
    shown: Shown, maps: Mapping[str, np.ndarray], chosen: Mapping[int, str], group: str
) -> Gallery:
    rows = list(chosen)
    return Gallery(
        name=shown.name,
        inputs=shown.query.x[rows].numpy(),
        predicted=[shown.predicted(row) for row in rows],
        true=[shown.true(row) for row in rows],
        maps={name: values[rows] for name, values in maps.items()},
        features=shown.data.features,
        why=[chosen[row] for row in rows],
        group=group,
    )
