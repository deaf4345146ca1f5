"""Splits are exact, shuffled and reproducible; digests see every change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from gpex_bench.data.files import splits
from gpex_bench.types import Dataset, Split


@given(
    counts=st.lists(st.integers(4, 60), min_size=2, max_size=6),
    share=st.floats(0.25, 0.7),
    seed=st.integers(0, 2**63 - 1),
)
def test_stratified_partitions_and_keeps_shares(counts, share, seed):
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    n_test = max(len(counts), round(share * len(y)))
    train, test = splits.stratified(y, n_test, seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(y)))
    assert len(test) == n_test
    ideal = n_test * np.array(counts) / len(y)
    assert (abs(np.bincount(y[test]) - ideal) < 1).all()


def test_class_counts_are_those_of_scikit_learn():
    y = torch.repeat_interleave(torch.arange(3), torch.tensor([211, 358, 81]))
    _, test = splits.stratified(y, 130, 5)
    _, twin = train_test_split(np.arange(len(y)), test_size=130, stratify=y, random_state=5)
    np.testing.assert_array_equal(np.bincount(y[test]), np.bincount(y[twin]))


def test_rows_are_shuffled_and_follow_the_seed():
    y = torch.arange(2).repeat_interleave(100)
    first, again, other = (splits.stratified(y, 40, seed) for seed in (1, 1, 2))
    for rows, same, different in zip(first, again, other, strict=True):
        assert torch.equal(rows, same)
        assert not torch.equal(rows, different)
        assert not torch.equal(rows, rows.sort().values)


@pytest.mark.parametrize("n_test", [0, 1, 199, 200, 201])
def test_split_without_a_row_of_each_class_is_refused(n_test):
    y = torch.arange(2).repeat_interleave(100)
    with pytest.raises(
        ValueError, match=f"n_test must leave at least one of the 100 .* got {n_test} of 200 rows"
    ):
        splits.stratified(y, n_test, 0)


def tiny() -> Dataset:
    x = torch.arange(12.0).reshape(6, 2)
    y = torch.tensor([0, 1, 0, 1, 0, 1])
    part = Split(x=x[:3], y=y[:3], sample=torch.arange(3))
    rest = Split(x=x[3:], y=y[3:], sample=torch.arange(3, 6))
    return Dataset(
        name="tiny",
        train=part,
        test=rest,
        classes=("a", "b"),
        features=("p", "q"),
        baseline=torch.zeros(2),
    )


def test_dataset_digest_sees_every_part():
    data = tiny()
    changed = [
        replace(data, baseline=data.baseline + 1),
        replace(data, train=data.test, test=data.train),
        *(
            replace(
                data,
                **{
                    split: replace(
                        getattr(data, split), **{part: getattr(getattr(data, split), part) + 1}
                    )
                },
            )
            for split in ("train", "test")
            for part in ("x", "y", "sample")
        ),
    ]
    found = {splits.dataset_digest(one) for one in (data, *changed)}
    assert len(found) == 1 + len(changed)
    assert splits.dataset_digest(tiny()) == splits.dataset_digest(data)


def test_digest_ignores_byte_order_but_not_type_or_shape():
    a = np.arange(6, dtype="<i4")
    assert splits.digest([a]) == splits.digest([a.astype(">i4")])
    assert len({splits.digest([b]) for b in (a, a.reshape(2, 3), a.astype("<i8"), a[::-1])}) == 4
    assert splits.digest([a, a]) != splits.digest([a])


def test_seed_out_of_range_is_refused():
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match=r"seed must be in \[0, 2\*\*63\), got"):
            splits.check_seed(seed)
