"""Answers of a network to masked images → the share of their variance that is due to interactions.

The interaction share of an image is 1 - sum_i S1_i: what regions do only together. The background
share is that of the background's regions in the sum of all total indices. Binary masks are fair
coins, and all 2^regions of them are used: their indices are exact, also those of pairs, of which
`object_background` sums the pairs of a region of the object and one of the background. Continuous
masks are sampled, with the design of `sobol_indices`; an image's design depends on the image and
the training seed only, so that networks of one seed answer the same questions.
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
from gpex_bench.studies.interactions.planted import Scene, cut
from gpex_bench.types import Dataset, Kind, Model, Query, Task, value
from gpex_bench.types.batches import CHANGED_ROWS, in_chunks, rows_at_once
from gpex_bench.types.outputs import prediction
from gpex_bench.types.strata import drawn

COLUMNS = (
    *("sample", "output", "fill", "mask"),
    *("interaction", "background", "object_background", "probability"),
)


@value
class Masked:
    """Images whose regions are shown or replaced."""

    query: Query
    # what replaces a region that is not shown
    replacement: Float[Tensor, "image channel height width"]
    scene: Scene
    # how much of each region is shown, in [0, 1]
    masks: Float[Tensor, "image row region"]


def common(models: Iterable[Model], data: Dataset, most: int) -> Int[Tensor, "image"]:
    """Return test images, as rows of the split, that all networks classify correctly.

    They are the first ones of the draw (`types.strata`).

    Args:
        models: all networks that are compared.
        data: of which the test split is used.
        most: how many images are returned, if there are so many.

    Raises:
        ValueError: fewer than two images, which give no interval.
    """
    is_right = torch.ones(len(data.test.y), dtype=torch.bool)
    for model in models:
        is_right &= prediction(in_chunks(model, data.test.x), data.kind) == data.test.y

    order = drawn(data.test, data.kind, len(is_right))
    rows = order[is_right[order]][:most].sort().values
    if len(rows) < 2:
        raise ValueError(
            f"At least 2 of {len(is_right)} test images of {data.name} must be classified "
            f"correctly by every network and seed, got {len(rows)}; train longer, leave a network "
            "out, or raise n_test."
        )
    return rows


def compute_shares(task: Task, rows: Int[Tensor, "image"], plan: Interactions) -> pd.DataFrame:
    """Return the shares of test images under every combination of output, fill and mask.

    Args:
        task: the network, and a dataset with planted truth; explained is the label.
        rows: of the test split.
        plan: of the study.

    Returns:
        The columns `COLUMNS`. NaN where the answers are constant, and for pairs where masks are
        continuous. `probability` is that of the label of the whole image.

    Raises:
        ValueError: the dataset has no planted truth.
    """
    test = task.data.test
    truth = task.data.truth
    if truth is None:
        raise ValueError(
            f"interactions needs planted truth, which {task.data.name} lacks; choose shapes."
        )
    query = Query(x=test.x[rows], target=test.y[rows], sample=test.sample[rows])
    scene = cut(truth.mask[rows], plan.sides)
    n_regions = len(scene.is_background)
    sure = on_scale(in_chunks(task.model, query.x), query.target, "probability", Kind.CLASSES)
    whole = {"sample": query.sample.numpy(), "probability": sure.numpy()}

    frames = []
    for fill in plan.fills:
        replacement = make_fill(fill, task.data, query)
        for kind in plan.masks:
            masks = _masks(task, query.sample, kind, n_regions, plan.points)
            masked = Masked(query=query, replacement=replacement, scene=scene, masks=masks)
            answers = _answers(task.model, masked, plan.outputs)
            for output, y in zip(plan.outputs, answers, strict=True):
                choice = {"output": output, "fill": fill, "mask": kind}
                shares = _shares(_indices(y, kind, n_regions), scene)
                frames.append(pd.DataFrame(whole | choice | shares))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _masks(
    task: Task, sample: Int[Tensor, "image"], kind: str, n_regions: int, n_points: int
) -> Float[Tensor, "image row region"]:
    """Return the masks of each image: all binary ones, or a design of continuous ones."""
    if kind == "binary":
        return sobol_indices.combinations(n_regions).expand(len(sample), -1, -1)

    masks = []
    for one in sample.tolist():
        rows = sobol_indices.sampled_rows(n_regions, n_points, task.seeded(one))
        masks.append(torch.from_numpy(rows))
    return torch.stack(masks).float()


def _answers(
    model: Model, masked: Masked, outputs: tuple[Output, ...]
) -> list[Float[Tensor, "image row"]]:
    """Return the answers of the network to masked images, on each scale."""
    n_images, n_rows, _ = masked.masks.shape
    target = masked.query.target

    parts: list[list[Tensor]] = [[] for _ in outputs]
    size = rows_at_once(CHANGED_ROWS, masked.query.x)
    for rows in torch.arange(n_images * n_rows).split(size):
        image = rows // n_rows
        with torch.no_grad():
            logits = model(_blend(masked, image, rows % n_rows))
        for held, output in zip(parts, outputs, strict=True):
            held.append(on_scale(logits, target[image], output, Kind.CLASSES))

    return [torch.cat(held).view(n_images, n_rows) for held in parts]


def _blend(
    masked: Masked, image: Int[Tensor, "row"], mask: Int[Tensor, "row"]
) -> Float[Tensor, "row channel height width"]:
    """Return masked images.

    Args:
        masked: images and masks.
        image: which image each row shows.
        mask: which of the image's masks each row shows.
    """
    region = masked.scene.index[image]
    by_region = masked.masks[image, mask]
    by_pixel = by_region.gather(1, region.flatten(1))

    weight = by_pixel.view(-1, 1, *region.shape[1:])
    shown = masked.query.x[image]
    return torch.lerp(masked.replacement[image], shown, weight)


def _indices(y: Float[Tensor, "image row"], kind: str, n_regions: int) -> sobol_indices.Indices:
    """Return the Sobol indices from the answers to masks of a kind."""
    if kind == "binary":
        return sobol_indices.enumerated(y)
    by_point = y.view(len(y), -1, sobol_indices.rows_each(n_regions))
    return sobol_indices.decompose(by_point, has_pairs=False)


def _shares(indices: sobol_indices.Indices, scene: Scene) -> dict[str, np.ndarray]:
    """Return the shares of each image; NaN where its answers do not vary."""
    total = indices.total.sum(1)
    varies = total > 0
    nothing = torch.full_like(total, torch.nan)

    of_background = indices.total[:, scene.is_background].sum(1)
    background = torch.where(varies, of_background / total, nothing)
    interaction = torch.where(varies, 1 - indices.first.sum(1), nothing)

    pairs = nothing
    if indices.second is not None:
        # the object comes first, so that its pairs with the background are above the diagonal
        of_object = indices.second[:, ~scene.is_background]
        across = of_object[:, :, scene.is_background].sum((1, 2))
        pairs = torch.where(varies, across, nothing)

    return {
        "interaction": interaction.numpy(),
        "background": background.numpy(),
        "object_background": pairs.numpy(),
    }
