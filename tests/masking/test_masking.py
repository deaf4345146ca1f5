"""Masks: segments, fills and output scales by hand, and blends that go through the network in
bounded chunks.
"""

import numpy as np
import pytest
import torch
from torch import nn

from gpex_bench.masking import answers, choices, fills, regions
from gpex_bench.masking.regions import Regions
from gpex_bench.models.rewriting import quick
from gpex_bench.types import Kind, Model, Task
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets


class Known(Model):
    """Logits (sum of the input, 0, 1), remembering how many rows came at once."""

    def __init__(self, pools: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        self.head.weight.data = torch.eye(3)
        self.sizes: list[int] = []
        self.seen: list[torch.Tensor] = []
        if pools:
            self.pool = nn.MaxPool2d(2)

    def embed(self, x):
        self.sizes.append(len(x))
        self.seen.append(x.clone())
        total = x.flatten(1).sum(1)
        return torch.stack([total, 0 * total, 0 * total + 1], 1)


def task_of(x, baseline=0.0, **settings):
    data = datasets.dataset(x, baseline=baseline)
    return Task(model=Known(**settings).eval(), data=data, surrogate=None, seed=1)


query_of = datasets.query


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("how", ["slic", "quickshift", "grid"])
@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_images_have_any_number_of_channels(how, n_channels):
    x = torch.rand(2, n_channels, 24, 24, generator=torch.Generator().manual_seed(0))
    x[:, :, 8:16, 8:16] += 1
    assert int(regions.regions(x, how, 40).count.min()) >= regions.FEWEST_REGIONS


def test_a_channel_of_zeros_changes_no_segments():
    x = torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(0)).double().numpy()
    whole = np.concatenate([x, np.zeros((1, 24, 24))])
    assert np.array_equal(regions.quickshift(x, 16), regions.quickshift(whole, 16))


@pytest.mark.parametrize("how", ["slic", "quickshift", "grid"])
@pytest.mark.parametrize("channels", [1, 3])
def test_segments_are_numbered_without_gaps(how, channels):
    x = torch.rand(2, channels, 24, 20, generator=torch.Generator().manual_seed(1))
    cut = regions.regions(x, how, 30)
    for index, count in zip(cut.index, cut.count.tolist(), strict=True):
        assert torch.equal(index.unique(), torch.arange(count))
        assert 8 <= count <= 60
    alone = regions.regions(x[1:], how, 30)
    assert torch.equal(alone.index[0], cut.index[1])


def test_segments_follow_the_edges_of_the_image():
    x = torch.zeros(1, 1, 24, 24)
    x[:, :, 9:17, 5:14] = 1  # no border of this square lies on a grid of 6 x 6 pixels
    for how in ("slic", "quickshift"):
        index = (
            regions.regions(x, how, 16).index[0]
            if how == "slic"
            else torch.from_numpy(regions.quickshift(x[0].double().numpy(), 16))
        )
        mixed = sum(len(x[0, 0][index == segment].unique()) > 1 for segment in index.unique())
        assert mixed == 0, how


def test_a_grid_is_even_and_columns_are_columns():
    cut = regions.grid(torch.zeros(2, 3, 6, 9), 3)
    assert torch.equal(
        cut.index[1], torch.arange(9).view(3, 3).repeat_interleave(2, 0).repeat_interleave(3, 1)
    )
    assert regions.regions(torch.zeros(2, 5), "slic", 50).index.tolist() == [list(range(5))] * 2


@pytest.mark.parametrize(
    "how, x, n, found",
    [
        ("slic", torch.rand(1, 1, 2, 2), 50, r"slic found \d in 2 x 2 pixels"),
        ("quickshift", torch.zeros(1, 3, 8, 8), 10, r"quickshift found \d in 8 x 8 pixels"),
        ("grid", torch.zeros(1, 1, 2, 9), 50, "grid found 4 in 2 x 9 pixels"),
    ],
)
def test_too_few_segments_are_refused(how, x, n, found):
    with pytest.raises(
        ValueError, match=rf"at least 8 segments and {found}; raise n_segments \({n}\)"
    ):
        regions.regions(x, how, n)


def test_regions_spread_and_paint():
    cut = Regions(
        index=torch.tensor([[[0, 0, 1], [0, 2, 2]], [[0, 0, 0], [0, 1, 1]]]),
        count=torch.tensor([3, 2]),
    )
    x, values = torch.zeros(2, 2, 2, 3), torch.tensor([[6.0, 1.0, 2.0], [4.0, 6.0, 9.0]])
    painted, spread = cut.paint(values, x), cut.spread(values, x)
    assert painted[0, 1].tolist() == [[6, 6, 1], [6, 2, 2]]
    assert spread[0, 0].tolist() == [[1, 1, 0.5], [1, 0.5, 0.5]]
    assert spread[1, 1].tolist() == [[0.5, 0.5, 0.5], [0.5, 1.5, 1.5]]
    assert spread.flatten(1).sum(1).tolist() == [9, 10]  # a region that a sample lacks gets nothing


