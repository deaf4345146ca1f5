"""Training samples that explain an output → sheets. The items are chosen by rule, never by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench import plots
from gpex_bench.plots import Drawing, Heat, Sheet
from gpex_bench.stages.draw.shown import Shown
from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate
from gpex_bench.surrogates.gp.effect_maps import effect_maps
from gpex_bench.tables.words import number
from gpex_bench.types import Examples, Surrogate
from gpex_bench.types.batches import centred_cosine

# Of an item; the paper shows 10.
N_NEIGHBOURS = 8

# Columns of a table that are shown.
N_COLUMNS = 6

# File stem, section of the report, dataset, drawing.
Figures = Iterator[tuple[str, str, str, Drawing]]


def draw_neighbours(shown: Shown, method: str, examples: Examples, surrogate: Surrogate) -> Figures:
    """Draw the neighbours of some items, then next to those in the network's embedding."""
    stem = f"{shown.dataset}_{shown.model_name}_{method}"
    title = f"{shown.name}, {method}"
    items = chosen(shown, surrogate)

    sheets = [_sheet(shown, examples, surrogate, row, why) for row, why in items]
    yield f"neighbours_{stem}", "neighbours", shown.dataset, plots.neighbour_sheet(sheets, title)

    pairs: list[Sheet] = []
    for item in items:
        pairs += _side_by_side(shown, method, examples, surrogate, item)
    drawing = plots.neighbour_sheet(pairs, f"{title} and the embedding of the network")
    yield f"neighbours_{stem}_beside", "neighbours", shown.dataset, drawing


def chosen(shown: Shown, surrogate: Surrogate) -> list[tuple[int, str]]:
    """Return rows of the query and why they are shown.

    Best, median and worst agreement, and the first misclassified one. Agreement is the distance of
    the surrogate's mean from the network's output for the predicted class.
    """
    x, target = shown.query.x, shown.query.target[:, None]
    with torch.no_grad():
        network = shown.model.explained(x).gather(1, target)
        mean = surrogate.posterior(x).mean.gather(1, target)
        error = (mean - network).abs()[:, 0]

    order = error.argsort(stable=True).tolist()
    rows = {order[0]: "best agreement"}
    rows.setdefault(order[-1], "worst agreement")
    rows.setdefault(order[len(order) // 2], "median agreement")

    wrong = shown.first_misclassified(len(order))
    if wrong is not None:
        rows[wrong] = f"{rows[wrong]}, misclassified" if wrong in rows else "misclassified"
    return sorted(rows.items(), key=lambda item: order.index(item[0]))


def _sheet(shown: Shown, examples: Examples, surrogate: Surrogate, row: int, why: str) -> Sheet:
    """Return one test item with its neighbours, in the method's order, their numbers and maps."""
    index = examples.index[row, :N_NEIGHBOURS]
    x, target = shown.query.x[row : row + 1], shown.query.target[row : row + 1]
    near, head = shown.data.train.x[index], int(target)
    with torch.no_grad():
        mean, prior = surrogate.posterior(x).mean[0, head], surrogate.offset(target)[0]
        network = shown.model.explained(x)[0, head]
        asks: dict[str, Callable[[], Tensor]] = {
            "similarity": lambda: surrogate.similarity(x, target)[0, index],
            "contribution": lambda: surrogate.contribution(x, target)[0, index],
        }
        if isinstance(surrogate, WeightSpaceSurrogate):
            asks["if deleted"] = lambda: surrogate.deletion(x, target, index[None])[0]
        numbers = {
            name: values for name, ask in asks.items() if (values := _answer(ask)) is not None
        }
        heats = _heats(surrogate, x, near, index, head) if shown.data.is_image else []
    outputs = {"network": network, "GP mean": mean, "prior mean": prior}
    note = "\n".join(f"{name} {number(float(entry))}" for name, entry in outputs.items())
    image, others, features = x[0].numpy(), near.numpy(), list[str]()
    if not shown.data.is_image:
        image, others, features = _unusual(shown, image, others)
    return Sheet(
        image=image,
        predicted=shown.predicted(row),
        true=shown.true(row),
        neighbours=others,
        classes=[shown.data.classes[int(y)] for y in shown.data.train.y[index]],
        numbers=numbers,
        heats=heats,
        why=why,
        note=note,
        features=features,
    )


def _answer(ask: Callable[[], Tensor]) -> np.ndarray | None:
    """Return the surrogate's answer, or None if its kind cannot give one."""
    try:
        return ask().numpy()
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


def _unusual(
    shown: Shown, item: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the columns in which a row differs most from the training samples.

    The difference is to their mean, in standard deviations.
    """
    x = shown.data.train.x.double().numpy()
    spread = x.std(0)
    distance = np.divide(
        np.abs(item - x.mean(0)), spread, out=np.zeros(len(spread)), where=spread > 0
    )
    columns = np.argsort(-distance, kind="stable")[:N_COLUMNS]
    return item[columns], others[:, columns], [shown.data.features[column] for column in columns]


def _side_by_side(
    shown: Shown, method: str, examples: Examples, surrogate: Surrogate, item: tuple[int, str]
) -> list[Sheet]:
    """Return two sheets of one item: the method's neighbours, and those in the embedding."""
    row, why = item
    index = examples.index[row, :N_NEIGHBOURS]
    similarity, own = embedding_neighbours(shown, shown.query.x[row : row + 1], len(index))
    common = len(set(index.tolist()) & set(own[0].tolist()))
    x, target = shown.query.x[row : row + 1], shown.query.target[row : row + 1]
    with torch.no_grad():
        near = _answer(lambda: surrogate.similarity(x, target)[0, index])
    pairs = [
        (
            f"{why}:\n{method}" if shown.data.is_image else method,
            index,
            {} if near is None else {"similarity": near},
            f"{common} of {len(index)}\nin both",
        ),
        (
            "embedding of\nthe network" if shown.data.is_image else "embedding",
            own[0],
            {"similarity": similarity[0].numpy()},
            "",
        ),
    ]
    sheets = []
    for name, which, numbers, note in pairs:
        image, others, features = (
            shown.query.x[row].numpy(),
            shown.data.train.x[which].numpy(),
            list[str](),
        )
        if not shown.data.is_image:
            image, others, features = _unusual(shown, image, others)
        sheets.append(
            Sheet(
                image=image,
                predicted=shown.predicted(row),
                true=shown.true(row),
                neighbours=others,
                classes=[shown.data.classes[int(y)] for y in shown.data.train.y[which]],
                numbers=numbers,
                why=name if shown.data.is_image else f"{why}, neighbours by {name}",
                note=note,
                features=features,
            )
        )
    return sheets


def embedding_neighbours(
    shown: Shown, x: Float[Tensor, "batch *feature"], k: int
) -> tuple[Float[Tensor, "batch k"], Int[Tensor, "batch k"]]:
    """Return centred cosine and rows of the k training samples nearest in the embedding."""
    found = centred_cosine(shown.model, shown.data.train.x, x).topk(k, 1)
    return found.values.to(x.dtype), found.indices
