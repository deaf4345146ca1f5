"""The fused step equals the textbook's M x M formulas with autograd through them.

Loss and every gradient.
"""

import math

import pytest
import torch

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.row_store import RowStore
from gpex_bench.surrogates.gpex_fit.refresh import Batch, Running, Stored
from gpex_bench.surrogates.gpex_fit.step import CEILING, FLOOR, Queries, Rows, step

DENSE = 1e-10  # relative, float64
SHAPES = {  # group, out, dim
    "classifier": (10, 1, 20),
    "attention, shared kernel": (1, 49, 20),
    "attention, a kernel per place": (49, 1, 6),
    "groups": (3, 4, 5),
}
POLICIES = ("running", "stored", "batch")


def problem(shape, norm=1.0, n=60, n_new=8, n_queries=9):
    groups, out, dim = SHAPES[shape]
    draw = torch.Generator().manual_seed(0)

    def unit(rows):
        u = torch.randn(rows, groups, dim, generator=draw, dtype=torch.float64)
        return norm * u / u.norm(dim=-1, keepdim=True)

    v = torch.randn(n, groups, out, generator=draw, dtype=torch.float64)
    index = torch.randperm(n, generator=draw)[:n_new]
    queries = (
        unit(n_queries),
        torch.randn(n_queries, groups, out, generator=draw, dtype=torch.float64),
    )
    log_noise = torch.linspace(-3, 0.5, groups, dtype=torch.float64)
    observation = torch.rand(n_queries, groups, out, generator=draw, dtype=torch.float64) + 0.1
    return unit(n), v, index, unit(n_new), queries, log_noise, observation


def policy(kind, u, v):
    if kind == "stored":
        rows = RowStore(tuple(u.shape), "float64")
        rows[:] = u
        return Stored(posterior.statistics(u, v), rows)
    sums = posterior.statistics(u, v)
    return Running(sums, 4) if kind == "running" else Batch(sums)


def textbook(kind, u, v, index, new, targets):
    """All inducing points and their targets with the new rows among them.

    Weights as scaled rows.
    """
    if kind == "stored":
        old = torch.ones(len(u), dtype=torch.bool)
        old[index] = False
        return torch.cat([u[old], new]), torch.cat([v[old], targets])
    share = 0.25 if kind == "running" else 1.0
    fresh = math.sqrt(share * len(u) / len(index))
    rest = math.sqrt(1 - share)
    return torch.cat([rest * u, fresh * new]), torch.cat([rest * v, fresh * targets])


def dense_loss(rows, v, queries, targets, log_noise, observation, objective):
    """Rasmussen and Williams (2006), equations 2.23 and 2.24, per head, with M x M matrices."""
    losses = []
    for group in range(rows.shape[1]):
        r, x, s2 = rows[:, group], queries[:, group], log_noise[group].exp()
        k = r @ r.T + s2 * torch.eye(len(r), dtype=torch.float64)
        cross = x @ r.T
        mean = cross @ torch.linalg.solve(k, v[:, group])
        latent = (
            (x @ x.T - cross @ torch.linalg.solve(k, cross.T)).diagonal()[:, None].expand_as(mean)
        )
        if objective == "latent":
            variance = latent.clamp(FLOOR, CEILING).detach()
        else:
            variance = latent + (s2 if observation is None else observation[:, group])
        losses.append(0.5 * ((targets[:, group] - mean).square() / variance + variance.log()))
    return torch.stack(losses).mean()


