"""Fills: the ranges that they are made of, and which of them show the same."""

from dataclasses import replace

import pytest
import torch

from gpex_bench.masking.fills import alike, make_fill
from gpex_bench.types import Attribution, Case
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets

IMAGES = torch.rand(40, 2, 8, 8, generator=torch.Generator().manual_seed(1))
IMAGES[:, 1] += 3


def asked(train, test, **settings):
    """Return data and a query of the test rows."""
    return datasets.dataset(train, test, **settings), datasets.query(test, first=len(train))


def test_the_middle_is_that_of_each_channel_or_column():
    data, query = asked(IMAGES, IMAGES[:3])
    found = make_fill("middle", data, query)
    for channel in (0, 1):
        seen = IMAGES[:, channel]
        expected = (seen.min() + seen.max()) / 2
        torch.testing.assert_close(found[:, channel], expected.expand(3, 8, 8))

    table = torch.tensor([[0.0, 10.0], [1.0, 20.0], [4.0, 30.0]])
    data, query = asked(table, table)
    assert make_fill("middle", data, query).tolist() == [[2.0, 20.0]] * 3


def test_uniform_noise_fills_the_range_and_belongs_to_the_sample():
    data, query = asked(IMAGES, IMAGES)
    found = make_fill("uniform", data, query)
    for channel in (0, 1):
        low, high = IMAGES[:, channel].min(), IMAGES[:, channel].max()
        share = (found[:, channel] - low) / (high - low)
        assert 0 <= share.min() < 0.01 and 0.99 < share.max() <= 1
        assert float(share.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(share.var()) == pytest.approx(1 / 12, abs=0.01)

    few = make_fill("uniform", data, query.rows(slice(5, 7)))
    assert torch.equal(few, found[5:7])
    assert not torch.equal(found, make_fill("uniform", data, query, draw=1))


@pytest.mark.parametrize("fill", ["middle", "uniform"])
def test_categories_stay_categories(fill):
    data = datasets.categorical()
    query = datasets.query(data.test.x)
    found = make_fill(fill, data, query)
    for group in data.groups:
        columns = list(group)
        known = data.train.x[:, columns].unique(dim=0).tolist()
        assert all(row in known for row in found[:, columns].tolist())


@pytest.mark.parametrize("fill", ["train_mean", "noise", "middle", "uniform"])
def test_what_is_made_of_training_samples_needs_them(fill):
    data, query = asked(IMAGES, IMAGES[:2])
    nothing = replace(data, train=datasets.split(IMAGES[:0]))
    with pytest.raises(Refused, match="training samples"):
        make_fill(fill, nothing, query)


def case(train, test, **settings):
    """Return a case with maps that nobody looks at."""
    data, query = asked(train, test, **settings)
    task = datasets.task_of(torch.nn.Identity(), data, 1)
    made = object.__new__(Case)
    parts = {"task": task, "query": query, "explanation": Attribution(values=query.x)}
    for name, part in parts.items():
        object.__setattr__(made, name, part)
    return made


EVERY = ("baseline", "zero", "train_mean", "blur", "middle", "noise", "uniform", "inpaint")


def test_fills_that_show_the_same_are_one():
    """Of a standardised table zero is the baseline, the mean, and what stands for a blur."""
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(2))
    table = x - x.mean(0)
    found = alike(case(table, table[:5]), EVERY)
    assert found == {
        "baseline": ["zero", "train_mean", "blur", "inpaint"],
        "middle": [],
        "noise": [],
        "uniform": [],
    }


def test_on_images_only_what_shows_the_same_pixels_is_one():
    found = alike(case(IMAGES, IMAGES[:4]), EVERY)
    assert found == {"baseline": ["zero"]} | {fill: [] for fill in EVERY[2:]}
    middle = make_fill("middle", *asked(IMAGES, IMAGES[:1]))[0]
    grey = alike(case(IMAGES, IMAGES[:4], baseline=middle), EVERY)
    assert grey["baseline"] == ["middle"] and "zero" in grey


def test_a_fill_that_cannot_be_made_is_left_to_its_curves():
    made = case(IMAGES, IMAGES[:4])
    bare = replace(made.task.data, train=datasets.split(IMAGES[:0]))
    object.__setattr__(made.task, "data", bare)
    assert set(alike(made, ("baseline", "noise", "blur"))) == {"baseline", "noise", "blur"}
