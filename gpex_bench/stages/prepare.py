"""Config → dataset."""

from __future__ import annotations

from gpex_bench.types import Dataset, Source


def prepare(source: Source) -> Dataset:
    """Return the dataset, checked for what every later stage relies on.

    Raises:
        ValueError: if a sample is in both splits, or a value is not finite.
    """
    data = source.load()
    both = set(data.train.sample.tolist()) & set(data.test.sample.tolist())
    if both:
        raise ValueError(
            f"{data.name}: {len(both)} samples are in both splits; each must be in one."
        )
    for part, split in (("train", data.train), ("test", data.test)):
        if not split.x.isfinite().all():
            raise ValueError(f"{data.name}: the {part} split holds values that are not finite.")
    return data
