"""Training samples that explain an output → sheets. The items are chosen by rule, never by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench import plots
from gpex_bench.masking.units import per_unit, unit_names, unit_values, units
from gpex_bench.plots import Drawing, Heat, Sheet
from gpex_bench.stages.draw.shown import Shown, named
from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate
from gpex_bench.surrogates.gp.effect_maps import effect_maps
from gpex_bench.tables.words import number
from gpex_bench.types import Examples, Kind, Surrogate
from gpex_bench.types.batches import centred_cosine

# Of an item; the paper shows 10.
N_NEIGHBOURS = 8

# Columns of a table, or categories, that are shown.
N_COLUMNS = 6

# File stem, section of the report, dataset, drawing.
Figures = Iterator[tuple[str, str, str, Drawing]]


def draw_neighbours(shown: Shown, method: str, examples: Examples, surrogate: Surrogate) -> Figures:
    """Draw the neighbours of some items, then next to those in the network's embedding."""
    stem = f"{shown.dataset}_{shown.model_name}_{method}"
    title = f"{shown.name}, {method}"
    items = chosen(shown, surrogate)

    sheets = [_sheet(shown, examples, surrogate, row, why) for row, why in items.items()]
    drawing = plots.neighbour_sheet(sheets, title)
    yield f"neighbours_{stem}", "neighbours", shown.dataset, drawing

    pairs: list[Sheet] = []
    for row, sheet in zip(items, sheets, strict=True):
        index = examples.index[row, :N_NEIGHBOURS]
        pairs += _side_by_side(shown, method, row, index, sheet)
    drawing = plots.neighbour_sheet(pairs, f"{title} and the embedding of the network")
    yield f"neighbours_{stem}_beside", "neighbours", shown.dataset, drawing