def leaves(*tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("objective", ["predictive", "latent"])
@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_equal_the_textbook(shape, kind, objective, observed):
    u, v, index, new, (x, y), log_noise, observation = problem(shape)
    ours, theirs = leaves(x, new, log_noise, observation), leaves(x, new, log_noise, observation)
    rows = Rows(index=index, u=ours[1], targets=v[index])
    noise = ours[3] if observed else None
    loss, sums = step(
        policy(kind, u, v), rows, Queries(u=ours[0], v=y, noise=noise), ours[2], objective
    )
    loss.backward()
    every, targets = textbook(kind, u, v, index, theirs[1], v[index])
    twin = dense_loss(
        every, targets, theirs[0], y, theirs[2], theirs[3] if observed else None, objective
    )
    twin.backward()
    assert abs(loss - twin) <= DENSE * abs(twin)
    for a, b in zip(ours, theirs, strict=True):
        if b.grad is None or not b.grad.any():
            assert a.grad is None or not a.grad.any()
        else:
            assert (a.grad - b.grad).abs().max() <= DENSE * b.grad.abs().max()
    exact = posterior.statistics(every.detach(), targets)
    torch.testing.assert_close(sums.a, exact.a, rtol=DENSE, atol=DENSE)


@pytest.mark.parametrize("kind", POLICIES)
def test_gradcheck(kind):
    u, v, index, new, (x, y), log_noise, observation = problem("groups")

    def loss(x, new, log_noise, observation):
        rows = Rows(index=index, u=new, targets=v[index])
        return step(policy(kind, u, v), rows, Queries(u=x, v=y, noise=observation), log_noise)[0]

    assert torch.autograd.gradcheck(loss, leaves(x, new, log_noise, observation))
    assert torch.autograd.gradcheck(lambda *three: loss(*three, None), leaves(x, new, log_noise))


def test_plain_autograd_agrees_and_float32_comes_back():
    u, v, index, new, (x, y), log_noise, _ = problem("classifier")
    u, new, x = u.float(), new.float(), x.float()
    ours, theirs = leaves(x, new, log_noise), leaves(x, new, log_noise)
    loss, _ = step(
        policy("running", u, v),
        Rows(index=index, u=ours[1], targets=v[index]),
        Queries(u=ours[0], v=y),
        ours[2],
    )
    sums = policy("running", u, v).refresh(index, theirs[1], v[index])
    zero = torch.zeros(10, dtype=torch.float64)
    state = posterior.State(statistics=sums, noise=theirs[2].exp(), offset=zero, scale=zero + 1)
    mean, latent = posterior.predict(state, theirs[0])
    variance = latent + state.noise
    twin = 0.5 * ((mean - y[..., 0]).square() / variance + variance.log()).mean()
    loss.backward()
    twin.backward()
    torch.testing.assert_close(loss, twin, rtol=DENSE, atol=0)
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad.dtype == b.grad.dtype
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-8)


def test_a_repeated_row_counts_once_in_loss_and_gradient():
    u, v, index, new, (x, y), log_noise, _ = problem("groups")
    losses, gradients = [], []
    for where in ([0, 1, 2], [0, 1, 2, 1]):
        row = new.clone().requires_grad_()
        rows = Rows(index=index[where], u=row[where], targets=v[index[where]])
        loss, _ = step(policy("stored", u, v), rows, Queries(u=x, v=y), log_noise)
        loss.backward()
        losses.append(loss)
        gradients.append(row.grad)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-15)


DEGENERATE = {
    "rank one": torch.randn(60, 1, 1, generator=torch.Generator().manual_seed(1)) * torch.ones(20),
    "constant": torch.full((60, 1, 20), 0.2),
    "dead": torch.zeros(60, 1, 20),
    "dead dimension": torch.randn(60, 1, 20, generator=torch.Generator().manual_seed(2))
    * (torch.arange(20) > 0),
    "equal eigenvalues": torch.eye(20)[torch.arange(60) % 20].unsqueeze(1),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("kind", POLICIES)
def test_degenerate_embeddings_have_accurate_gradients(name, kind):
    """Where eigenvectors are not unique, a gradient through them is not finite.

    Ours stays that of the textbook.
    """
    u = DEGENERATE[name]
    v = torch.randn(60, 1, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    index, log_noise = torch.arange(12), torch.tensor([math.log(0.01)], dtype=torch.float64)
    ours, theirs = (
        leaves(u[20:30], u[index], log_noise),
        leaves(u[20:30].double(), u[index].double(), log_noise),
    )
    loss, _ = step(
        policy(kind, u, v),
        Rows(index=index, u=ours[1], targets=v[index]),
        Queries(u=ours[0], v=v[20:30]),
        ours[2],
    )
    loss.backward()
    every, targets = textbook(kind, u.double(), v, index, theirs[1], v[index])
    twin = dense_loss(every, targets, theirs[0], v[20:30], theirs[2], None, "predictive")
    twin.backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad.isfinite().all()
        assert (a.grad - b.grad).abs().max() <= 1e-5 * b.grad.abs().max() + 1e-9


def test_an_impossible_matrix_makes_the_loss_nan():
    u, v, index, new, (x, y), log_noise, _ = problem("groups")
    broken = policy("stored", u, v)
    broken.rest = lambda index, targets: (broken.sums, -torch.ones(len(index), dtype=torch.float64))
    rows = Rows(index=index, u=10 * new, targets=v[index])
    assert step(broken, rows, Queries(u=x, v=y), log_noise)[0].isnan()


def test_an_impossible_matrix_makes_every_gradient_nan():
    """Else training would go on from made-up gradients, and the loss be a number again when it is looked at."""
    u, v, index, new, (x, y), log_noise, observation = problem("groups")
    broken = policy("stored", u, v)
    broken.rest = lambda index, targets: (broken.sums, -torch.ones(len(index), dtype=torch.float64))
    ours = leaves(x, 10 * new, log_noise, observation)
    rows = Rows(index=index, u=ours[1], targets=v[index])
    step(broken, rows, Queries(u=ours[0], v=y, noise=ours[3]), ours[2])[0].backward()
    assert all(tensor.grad.isnan().all() for tensor in ours)
