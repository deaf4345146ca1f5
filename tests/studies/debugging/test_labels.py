"""Which labels are swapped: exactly the share, the same for the same seed, nothing else touched."""

import pytest
import torch

from gpex_bench.studies.debugging.labels import choose_wrong, swap, two_classes
from gpex_bench.studies.debugging.plan import Debugging


def test_two_classes_keep_their_rows(made):
    data = made.blobs()
    pair = two_classes(data, ("top", "left"))
    assert pair.classes == ("top", "left")
    for part, whole in ((pair.train, data.train), (pair.test, data.test)):
        kept = whole.y != 1
        assert torch.equal(part.x, whole.x[kept]) and torch.equal(part.sample, whole.sample[kept])
        assert torch.equal(part.y, (whole.y[kept] == 0).long())


@pytest.mark.parametrize(("n", "share", "count"), [(20, 0.45, 9), (100, 0.45, 45), (7, 0.3, 2)])
def test_the_share_is_exact_in_each_class(n, share, count):
    y = torch.arange(2 * n) % 2
    is_wrong = choose_wrong(y, share, seed=5)
    assert [int(is_wrong[y == label].sum()) for label in (0, 1)] == [count, count]
    assert torch.equal(is_wrong, choose_wrong(y, share, seed=5))
    assert not torch.equal(is_wrong, choose_wrong(y, share, seed=6))


def test_every_label_is_as_likely_to_be_wrong():
    """Over 400 seeds each of 40 labels is wrong in 45 % of the draws, within 5 standard errors."""
    y = torch.arange(40) % 2
    share = torch.stack([choose_wrong(y, 0.45, seed) for seed in range(400)]).double().mean(0)
    assert ((share - 0.45).abs() < 5 * (0.45 * 0.55 / 400) ** 0.5).all()


def test_swapping_twice_is_the_start(made):
    data = two_classes(made.blobs(), ("left", "right"))
    is_wrong = choose_wrong(data.train.y, 0.45, 0)
    spoilt = swap(data, is_wrong)
    assert torch.equal(spoilt.train.y != data.train.y, is_wrong)
    assert torch.equal(swap(spoilt, is_wrong).train.y, data.train.y)
    assert torch.equal(spoilt.test.y, data.test.y) and torch.equal(spoilt.train.x, data.train.x)


def test_messages(made):
    with pytest.raises(
        ValueError, match="classes must be two of left, right, top in blobs, got 'up'"
    ):
        two_classes(made.blobs(), ("left", "up"))
    with pytest.raises(ValueError, match="classes must be two different classes, got 'top' twice"):
        two_classes(made.blobs(), ("top", "top"))
    with pytest.raises(ValueError, match="Labels can be swapped between 2 classes, blobs has 3"):
        swap(made.blobs(), torch.zeros(60, dtype=torch.bool))
    for share in (0.0, 0.5, float("nan")):
        with pytest.raises(ValueError, match=r"flipped must be a share in \(0, 0.5\), got"):
            choose_wrong(torch.arange(4) % 2, share, 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"per_round": 0}, "per_round must be at least 1, got 0"),
        ({"flipped": 0.7}, r"flipped must be a share in \(0, 0.5\), got 0.7"),
        (
            {"rankings": ("luck",)},
            "rankings must be among embedding, representer, influence, random, got 'luck'",
        ),
    ],
)
def test_bad_plans_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Debugging(classes=("a", "b"), **setting)