def test_fills_by_hand():
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    task, cut = task_of(x, baseline=0.25), regions.grid(x, 2)
    assert torch.equal(
        fills.make_fill("baseline", task.data, query_of(x)), torch.full_like(x, 0.25)
    )
    mean = fills.make_fill("image_mean", task.data, query_of(x))
    segment = fills.make_fill("segment_mean", task.data, query_of(x), cut=cut)
    blur = fills.make_fill("blur", task.data, query_of(x))
    for row in range(2):
        for channel in range(3):
            torch.testing.assert_close(mean[row, channel], x[row, channel].mean().expand(8, 8))
            torch.testing.assert_close(
                segment[row, channel, 4:, :4], x[row, channel, 4:, :4].mean().expand(4, 4)
            )
            torch.testing.assert_close(blur[row, channel, 3, 4], x[row, channel, 2:5, 3:6].mean())
    torch.testing.assert_close(
        blur[0, 0, 0, 0],
        (4 * x[0, 0, 0, 0] + 2 * x[0, 0, 0, 1] + 2 * x[0, 0, 1, 0] + x[0, 0, 1, 1]) / 9,
    )


def test_fills_that_make_no_sense_are_refused():
    table, image = torch.zeros(2, 4), torch.zeros(1, 1, 8, 8)
    with pytest.raises(
        ValueError, match="fill must be baseline, train_mean or middle for tables, got 'image_mean'"
    ):
        fills.make_fill("image_mean", task_of(table).data, query_of(table))
    with pytest.raises(
        ValueError, match="fill must not be 'segment_mean' where there are no segments"
    ):
        fills.make_fill("segment_mean", task_of(image).data, query_of(image))


def test_output_scales():
    logits, target = 3 * normal(5, 3), torch.tensor([0, 1, 2, 1, 0])
    own = torch.arange(5)
    p = logits.double().softmax(1)[own, target]
    scale = {
        how: answers.on_scale(logits, target, how, Kind.CLASSES)
        for how in ("logit", "probability", "log_odds", None)
    }
    torch.testing.assert_close(scale["logit"], logits[own, target].double())
    torch.testing.assert_close(scale["probability"], p)
    torch.testing.assert_close(scale["log_odds"], (p / (1 - p)).log())
    assert torch.equal(scale[None], scale["probability"])
    sure, first = torch.tensor([[80.0, 0, 0]]), torch.tensor([0])
    saturated = answers.on_scale(sure, first, "log_odds", Kind.CLASSES)
    assert float(saturated) == pytest.approx(80 - np.log(2))
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="answers to masked inputs must be finite"):
            answers.on_scale(torch.tensor([[bad, 0.0]]), torch.tensor([1]), "logit", Kind.CLASSES)


def test_the_one_logit_of_two_classes_has_a_sigmoid():
    """It is two logits of which the first is 0: the softmax of those is the right value."""
    logit, target = 3 * normal(7, 1), torch.zeros(7, dtype=torch.int64)
    pair = torch.cat([torch.zeros_like(logit), logit], 1)
    for output in ("probability", "log_odds", None):
        found = answers.on_scale(logit, target, output, Kind.CLASSES)
        expected = answers.on_scale(pair, target + 1, output, Kind.CLASSES)
        torch.testing.assert_close(found, expected)
    assert torch.equal(answers.on_scale(logit, target, "logit", Kind.CLASSES), logit[:, 0].double())


def test_each_label_has_a_sigmoid_of_its_own():
    logits, target = 3 * normal(5, 3), torch.tensor([0, 1, 2, 1, 0])
    own = logits[torch.arange(5), target].double()
    p = 1 / (1 + (-own).exp())
    scale = {
        how: answers.on_scale(logits, target, how, Kind.LABELS)
        for how in ("probability", "log_odds", None)
    }
    torch.testing.assert_close(scale["probability"], p)
    torch.testing.assert_close(scale[None], p)
    torch.testing.assert_close(scale["log_odds"], own)


