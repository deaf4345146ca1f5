"""Explanations → galleries. Inputs and methods are chosen by rule, never by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from gpex_bench import plots
from gpex_bench.masking.units import per_unit, unit_names, unit_values, units
from gpex_bench.measurements.similarity import unit_ranks
from gpex_bench.plots import Drawing, Gallery
from gpex_bench.stages.draw.neighbours import draw_neighbours
from gpex_bench.stages.draw.shown import Shown
from gpex_bench.tables.order import Record, control_ids
from gpex_bench.types import Attribution, Examples, Explanation, Kind, Role

# Methods in the first gallery; all of them, by kind, are in others.
N_SIDE_BY_SIDE = 10

# Inputs in the galleries of all methods.
N_FEW = 3

# Inputs chosen because methods disagree most about them.
N_APART = 2

# File stem, section of the report, dataset, drawing.
Figures = Iterator[tuple[str, str, str, Drawing]]


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
    maps = {
        name: explanation.values.numpy()
        for name, explanation in _ordered(shown.explanations, methods)
        if isinstance(explanation, Attribution)
    }
    if maps:
        order = ranked(shown, scores, headline, control_ids(methods))
        rows = chosen(shown, order, maps)
        parts = {"": list(maps)}
        if shown.data.is_image:
            parts = grouped(maps, scores, methods, headline)
        yield from _galleries(shown, maps, rows, parts)

    for name, explanation in shown.explanations.items():
        if isinstance(explanation, Examples) and name in shown.surrogates:
            yield from draw_neighbours(shown, name, explanation, shown.surrogates[name])


def _galleries(
    shown: Shown,
    maps: Mapping[str, np.ndarray],
    rows: Mapping[int, str],
    parts: Mapping[str, Sequence[str]],
) -> Figures:
    """Draw a gallery for each part of the methods: the first of all rows, the others of a few."""
    draw = plots.gallery if shown.data.is_image else plots.table_gallery
    stem = f"gallery_{shown.dataset}_{shown.model_name}"
    for number, (group, names) in enumerate(parts.items()):
        own = {name: maps[name] for name in names}
        if number == 0:
            drawing = draw(_gallery(shown, own, rows, group))
            yield stem, "gallery", shown.dataset, drawing
            continue

        few = dict(list(rows.items())[:N_FEW])
        drawing = draw(_gallery(shown, own, few, group))
        yield f"{stem}_{number}", "gallery_all", shown.dataset, drawing


def ranked(
    shown: Shown, scores: pd.DataFrame, headline: str, controls: Collection[str]
) -> list[int]:
    """Return the rows of the query, the one with the largest mean headline score first."""
    is_headline = scores["metric"] == headline
    is_control = scores["method"].isin(list(controls))
    means = scores[is_headline & ~is_control].groupby("sample")["score"].mean()
    best_first = means.sort_values(ascending=False, kind="stable").index

    samples = shown.query.sample.tolist()
    row_of = {sample: row for row, sample in enumerate(samples)}
    ranked = [row_of[int(sample)] for sample in best_first]
    # Without a score, as the query has them.
    return ranked or list(range(len(samples)))


def chosen(shown: Shown, order: Sequence[int], maps: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Return rows of the query and why they are shown.

    Best, median and worst score, largest disagreement of the methods, first misclassified (of a
    number: largest error).
    """
    rows = {order[0]: "best"}
    rows.setdefault(order[len(order) // 2], "median")
    rows.setdefault(order[-1], "worst")

    least_alike = np.argsort(likeness(maps), kind="stable").tolist()
    others = [row for row in least_alike if row not in rows]
    rows |= dict.fromkeys(others[:N_APART], "methods\ndisagree most")

    wrong = shown.first_wrong(len(order))
    if wrong is not None:
        # One that is shown already gets a second reason.
        row, way = wrong
        way = way if shown.data.kind is Kind.NUMBER else f"first\n{way}"
        rows[row] = f"{rows[row]},\n{way}" if row in rows else way
    return rows


def likeness(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return, for each input, the mean rank correlation of the maps of every two methods.

    It is low where they disagree.
    """
    flat = np.stack([values.reshape(len(values), -1) for values in maps.values()])
    unit = unit_ranks(flat)

    # The square of the sum holds each pair twice, and the squares of single maps.
    of_all = (unit.sum(0) ** 2).sum(-1)
    of_single = (unit**2).sum((0, -1))
    n_ordered_pairs = len(flat) * (len(flat) - 1)
    mean = (of_all - of_single) / max(n_ordered_pairs, 1)

    # Rounded, so that the choice does not depend on the order of adding.
    return mean.round(12)


def grouped(
    maps: Mapping[str, np.ndarray], scores: pd.DataFrame, methods: Sequence[Record], headline: str
) -> dict[str, list[str]]:
    """Return the methods of each gallery: if there are many, first some chosen by score.

    Chosen are the three best, two in the middle and the two worst by the mean headline score of
    this seed, the random control and two more. Then all come by kind.
    """
    if len(maps) <= N_SIDE_BY_SIDE + 2:
        return {"": list(maps)}

    controls = control_ids(methods)
    of_headline = scores[scores["metric"] == headline]
    mean = of_headline.groupby("method")["score"].mean()
    scored = [name for name in maps if name in mean and name not in controls]
    ranked = sorted(scored, key=lambda name: (-mean[name], name))

    # Of few methods some are both among the best and in the middle: each is shown once.
    middle = len(ranked) // 2
    picked = [*ranked[:3], *ranked[middle - 1 : middle + 1], *ranked[-2:]]
    some = list(dict.fromkeys(picked))

    random = sorted(control_ids(methods, Role.RANDOM) & set(maps))
    rest = [name for name in maps if name in controls and name not in random]
    some += random[:1]
    some += rest[:2]

    parts = {f"best, median and worst by {headline}, and controls": some}
    parts |= _by_kind(maps, methods)
    return {group: names for group, names in parts.items() if names}


def _by_kind(maps: Collection[str], methods: Sequence[Record]) -> dict[str, list[str]]:
    """Return the methods of each kind, in parts that fit into a gallery."""
    parts = {}
    for kind in sorted({record["kind"] for record in methods}):
        own = [record["method"] for record in methods if record["kind"] == kind]
        names = [name for name in own if name in maps]
        for start in range(0, len(names), N_SIDE_BY_SIDE):
            part = names[start : start + N_SIDE_BY_SIDE]
            is_whole = len(part) == len(names)
            parts[kind if is_whole else f"{kind}, {start // N_SIDE_BY_SIDE + 1}"] = part
    return parts


def _ordered(
    explanations: Mapping[str, Explanation], methods: Sequence[Record]
) -> list[tuple[str, Explanation]]:
    """Return explanations in the order of the config, controls last."""
    controls = control_ids(methods)
    names = [record["method"] for record in methods if record["method"] in explanations]
    names.sort(key=lambda name: name in controls)
    return [(name, explanations[name]) for name in names]


def _gallery(
    shown: Shown, maps: Mapping[str, np.ndarray], chosen: Mapping[int, str], group: str
) -> Gallery:
    """Return the gallery of these rows (with the reasons why) by these methods."""
    rows = list(chosen)
    inputs = shown.query.x[rows]
    values = []
    if shown.data.scales:
        values = [unit_values(shown.data, x) for x in inputs]
    unit = units(shown.data)
    if unit is not None:
        # a group of columns is one place of a map
        inputs = per_unit(inputs, unit)
        maps = {name: per_unit(torch.from_numpy(of), unit).numpy() for name, of in maps.items()}
    return Gallery(
        name=shown.name,
        inputs=inputs.numpy(),
        predicted=[shown.predicted(row) for row in rows],
        true=[shown.true(row) for row in rows],
        explained=[shown.explained(row) for row in rows],
        evidence=shown.evidence,
        maps={name: values[rows] for name, values in maps.items()},
        features=unit_names(shown.data),
        values=values,
        why=[chosen[row] for row in rows],
        group=group,
    )
