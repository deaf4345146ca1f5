"""Config → dataset."""

from __future__ import annotations

from gpex_bench.contract.datasets import check_data
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.types import Dataset, Source


def prepare(source: Source) -> Dataset:
    """Return the dataset, checked for what every later stage relies on.

    Raises:
        ValueError: it breaks a promise; names the dataset, the field, the value, and what to do.
    """
    data = source.load()
    try:
        check_data(source, data)
    except BrokenPromise as broken:
        raise ValueError(f"The dataset {data.name} {broken}") from broken
    return data