def chosen(shown: Shown, surrogate: Surrogate) -> dict[int, str]:
    """Return rows of the query and why they are shown.

    Best, median and worst agreement, and the first misclassified one (of a number: the largest
    error of the network), by agreement. Agreement is the distance of the surrogate's mean from the
    network's output for the target.
    """
    x = shown.query.x
    target = shown.query.target[:, None]
    with torch.no_grad():
        network = shown.model.explained(x).gather(1, target)
        mean = surrogate.posterior(x).mean.gather(1, target)
    error = (mean - network).abs()[:, 0]

    by_error = error.argsort(stable=True).tolist()
    reasons = {by_error[0]: "best agreement"}
    reasons.setdefault(by_error[-1], "worst agreement")
    reasons.setdefault(by_error[len(by_error) // 2], "median agreement")

    # An item that is shown already gets a second reason.
    wrong = shown.first_wrong(len(by_error))
    if wrong is not None:
        at, way = wrong
        way = "largest error of the network" if shown.data.kind is Kind.NUMBER else way
        reasons[at] = f"{reasons[at]}, {way}" if at in reasons else way
    return {row: reasons[row] for row in by_error if row in reasons}


def _sheet(shown: Shown, examples: Examples, surrogate: Surrogate, row: int, why: str) -> Sheet:
    """Return one test item with its neighbours, in the method's order, their numbers and maps."""
    index = examples.index[row, :N_NEIGHBOURS]
    x = shown.query.x[row : row + 1]
    target = shown.query.target[row : row + 1]
    head = int(target)

    with torch.no_grad():
        outputs = {
            "network": shown.model.explained(x)[0, head],
            "GP mean": surrogate.posterior(x).mean[0, head],
            "prior mean": surrogate.offset(target)[0],
        }
        numbers = _numbers(surrogate, x, target, index)
        heats: list[Heat] = []
        if shown.data.is_image:
            heats = _heats(surrogate, x, shown.data.train.x[index], index, head)

    lines = [f"{name} {number(float(output))}" for name, output in outputs.items()]
    sheet = _with_neighbours(shown, row, index, numbers, why)
    return dataclasses.replace(sheet, heats=heats, note="\n".join(lines))


def _with_neighbours(
    shown: Shown, row: int, index: Int[Tensor, "k"], numbers: dict[str, np.ndarray], why: str
) -> Sheet:
    """Return a sheet of one row of the query with these training samples as its neighbours."""
    item = shown.query.x[row]
    neighbours = shown.data.train.x[index]
    features: list[str] = []
    values: list[list[str]] = []
    if not shown.data.is_image:
        columns = _unusual(shown, item)
        features = [unit_names(shown.data)[column] for column in columns]
        for x in (item, *neighbours):
            words = unit_values(shown.data, x)
            values.append([words[column] for column in columns])
        unit = units(shown.data)
        item = per_unit(item[None], unit)[0, columns]
        neighbours = per_unit(neighbours, unit)[:, columns]

    targets = shown.data.train.y[index]
    return Sheet(
        image=item.numpy(),
        predicted=shown.predicted(row),
        true=shown.true(row),
        neighbours=neighbours.numpy(),
        classes=[named(shown.data, target) for target in targets],
        alike=_alike(shown, row, targets),
        numbers=numbers,
        why=why,
        features=features,
        values=values,
    )


def _alike(shown: Shown, row: int, targets: Tensor) -> list[bool] | None:
    """Return which neighbours are of the predicted class, or have the explained label.

    None where the targets are numbers, which are neither.
    """
    if shown.data.kind is Kind.NUMBER:
        return None
    if shown.data.kind is Kind.LABELS:
        has_label: list[bool] = targets[:, shown.query.target[row]].bool().tolist()
        return has_label
    return [named(shown.data, target) == shown.predicted(row) for target in targets]


def _numbers(
    surrogate: Surrogate, x: Tensor, target: Tensor, index: Int[Tensor, "k"]
) -> dict[str, np.ndarray]:
    """Return the numbers of an item's neighbours that this kind of surrogate knows, by name."""
    questions: dict[str, Callable[[], Tensor]] = {
        "similarity": lambda: surrogate.similarity(x, target)[0, index],
        "contribution": lambda: surrogate.contribution(x, target)[0, index],
    }
    if isinstance(surrogate, WeightSpaceSurrogate):
        questions["if deleted"] = lambda: surrogate.deletion(x, target, index[None])[0]

    answers = {name: _answer(question) for name, question in questions.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def _answer(question: Callable[[], Tensor]) -> np.ndarray | None:
    """Return the surrogate's answer, or None if its kind cannot give one."""
    try:
        return question().numpy()
    except NotImplementedError:
        return None


def _heats(surrogate: Surrogate, x: Tensor, near: Tensor, index: Tensor, head: int) -> list[Heat]:
    """Return maps of the similarity on each neighbour and on the item, and of the effect on it."""
    if not isinstance(surrogate, WeightSpaceSurrogate) or surrogate.features.grid(x) is None:
        return []
    on_item, on_neighbour = surrogate.pair(x, near, head)
    effect, _ = effect_maps(surrogate, x, near, index, head)
    return [
        Heat(
            label="where the similarity\nlies on the neighbour",
            values=on_neighbour.numpy(),
            is_on_query=False,
        ),
        Heat(label="where it lies\non the test item", values=on_item.numpy(), is_on_query=True),
        Heat(
            label="where the neighbour's\neffect lies\non the test item",
            values=effect.numpy(),
            is_on_query=True,
        ),
    ]


def _unusual(shown: Shown, item: Float[Tensor, "column"]) -> np.ndarray:
    """Return the units in which a row differs most from the training samples.

    The difference is to their mean, in standard deviations; of a category that of its column which
    differs most.
    """
    x = shown.data.train.x.double().numpy()
    spread = x.std(0)
    gap = np.abs(item.double().numpy() - x.mean(0))

    # A constant column is not unusual.
    distance = np.divide(gap, spread, out=np.zeros(len(spread)), where=spread > 0)
    unit = units(shown.data)
    if unit is not None:
        of_column, distance = distance, np.zeros(int(unit.max()) + 1)
        np.maximum.at(distance, unit.numpy(), of_column)
    found: np.ndarray = np.argsort(-distance, kind="stable")
    return found[:N_COLUMNS]


def _side_by_side(
    shown: Shown, method: str, row: int, index: Int[Tensor, "k"], sheet: Sheet
) -> list[Sheet]:
    """Return two sheets of one item: the method's neighbours, and those in the embedding.

    Args:
        shown: the network.
        method: run id of the method.
        row: of the query.
        index: training samples that the method found, nearest first.
        sheet: of the item with these neighbours.
    """
    x = shown.query.x[row : row + 1]
    cosine, embedded = embedding_neighbours(shown, x, len(index))
    in_both = set(index.tolist()) & set(embedded[0].tolist())

    # Two sheets are compared by similarity, the one number that both can have.
    similarity = {name: values for name, values in sheet.numbers.items() if name == "similarity"}
    why = f"{sheet.why}, neighbours by {method}"
    embedding_why = f"{sheet.why}, neighbours by embedding"
    if shown.data.is_image:
        why = f"{sheet.why}:\n{method}"
        embedding_why = "embedding of\nthe network"

    of_method = dataclasses.replace(
        sheet,
        numbers=similarity,
        heats=(),
        why=why,
        note=f"{len(in_both)} of {len(index)}\nin both",
    )
    own = {"similarity": cosine[0].numpy()}
    of_embedding = _with_neighbours(shown, row, embedded[0], own, embedding_why)
    return [of_method, of_embedding]


def embedding_neighbours(
    shown: Shown, x: Float[Tensor, "batch *feature"], k: int
) -> tuple[Float[Tensor, "batch k"], Int[Tensor, "batch k"]]:
    """Return centred cosine and rows of the k training samples nearest in the embedding."""
    cosine = centred_cosine(shown.model, shown.data.train.x, x)
    nearest = cosine.topk(k, 1)
    return nearest.values.to(x.dtype), nearest.indices
