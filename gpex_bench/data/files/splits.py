"""Fixed splits, and the digests that show that a split has not changed.

Rows are drawn with a numpy PCG64 generator of their own, so that a split depends on its seed and
the labels alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from gpex_bench.types import Dataset, Split


def digest(arrays: Iterable[NDArray]) -> str:
    """Return the sha256 over type, shape and bytes of arrays, whatever the byte order."""
    total = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{little.dtype.str}{little.shape}".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def dataset_digest(data: Dataset) -> str:
    """Return the sha256 over all that a run depends on: both splits, baseline and truth."""
    parts = []
    for split in (data.train, data.test):
        parts += [split.sample, split.y, split.x]
    parts.append(data.baseline)
    parts += [torch.tensor(group) for group in data.groups]
    if data.truth is not None:
        parts += [data.truth.mask, data.truth.train_group, data.truth.test_group]
    return digest(part.numpy() for part in parts)


def check_digest(what: str, found: str, expected: str) -> None:
    """Raise ValueError if raw data are not those of the splits and the published numbers."""
    if found != expected:
        raise ValueError(
            f"{what} changed: sha256 {found}, expected {expected}. The installed file is damaged "
            "or of another version; reinstall the versions in requirements.lock."
        )


def check_seed(seed: int) -> None:
    """Raise ValueError unless a seed is in [0, 2**63), which every generator takes."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be in [0, 2**63), got {seed}.")


def stratified(
    labels: Int[Tensor, "n"], n_test: int, seed: int
) -> tuple[Int[Tensor, "n_train"], Int[Tensor, "n_test"]]:
    """Return the shuffled rows of a train and a test split in which classes have the same shares.

    Each class gives its exact share of `n_test`, rounded down; the remaining test rows go to the
    classes with the largest remainders (ties: the lower label first).

    Raises:
        ValueError: if `n_test` does not leave a row of each class in both splits.
    """
    y = labels.numpy()
    classes, counts = np.unique(y, return_counts=True)
    quota, remainder = np.divmod(n_test * counts, len(y))
    largest = np.argsort(-remainder, kind="stable")[: n_test - quota.sum()]
    quota[largest] += 1
    if n_test < 1 or (quota < 1).any() or (quota >= counts).any():
        raise ValueError(
            f"n_test must leave at least one of the {counts.min()} to {counts.max()} rows of each "
            f"of the {len(classes)} classes in both splits, got {n_test} of {len(y)} rows."
        )

    order = np.random.default_rng(seed).permutation(len(y))
    rank = np.empty(
        len(y), dtype=int
    )  # how many rows of its own class come before a row in the shuffled order
    for label in classes:
        rows = order[y[order] == label]
        rank[rows] = np.arange(len(rows))
    is_test = rank[order] < quota[np.searchsorted(classes, y[order])]
    return torch.from_numpy(order[~is_test]), torch.from_numpy(order[is_test])


def shuffled(
    n: int, n_test: int, seed: int
) -> tuple[Int[Tensor, "n_train"], Int[Tensor, "n_test"]]:
    """Return the shuffled rows of a train and a test split, without classes to balance.

    Raises:
        ValueError: if `n_test` does not leave a row in both splits.
    """
    if not 0 < n_test < n:
        raise ValueError(f"n_test must be at least 1 and leave a row of the {n}, got {n_test}.")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    return order[n_test:], order[:n_test]


def by_share(
    strata: Int[Tensor, "n"] | None, n: int, share: float, seed: int
) -> tuple[Int[Tensor, "n_train"], Int[Tensor, "n_test"]]:
    """Return the shuffled rows of a train and a test split, the latter a share of all rows.

    Args:
        strata: the class of each row, in which the shares are the same; None: there are none.
        n: how many rows there are.
        share: of the test split, a setting that is called `test`.
        seed: of the order.

    Raises:
        ValueError: a class, or all, would have no row in one of the splits.
    """
    n_test = round(share * n)
    try:
        return shuffled(n, n_test, seed) if strata is None else stratified(strata, n_test, seed)
    except ValueError as error:
        what = str(error).removeprefix("n_test ")
        raise ValueError(
            f"test {what} Give another share (got {share}), or leave rare classes out."
        ) from error


def take(x: Tensor, y: Shaped[Tensor, "n *label"], rows: Int[Tensor, "k"]) -> Split:
    """Return some rows of the raw data as a split; a sample's id is its row."""
    return Split(x=x[rows], y=y[rows], sample=rows)
