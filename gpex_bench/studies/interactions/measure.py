"""Networks → which share of what they say is due to interactions of regions, image by image; how robust they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
import torch

from gpex_bench.models.training.loop import accuracy, attack, data_range
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.studies.interactions.shares import common, shares
from gpex_bench.types import Dataset, Model, Task

ATTACKED = 200  # images, the first of the test split
ATTACK_STEPS = 10


def decompose(
    models: Mapping[int, Model],
    every: Iterable[Model],
    data: Dataset,
    plan: Interactions,
    radius: float,
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each training seed with the frame of `interactions.shares` of its network.

    Every row also holds the network's accuracy under attack, its radius, and how many images were attacked.

    Args:
        models: of one architecture, by training seed.
        every: the networks of all architectures and seeds; only images that all classify correctly are asked.
        data: with planted truth.
        plan: of the experiment.
        radius: how far an attack may move an entry, in units of the data.
    """
    rows = common(every, data, plan.images)
    n_attacked = min(ATTACKED, len(data.test.y))
    for seed, model in models.items():
        table = shares(Task(model=model, data=data, surrogate=None, seed=seed), rows, plan)
        withstood = under_attack(model, data, radius, seed)
        yield (
            seed,
            table.assign(attacked_accuracy=withstood, attack_radius=radius, n_attacked=n_attacked),
        )


def under_attack(model: Model, data: Dataset, radius: float, seed: int) -> float:
    """Return the accuracy on the first test images after ten steps of projected gradient ascent (madry2018towards)."""
    x, y = data.test.x[:ATTACKED], data.test.y[:ATTACKED]
    generator = torch.Generator().manual_seed(seed)
    moved = attack(
        model, x, y, radius=radius, steps=ATTACK_STEPS, box=data_range(data), generator=generator
    )
    return accuracy(model, moved, y)
