"""Dataset → network, and how well it does."""

from __future__ import annotations

from collections.abc import Callable

from gpex_bench.types import Architecture, Dataset, Model
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.performance import performance


def train(
    architecture: Architecture, data: Dataset, seed: int, progress: Callable[[str], None]
) -> tuple[Model, dict[str, float]]:
    """Return a trained network, and how well it does on both splits.

    The names of the numbers are those of `types.performance` after the split, as `test_accuracy`.
    """
    model = architecture.train(data, seed, progress)
    reached: dict[str, float] = {}
    for part, split in (("train", data.train), ("test", data.test)):
        found = performance(in_chunks(model, split.x), split.y, data.kind)
        reached |= {f"{part}_{name}": number for name, number in found.items()}
    return model, reached
