"""Config → dataset."""

from __future__ import annotations

from gpex_bench.contract.datasets import check_data
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.types import Dataset, Source


def prepare(source: Source, is_trained_on: bool = True) -> Dataset:
    """Return the dataset, checked for what every later stage relies on.

    Args:
        source: of the dataset.
        is_trained_on: whether a network is to be trained on it, which needs samples of each class.

    Raises:
        ValueError: it breaks a promise; names the dataset, the field, the value, and what to do.
    """
    data = source.load()
    try:
        check_data(source, data, is_trained_on)
    except BrokenPromise as broken:
        raise ValueError(f"The dataset {data.name} {broken}") from broken
    return data