def test_a_number_is_explained_as_it_is_and_has_no_probability():
    value, target = 100 * normal(4, 1), torch.zeros(4, dtype=torch.int64)
    for output in ("logit", None):
        found = answers.on_scale(value, target, output, Kind.NUMBER)
        assert torch.equal(found, value[:, 0].double())
    for output, word in (("probability", "probability"), ("log_odds", "log-odds")):
        with pytest.raises(Refused, match=f"a number has no {word}, got '{output}'"):
            answers.on_scale(value, target, output, Kind.NUMBER)


@pytest.mark.parametrize("shape", [(7,), (1, 6, 4), (3, 6, 4)])
def test_blends_by_hand_in_bounded_chunks(monkeypatch, shape):
    monkeypatch.setattr(answers, "CHANGED_ROWS", 10)
    x, n = normal(3, *shape), 17
    task = task_of(x, baseline=0.5)
    positions = shape if len(shape) == 1 else shape[1:]
    mask = torch.rand(3 * n, *positions, generator=torch.Generator().manual_seed(2))
    image = torch.arange(3).repeat_interleave(n)
    probe = answers.probe(task, query_of(x), "baseline", "logit")
    given = probe.answers(image, lambda rows: mask[rows])
    m = mask if len(shape) == 1 else mask[:, None]
    expected = (m * x[image] + (1 - m) * 0.5).flatten(1).sum(1)
    torch.testing.assert_close(given.float(), expected, rtol=1e-4, atol=1e-4)
    assert max(task.model.sizes) <= 10
    assert sum(task.model.sizes) == 3 * n


def test_ragged_masks_over_regions():
    x = normal(2, 1, 2, 3)
    cut = Regions(
        index=torch.tensor([[[0, 0, 1], [0, 2, 2]], [[0, 0, 0], [0, 1, 1]]]),
        count=torch.tensor([3, 2]),
    )
    probe = answers.probe(task_of(x), query_of(x), "baseline", "logit")
    masks = [
        torch.tensor([[True, False, True]]),
        torch.tensor([[False, True], [True, False], [False, False]]),
    ]
    first, second = answers.ask(probe, cut, masks)
    image, other = x[:, 0]
    torch.testing.assert_close(first.float(), (image.sum() - image[0, 2])[None])
    tail = other[1, 1:].sum()
    torch.testing.assert_close(second.float(), torch.stack([tail, other.sum() - tail, 0 * tail]))
    assert answers.ask(probe, cut, [torch.zeros(0, 3), torch.zeros(0, 2)])[1].shape == (0,)


def test_present_and_absent_are_exact():
    x = normal(4, 3, 5, 5)
    task = task_of(x, baseline=0.3)
    probe = answers.probe(task, query_of(x), "baseline", "logit")
    probe.even(1), probe.even(0)
    assert torch.equal(task.model.seen[0], x)
    assert torch.equal(task.model.seen[1], torch.full_like(x, 0.3))


@pytest.mark.parametrize("channels", [1, 3])
def test_networks_that_pool_see_the_same_images_in_another_order_of_memory(channels):
    x = normal(4, channels, 6, 5)
    task = task_of(x, pools=True)
    answers.probe(task, query_of(x), "baseline", "logit").even(1)
    assert torch.equal(task.model.seen[0], x)
    laid = quick._channels_last(x)
    assert torch.equal(laid, x) and laid.stride(1) == 1 and laid.stride(3) == channels
    with torch.no_grad():
        convolution = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.MaxPool2d(2))
        torch.testing.assert_close(convolution(laid), convolution(x))
        assert convolution(laid).is_contiguous(memory_format=torch.channels_last)


def test_groups_bound_the_masks_and_lose_nobody(monkeypatch):
    monkeypatch.setattr(answers, "GROUP", 100)
    x = normal(7, 3)
    parts = list(answers.groups(query_of(x), 40))
    assert [len(part.x) for part in parts] == [2, 2, 2, 1]
    assert torch.equal(torch.cat([part.x for part in parts]), x)
    assert torch.equal(torch.cat([part.sample for part in parts]), torch.arange(7))
    assert [len(part.x) for part in answers.groups(query_of(x[:2]), 1000)] == [1, 1]


def test_unknown_settings_are_refused():
    class Settings:
        output, fill, n = "logits", "baseline", 3

    with pytest.raises(
        ValueError, match="output must be one of logit, probability, log_odds, got 'logits'"
    ):
        choices.check_settings(Settings())
    Settings.output = "logit"
    with pytest.raises(ValueError, match="n must be at least 4, got 3"):
        choices.check_settings(Settings(), n=4)
    with pytest.raises(
        ValueError,
        match="budget must be at least 9 rows for 3 regions, got 8; raise it or cut fewer",
    ):
        choices.check_budget(8, 9, "3 regions")
