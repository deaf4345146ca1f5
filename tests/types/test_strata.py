"""The draw of the explained samples: balanced, nested, and the same in any order of the split."""

import pytest
import torch

from gpex_bench.types import Kind, Split
from gpex_bench.types.strata import drawn


def split(y):
    n = len(y)
    return Split(x=torch.zeros(n, 2), y=y, sample=1000 + torch.arange(n))


def shuffled(part, seed):
    order = torch.randperm(len(part.sample), generator=torch.Generator().manual_seed(seed))
    return Split(x=part.x[order], y=part.y[order], sample=part.sample[order])


SORTED = split(torch.arange(10).repeat_interleave(100))
NUMBERS = split(torch.linspace(0, 1, 500) ** 3)
LABELS = split((torch.rand(400, 5, generator=torch.Generator().manual_seed(1)) < 0.3).long())
CASES = [(SORTED, Kind.CLASSES), (NUMBERS, Kind.NUMBER), (LABELS, Kind.LABELS)]


def test_a_split_sorted_by_class_gives_every_class_its_share():
    for n in (10, 20, 50, 500):
        counts = SORTED.y[drawn(SORTED, Kind.CLASSES, n)].bincount(minlength=10)
        assert counts.tolist() == [n // 10] * 10
    counts = SORTED.y[drawn(SORTED, Kind.CLASSES, 16)].bincount(minlength=10)
    assert counts.min() >= 1
    assert counts.max() <= 2


def test_unequal_classes_keep_their_shares():
    part = split(torch.cat([torch.zeros(900), torch.ones(100)]).long())
    ones = part.y[drawn(part, Kind.CLASSES, 100)].sum()
    assert abs(int(ones) - 10) <= 1


@pytest.mark.parametrize("part, kind", CASES)
def test_a_smaller_draw_is_the_beginning_of_a_larger_one(part, kind):
    whole = drawn(part, kind, 10**6)
    assert sorted(whole.tolist()) == list(range(len(part.sample)))
    for n in (1, 16, 32, 100):
        assert torch.equal(drawn(part, kind, n), whole[:n])


@pytest.mark.parametrize("part, kind", CASES)
def test_the_order_of_the_split_changes_nothing(part, kind):
    expected = part.sample[drawn(part, kind, 48)]
    for seed in range(3):
        other = shuffled(part, seed)
        assert torch.equal(other.sample[drawn(other, kind, 48)], expected)


def test_numbers_are_drawn_over_their_whole_range():
    chosen = NUMBERS.y[drawn(NUMBERS, Kind.NUMBER, 20)].sort().values
    edges = NUMBERS.y[torch.arange(0, 500, 50)]
    counts = torch.bucketize(chosen, edges, right=True).bincount(minlength=11)[1:]
    assert counts.tolist() == [2] * 10


def test_equal_numbers_are_no_trouble():
    part = split(torch.zeros(30))
    assert len(set(drawn(part, Kind.NUMBER, 12).tolist())) == 12


def test_rare_sets_of_labels_are_not_left_to_the_end():
    """Half of the rows have a set of labels of their own."""
    own = torch.tensor([[int(bit) for bit in f"{number:07b}"] for number in range(1, 101)])
    y = torch.cat([torch.zeros(100, 7, dtype=torch.long), own])
    part = split(y)
    n_own = sum(bool(y[row].any()) for row in drawn(part, Kind.LABELS, 60).tolist())
    assert 20 <= n_own <= 40


def test_the_draw_is_random_within_a_class():
    part = split(torch.zeros(1000).long())
    rows = drawn(part, Kind.CLASSES, 100)
    assert abs(float(rows.double().mean()) - 499.5) < 4 * 1000 / (12 * 100) ** 0.5
