"""Networks in chunks, and neighbours in their embedding."""

import pytest
import torch
from torch import nn

from gpex_bench.contract import calls, toys
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Model, batches
from gpex_bench.types.batches import CHANGED_ROWS, centred_cosine, in_chunks, rows_at_once


class Plain(Model):
    """Its embedding is its input."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.sizes = []

    def embed(self, x):
        self.sizes.append(len(x))
        return x


@pytest.fixture
def plain():
    with torch.random.fork_rng(devices=[]):
        return Plain()


def test_chunks_cover_all_samples_without_gradients(plain):
    x = torch.arange(28.0).view(7, 4)
    found = in_chunks(plain, x, size=3)
    torch.testing.assert_close(found, plain.head(x))
    assert not found.requires_grad
    assert plain.sizes == [3, 3, 1]


def test_the_cosine_is_centred_on_the_training_samples(plain):
    draw = torch.Generator().manual_seed(0)
    train, x = torch.randn(9, 4, generator=draw) + 5, torch.randn(3, 4, generator=draw) + 5
    found = centred_cosine(plain, train, x)
    mean = train.mean(0)
    twin = nn.functional.cosine_similarity(
        (x - mean)[:, None].double(), (train - mean)[None].double(), dim=-1
    )
    torch.testing.assert_close(found, twin, rtol=1e-5, atol=1e-5)


def test_fewer_rows_of_large_images_go_together():
    """The graph of 256 images of 224 x 224 pixels does not fit into memory."""
    large = torch.zeros(1, 3, 224, 224).expand(40, -1, -1, -1)
    assert rows_at_once(CHANGED_ROWS, large) == 13
    assert rows_at_once(500, torch.zeros(2, 3, 32, 32)) == 500  # as published
    assert rows_at_once(4, large) == 4
    assert rows_at_once(4, large[:0]) == 4

    sizes = []
    in_chunks(lambda x: sizes.append(len(x)) or x.mean((1, 2, 3)), large, size=32)
    assert sizes == [13, 13, 13, 1]


@pytest.mark.parametrize("name", ["lrp", "random_examples"])
def test_an_explanation_in_parts_is_the_whole_one(name, monkeypatch):
    of_kind = {kind: (task, query) for kind, task, query in toys.tasks(toys.Rectified)}
    task, query = of_kind["colour images"]
    method = plugins("method")[name].cls()
    whole = calls.explain(method, task, query)

    asked = []
    monkeypatch.setattr(batches, "ENTRIES", 2 * query.x[0].numel())
    cls = type(method)
    explain = cls.explain
    monkeypatch.setattr(
        cls,
        "explain",
        lambda self, task, query: asked.append(len(query.x)) or explain(self, task, query),
    )
    parts = calls.explain(method, task, query)
    assert max(asked) == 2 and sum(asked) == len(query.x)
    for field, tensor in calls.tensors(whole).items():
        torch.testing.assert_close(getattr(parts, field), tensor, rtol=1e-4, atol=1e-5)
