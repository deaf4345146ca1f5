"""Networks → which share of their answers is due to interactions of regions; their robustness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
import torch

from gpex_bench.models.training.loop import accuracy, attack, data_range
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.studies.interactions.shares import common, compute_shares
from gpex_bench.types import Dataset, Model, Task
from gpex_bench.types.strata import drawn

# images of the test split that are attacked
N_ATTACKED = 200
ATTACK_STEPS = 10


def decompose(
    models: Mapping[int, Model],
    every: Iterable[Model],
    data: Dataset,
    plan: Interactions,
    radius: float,
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each training seed with the frame of `shares.compute_shares` of its network.

    Every row also holds the network's accuracy under attack, its radius, and how many images were
    attacked.

    Args:
        models: of one architecture, by training seed.
        every: the networks of all architectures and seeds; only images that all classify correctly
            are used.
        data: with planted truth.
        plan: of the study.
        radius: how far an attack may move an entry, in units of the data.
    """
    rows = common(every, data, plan.images)
    n_attacked = min(N_ATTACKED, len(data.test.y))

    for seed, model in models.items():
        task = Task(model=model, data=data, surrogate=None, seed=seed)
        table = compute_shares(task, rows, plan)
        reached = attacked_accuracy(model, data, radius, seed)
        yield (
            seed,
            table.assign(attacked_accuracy=reached, attack_radius=radius, n_attacked=n_attacked),
        )


def attacked_accuracy(model: Model, data: Dataset, radius: float, seed: int) -> float:
    """Return the accuracy on the first test images under attack.

    Ten steps of projected gradient ascent (madry2018towards).
    """
    rows = drawn(data.test, data.kind, N_ATTACKED)
    x = data.test.x[rows]
    y = data.test.y[rows]
    generator = torch.Generator().manual_seed(seed)

    moved = attack(
        model,
        x,
        y,
        kind=data.kind,
        radius=radius,
        steps=ATTACK_STEPS,
        box=data_range(data),
        generator=generator,
    )
    return accuracy(model, moved, y)
