"""Statistics that follow the rows.

What each policy keeps, without drift, on disk and across a restart.
"""

import pytest
import torch

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.row_store import RowStore
from gpex_bench.surrogates.gpex_fit.refresh import Batch, Refresh, Running, Stored

NAMES = ("a", "b", "c", "count")


def problem(n=30, groups=2, dim=4, out=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    u = torch.rand(n, groups, dim, generator=draw, dtype=torch.float64) * 2 - 1
    return u, torch.randn(n, groups, out, generator=draw, dtype=torch.float64)


def stored(u, v, kind="float64", path=None):
    rows = RowStore(tuple(u.shape), kind, path=path)
    rows[:] = u
    return Stored(posterior.statistics(rows[:], v), rows)


def assert_close(ours, theirs, tolerance=1e-12):
    for name in NAMES:
        torch.testing.assert_close(
            getattr(ours, name), getattr(theirs, name), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize(
    ("kind", "on_disk", "steps"),
    [
        pytest.param("int16", True, 10_000, marks=pytest.mark.slow),
        ("int16", True, 300),
        ("float32", False, 1000),
        ("float64", False, 1000),
    ],
)
def test_stored_rows_do_not_drift(kind, on_disk, steps, tmp_path):
    """Patched in order and with repeated rows; the target is 1e-10 after 10,000 steps."""
    u, v = problem(200)
    policy = stored(u, v, kind, tmp_path / "rows" if on_disk else None)
    draw = torch.Generator().manual_seed(1)
    new = torch.rand(steps, 16, 2, 4, generator=draw, dtype=torch.float64) * 2 - 1
    for step, rows in enumerate(new):
        index = torch.randint(200, (16,), generator=draw) if step % 10 == 0 else policy.drawn(16)
        sums = policy.refresh(index, rows, v[index])
    exact = posterior.statistics(policy._rows[:], v)
    assert_close(sums, exact, 1e-10)
    assert (sums.a - exact.a).abs().max() > 0  # it is the patched sum that was compared


def test_a_repeated_row_counts_once():
    u, v = problem()
    policy, new = stored(u, v), u[[2, 5, 2]] / 2
    sums = policy.refresh(torch.tensor([2, 5, 2]), new, v[[2, 5, 2]])
    now = u.clone()
    now[[2, 5]] /= 2
    assert_close(sums, posterior.statistics(now, v))
    torch.testing.assert_close(policy._rows[:], now)


def test_running_statistics_are_an_exponentially_weighted_mean():
    u, v = problem(20)
    policy = Running(posterior.statistics(u, v), window=4)
    index = policy.drawn(5)
    sums = policy.refresh(index, -u[index] / 2, v[index])
    batch = posterior.statistics(-u[index] / 2, v[index])
    expected = posterior.added(posterior.statistics(u, v), posterior.statistics(u, v), -1 / 4)
    assert_close(sums, posterior.added(expected, batch, 1 / 4 * 20 / 5))
    for _ in range(300):
        sums = policy.refresh(torch.arange(20), u, v)
    assert_close(sums, posterior.statistics(u, v), 1e-10)


def test_batch_statistics_forget_everything():
    u, v = problem(20)
    sums = Batch(posterior.statistics(u * 9, v)).refresh(torch.arange(5), u[:5], v[:5])
    four_times = posterior.added(
        posterior.statistics(u[:5], v[:5]), posterior.statistics(u[:5], v[:5]), 3.0
    )
    assert_close(sums, four_times, 1e-10)


def test_rows_are_visited_in_order():
    u, v = problem(10)
    policy = Batch(posterior.statistics(u, v))
    visited = [policy.drawn(4).tolist() for _ in range(3)]
    assert visited == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert sorted(policy.drawn(64).tolist()) == list(range(10))


@pytest.mark.parametrize("kind", ["running", "stored"])
def test_a_policy_goes_on_from_its_state(kind):
    u, v = problem()

    def fresh() -> Refresh:
        return Running(posterior.statistics(u, v), 3) if kind == "running" else stored(u, v)

    def some(policy, steps):
        for _ in range(steps):
            index = policy.drawn(7)
            sums = policy.refresh(index, u[index].sin(), v[index])
        return sums

    whole = some(fresh(), 9)
    first, second = fresh(), fresh()
    some(first, 4)
    second.resume({name: tensor.clone() for name, tensor in first.state().items()})
    resumed = some(second, 5)
    assert all(torch.equal(getattr(whole, name), getattr(resumed, name)) for name in NAMES)


def test_the_gradient_reaches_the_new_rows():
    u, v = problem()
    index = torch.tensor([4, 9, 1])
    for start in (stored, lambda u, v: Running(posterior.statistics(u, v), 3)):
        new = (u[index] / 3).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda new, start=start: start(u, v).refresh(index, new, v[index]).a, [new]
        )


def test_bad_policies_are_refused():
    u, v = problem()
    with pytest.raises(ValueError, match="window must be at least 1 mini-batch, got 0"):
        Running(posterior.statistics(u, v), 0)
    with pytest.raises(
        ValueError, match="rows must be those of the 30 points that the statistics count, got 5"
    ):
        Stored(posterior.statistics(u, v), RowStore((5, 2, 4)))
