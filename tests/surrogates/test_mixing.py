"""Rows are drawn evenly and without repetition, however many there are to draw from."""

import pytest
import torch

from gpex_bench.surrogates.gpex_fit.mixing import drawn


@pytest.mark.parametrize(
    ("n", "n_drawn"), [(5, 5), (64, 1), (6400, 100), (6399, 100), (10**12, 1000)]
)
def test_rows_are_drawn_once(n, n_drawn):
    generator = torch.Generator().manual_seed(0)
    index = drawn(n, n_drawn, generator)
    assert index.shape == (n_drawn,)
    assert len(index.unique()) == n_drawn
    assert index.min() >= 0
    assert index.max() < n
    assert not torch.equal(index, drawn(n, n_drawn, generator)) or n_drawn == n == 1


def test_repeats_among_many_are_drawn_again(monkeypatch):
    monkeypatch.setattr("gpex_bench.surrogates.gpex_fit.mixing.MANY", 1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert sorted(drawn(30, 30, generator).tolist()) == list(range(30))
    counts = torch.zeros(6)
    for _ in range(3000):
        counts[drawn(6, 2, generator)] += 1
    assert ((counts / 1000 - 1).abs() < 0.1).all()
