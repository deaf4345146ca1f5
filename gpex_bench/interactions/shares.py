"""The answers of one network to masked images → the share of their variance that is due to interactions, and to what.

The interaction share of an image is 1 - sum_i S1_i: what regions do only together. The background share is that of the
background's regions in the sum of all total indices. Binary masks are fair coins, and all 2^regions of them are asked:
their indices are exact. Continuous masks are sampled, with the design of `variance`; an image's design depends on the
image and the training seed only, so that networks of one seed answer the same questions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench import variance
from gpex_bench.interactions.plan import Plan
from gpex_bench.interactions.planted import Scene, scene
from gpex_bench.masking import CHUNK, Output, absent, on_scale
from gpex_bench.types import Task

COLUMNS = ("sample", "output", "fill", "mask", "interaction", "background", "is_right", "probability")


def shares(task: Task, plan: Plan) -> pd.DataFrame:
    """Return the shares of the first test images under every combination of output, fill and mask, for their labels.

    NaN where the answers are constant. `is_right` and `probability` (of the label) are of the whole image.

    Raises:
        ValueError: the dataset has no planted truth, or fewer test images than are asked for.
    """
    test, truth = task.data.test, task.data.truth
    if truth is None:
        raise ValueError(f"interactions needs planted truth, which {task.data.name} lacks; choose shapes.")
    if plan.images > len(test.y):
        raise ValueError(f"images must be at most the {len(test.y)} test images, got {plan.images}.")
    x, target, sample = test.x[: plan.images], test.y[: plan.images], test.sample[: plan.images]
    cut = scene(truth.mask[: plan.images], plan.sides)
    with torch.no_grad():
        logits = task.model(x)
    whole = {
        "sample": sample.numpy(),
        "is_right": (logits.argmax(1) == target).numpy(),
        "probability": on_scale(logits, target, "probability").numpy(),
    }
    frames = []
    for fill in plan.fills:
        gone = absent(task, x, fill)
        for kind in plan.masks:
            masks = _masks(task, plan, kind, len(cut.is_background))
            answers = _answers(task, (x, gone, target), cut.index, masks, plan.outputs)
            for output, y in zip(plan.outputs, answers, strict=True):
                found = variance.enumerated(y) if kind == "binary" else _sampled(y, len(cut.is_background))
                place = {"output": output, "fill": fill, "mask": kind}
                frames.append(pd.DataFrame(whole | place | _shares(found, cut)))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _masks(task: Task, plan: Plan, kind: str, n_regions: int) -> Float[Tensor, "batch row region"]:
    """Return the masks of each image."""
    if kind == "binary":
        return variance.combinations(n_regions).expand(plan.images, -1, -1)
    each = plan.points * variance.rows_each(n_regions)
    seeds = [task.seeded(sample) for sample in task.data.test.sample[: plan.images].tolist()]
    designs = [torch.from_numpy(variance.design(n_regions, plan.points, seed)) for seed in seeds]
    return torch.stack([variance.mixed(points)(slice(0, each)) for points in designs]).float()


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
    for rows in torch.arange(len(x) * n_rows).split(CHUNK):
        image, row = rows // n_rows, rows % n_rows
        mask = masks[image, row].gather(1, index[image].flatten(1)).view(-1, 1, *index.shape[1:])
        with torch.no_grad():
            logits = task.model(torch.lerp(gone[image], x[image], mask))
        for held, output in zip(found, outputs, strict=True):
            held.append(on_scale(logits, target[image], output))
    return [torch.cat(held).view(len(x), n_rows) for held in found]


def _sampled(y: Float[Tensor, "batch row"], n_regions: int) -> variance.Indices:
    """Return the indices from the answers to a design."""
    return variance.decompose(y.view(len(y), -1, variance.rows_each(n_regions)), has_pairs=False)


def _shares(found: variance.Indices, cut: Scene) -> dict[str, np.ndarray]:
    """Return both shares of each image."""
    total = found.total.sum(1)
    nothing = torch.full_like(total, torch.nan)
    background = torch.where(total > 0, found.total[:, cut.is_background].sum(1) / total, nothing)
    interaction = torch.where(total > 0, 1 - found.first.sum(1), nothing)
    return {"interaction": interaction.numpy(), "background": background.numpy()}
