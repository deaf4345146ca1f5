"""The answers of one network to masked images → the share of their variance that is due to interactions, and to what.

The interaction share of an image is 1 - sum_i S1_i: what regions do only together. The background share is that of the
background's regions in the sum of all total indices. Binary masks are fair coins, and all 2^regions of them are asked:
their indices are exact, also those of pairs, of which `object_background` sums the pairs of a region of the object and
one of the background. Continuous masks are sampled, with the design of `variance`; an image's design depends on the
image and the training seed only, so that networks of one seed answer the same questions.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.families import sobol_indices
from gpex_bench.masking.answers import on_scale
from gpex_bench.masking.choices import Output
from gpex_bench.masking.fills import make_fill
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.studies.interactions.planted import Scene, scene
from gpex_bench.types import Dataset, Model, Query, Task
from gpex_bench.types.passes import CHANGED_ROWS, in_chunks

COLUMNS = (
    "sample",
    "output",
    "fill",
    "mask",
    "interaction",
    "background",
    "object_background",
    "probability",
)


def common(models: Iterable[Model], data: Dataset, most: int) -> Int[Tensor, "image"]:
    """Return the first test images, as rows of the split, that all networks classify correctly: `most`, if there are.

    Raises:
        ValueError: fewer than two, of which no interval can be told.
    """
    is_right = torch.ones(len(data.test.y), dtype=torch.bool)
    for model in models:
        is_right &= in_chunks(model, data.test.x).argmax(1) == data.test.y
    rows = is_right.nonzero().flatten()[:most]
    if len(rows) < 2:
        raise ValueError(
            f"At least 2 of {len(is_right)} test images of {data.name} must be classified correctly by every network "
            f"and seed, got {len(rows)}; train longer, leave a network out, or raise n_test."
        )
    return rows


def shares(task: Task, rows: Int[Tensor, "image"], plan: Interactions) -> pd.DataFrame:
    """Return the shares of test images under every combination of output, fill and mask, for their labels.

    NaN where the answers are constant, and for pairs where masks are continuous. `probability` is that of the label of
    the whole image.

    Raises:
        ValueError: the dataset has no planted truth.
    """
    test, truth = task.data.test, task.data.truth
    if truth is None:
        raise ValueError(
            f"interactions needs planted truth, which {task.data.name} lacks; choose shapes."
        )
    x, target, sample = test.x[rows], test.y[rows], test.sample[rows]
    cut = scene(truth.mask[rows], plan.sides)
    query = Query(x=x, target=target, sample=sample)
    sure = on_scale(in_chunks(task.model, x), target, "probability")
    whole = {"sample": sample.numpy(), "probability": sure.numpy()}
    frames = []
    for fill in plan.fills:
        gone = make_fill(fill, task.data, query)
        for kind in plan.masks:
            masks = _masks(task, sample, (kind, len(cut.is_background), plan.points))
            answers = _answers(task, (x, gone, target), cut.index, masks, plan.outputs)
            for output, y in zip(plan.outputs, answers, strict=True):
                found = (
                    sobol_indices.enumerated(y)
                    if kind == "binary"
                    else _sampled(y, len(cut.is_background))
                )
                place = {"output": output, "fill": fill, "mask": kind}
                frames.append(pd.DataFrame(whole | place | _shares(found, cut)))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _masks(
    task: Task, sample: Int[Tensor, "image"], how: tuple[str, int, int]
) -> Float[Tensor, "image row region"]:
    """Return the masks of each image; how are the kind of mask, the number of regions and of base points."""
    kind, n_regions, n_points = how
    if kind == "binary":
        return sobol_indices.combinations(n_regions).expand(len(sample), -1, -1)
    each = n_points * sobol_indices.rows_each(n_regions)
    designs = [
        sobol_indices.design(n_regions, n_points, task.seeded(one)) for one in sample.tolist()
    ]
    return torch.stack(
        [sobol_indices.mixed(torch.from_numpy(points))(slice(0, each)) for points in designs]
    ).float()


def _answers(
    task: Task,
    asked: tuple[Tensor, Tensor, Tensor],
    index: Int[Tensor, "batch height width"],
    masks: Float[Tensor, "batch row region"],
    outputs: tuple[Output, ...],
) -> list:
    """Return the answers on each scale [batch, row]; asked are the images, what is shown instead, and the targets."""
    x, gone, target = asked
    n_rows = masks.shape[1]
    found: list[list[Tensor]] = [[] for _ in outputs]
    for rows in torch.arange(len(x) * n_rows).split(CHANGED_ROWS):
        image, row = rows // n_rows, rows % n_rows
        mask = masks[image, row].gather(1, index[image].flatten(1)).view(-1, 1, *index.shape[1:])
        with torch.no_grad():
            logits = task.model(torch.lerp(gone[image], x[image], mask))
        for held, output in zip(found, outputs, strict=True):
            held.append(on_scale(logits, target[image], output))
    return [torch.cat(held).view(len(x), n_rows) for held in found]


def _sampled(y: Float[Tensor, "batch row"], n_regions: int) -> sobol_indices.Indices:
    """Return the indices from the answers to a design."""
    return sobol_indices.decompose(
        y.view(len(y), -1, sobol_indices.rows_each(n_regions)), has_pairs=False
    )


def _shares(found: sobol_indices.Indices, cut: Scene) -> dict[str, np.ndarray]:
    """Return the shares of each image."""
    total = found.total.sum(1)
    nothing = torch.full_like(total, torch.nan)
    background = torch.where(total > 0, found.total[:, cut.is_background].sum(1) / total, nothing)
    interaction = torch.where(total > 0, 1 - found.first.sum(1), nothing)
    pairs = nothing
    if (
        found.second is not None
    ):  # object first, so that its pairs with the background are above the diagonal
        across = found.second[:, ~cut.is_background][:, :, cut.is_background].sum((1, 2))
        pairs = torch.where(total > 0, across, nothing)
    return {
        "interaction": interaction.numpy(),
        "background": background.numpy(),
        "object_background": pairs.numpy(),
    }
