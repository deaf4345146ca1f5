"""Training of the kernel map: right gradients, statistics that follow the rows, clear errors."""

import math

import pytest
import torch

from gpex_bench.surrogates import matching, posterior
from gpex_bench.surrogates.gpex import Gpex
from gpex_bench.surrogates.mixing import drawn, mixed
from gpex_bench.surrogates.refresh import Running, Stored
from gpex_bench.types import Progress


def rows(n=30, seed=0):
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(n, 2, 4, generator=draw, dtype=torch.float64)
    return u, torch.randn(n, 2, 1, generator=draw, dtype=torch.float64)


def test_gradients_of_the_objective():
    """With respect to queries, refreshed rows and noise, through both ways of refreshing."""
    u, v = rows()
    index = torch.tensor([4, 9, 1])

    def loss(start, query, new, log_noise):
        sums = start(u, v).refresh(index, new, v[index])
        return matching.objective(matching.unit_state(sums, log_noise), query, v[:5].flatten(1))

    inputs = [u[:5] + 0.1, u[index] - 0.2, torch.tensor([-1.0, 0.3]).double()]
    for start in (Stored, lambda u, v: Running(u, v, window=3)):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        assert torch.autograd.gradcheck(lambda *leaves, start=start: loss(start, *leaves), leaves)


def test_the_objective_is_the_log_density():
    u, v = rows()
    state = matching.unit_state(posterior.statistics(u, v), torch.tensor([-1.0, 0.5]).double())
    mu, variance = posterior.mean(state, u), posterior.predictive_variance(state, u)
    twin = torch.distributions.Normal(mu, variance.sqrt()).log_prob(v.flatten(1)).mean() + 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(matching.objective(state, u, v.flatten(1)), -twin)


def test_stored_rows_do_not_drift():
    u, v = rows(200)
    stored, now = Stored(u, v), u.clone()
    draw = torch.Generator().manual_seed(1)
    for _ in range(1000):
        index = drawn(200, 16, draw)
        now[index] = torch.randn(16, 2, 4, generator=draw, dtype=torch.float64)
        sums = stored.refresh(index, now[index], v[index])
    torch.testing.assert_close(sums.a, posterior.statistics(now, v).a, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sums.b, posterior.statistics(now, v).b, rtol=1e-10, atol=1e-10)


def test_running_statistics_converge_to_the_rows_they_see():
    u, v = rows(20)
    running = Running(torch.zeros_like(u), v, window=5)
    for _ in range(200):
        sums = running.refresh(torch.arange(20), u, v)
    torch.testing.assert_close(sums.a, posterior.statistics(u, v).a)
    torch.testing.assert_close(sums.count, torch.tensor(20.0).double())


def test_repeated_indices_and_short_windows_are_refused():
    u, v = rows()
    index = torch.tensor([2, 2])
    with pytest.raises(ValueError, match="index must not repeat a row"):
        Stored(u, v).refresh(index, u[index], v[index])
    with pytest.raises(ValueError, match="window must be at least 1 mini-batch, got 0"):
        Running(u, v, 0)


def test_mixtures_are_between_and_beyond_two_rows():
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    points = mixed(x, 4000, generator)
    assert torch.equal(points[:, 0], points[:, 1])
    share = points[:, 0]
    assert share.min() < -0.9
    assert share.max() > 1.9
    assert ((share > 1).float().mean() - 1 / 6).abs() < 0.03  # half of the pairs differ, a third of these is beyond 1
    assert sorted(drawn(5, 5, generator).tolist()) == [0, 1, 2, 3, 4]
    assert len(drawn(3, 8, generator)) == 8
    with pytest.raises(ValueError, match="got 0 and 3"):
        mixed(x[:0], 3, generator)


def test_divergence_names_the_step(tiny):
    model, data = tiny.table()
    with pytest.raises(
        FloatingPointError, match=r"The (loss|embedding) is not finite at step \d+ of 50; lower learning_rate"
    ):
        Gpex(n_steps=50, learning_rate=1e30).fit(model, data, 0, Progress())


def test_a_network_with_nan_outputs_is_refused(tiny):
    model, data = tiny.table()
    model.head.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="y must be finite, got nan"):
        Gpex(n_steps=1).fit(model, data, 0, Progress())
