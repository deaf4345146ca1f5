"""Dataset → network."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gpex_bench.types import Architecture, Dataset, Model
from gpex_bench.types.batches import in_chunks


def train(
    architecture: Architecture, data: Dataset, seed: int, progress: Callable[[str], None]
) -> tuple[Model, dict[str, float]]:
    """Return a trained network and its accuracies on both splits, in [0, 1]."""
    model = architecture.train(data, seed, progress)
    with torch.no_grad():
        accuracies = {
            f"{part}_accuracy": (predicted(model, split.x) == split.y).double().mean().item()
            for part, split in (("train", data.train), ("test", data.test))
        }
    return model, accuracies


def predicted(model: Model, x: torch.Tensor) -> torch.Tensor:
    """Return the predicted classes, computed in chunks."""
    return in_chunks(model, x).argmax(1)
