"""Networks in chunks, and neighbours in their embedding."""

import pytest
import torch
from torch import nn

from gpex_bench.types import Model
from gpex_bench.types.batches import centred_cosine, in_chunks


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
