"""The exported gpytorch model has the posterior of all inducing points, and does what gpytorch's models do."""

import warnings

import pytest
import torch

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.export import head_embeddings, pseudo_points, to_gpytorch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # linear_operator uses torch.jit.script
    import gpytorch

SAME = 1e-8
SHAPES = {"per head": (4, 1, 8), "shared": (1, 49, 8), "groups": (3, 4, 5)}


@pytest.fixture(autouse=True)
def dense_solves():
    with gpytorch.settings.fast_computations(False, False, False), torch.no_grad():
        yield


def problem(shape, m=200):
    groups, out, dim = SHAPES[shape]
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(m, groups, dim, generator=draw, dtype=torch.float64)
    y = 3 + 2 * torch.randn(m, groups * out, generator=draw, dtype=torch.float64)
    offset, scale = posterior.target_units(y)
    v = posterior.grouped(posterior.standardised(y, offset, scale), groups)
    noise = torch.linspace(0.05, 1.0, groups, dtype=torch.float64)
    u = torch.randn(9, groups, dim, generator=draw, dtype=torch.float64)
    return posterior.condition(posterior.statistics(rows, v), noise, offset, scale), rows, v, u


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=SAME, atol=SAME)


@pytest.mark.parametrize("m", [3, 200])  # also fewer points than dimensions
@pytest.mark.parametrize("shape", SHAPES)
def test_the_export_has_the_same_posterior(shape, m):
    state, _, _, u = problem(shape, m)
    model = to_gpytorch(state)
    twin = model(head_embeddings(state, u))
    assert model.train_inputs[0].shape == (state.statistics.c.numel(), u.shape[2], u.shape[2])
    assert_close(posterior.mean(state, u), twin.mean.T)
    assert_close(posterior.covariance(state, u), twin.covariance_matrix)
    noise = state.scale.square() * state.noise.repeat_interleave(state.statistics.b.shape[2])
    assert_close(posterior.predict(state, u)[1] + noise, model.likelihood(twin).variance.T)


@pytest.mark.parametrize("shape", SHAPES)
def test_pseudo_points_have_the_same_statistics(shape):
    state = problem(shape)[0]
    points, targets = pseudo_points(state)
    assert_close(points.mT @ points, state.statistics.a)
    assert_close(points.mT @ targets, state.statistics.b)


@pytest.mark.parametrize("shape", SHAPES)
def test_fantasies_condition_on_more_points(shape):
    state, rows, v, u = problem(shape)
    new_u, new_v = u[:3] + 0.1, torch.ones(3, *v.shape[1:], dtype=torch.float64)
    new_y = state.offset[:, None] + state.scale[:, None] * new_v.flatten(1).T
    model = to_gpytorch(state)
    model(head_embeddings(state, u))  # gpytorch wants its caches filled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gpytorch's own advice about its likelihood
        fantasy = model.get_fantasy_model(head_embeddings(state, new_u), new_y)
    more = posterior.added(state.statistics, posterior.statistics(new_u, new_v))
    refit = posterior.condition(more, state.noise, state.offset, state.scale)
    twin = fantasy(head_embeddings(state, u))
    assert_close(posterior.mean(refit, u), twin.mean.T)
    assert_close(posterior.predict(refit, u)[1], twin.variance.T)


def test_samples_have_the_posterior_s_moments():
    state, _, _, u = problem("groups")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        samples = to_gpytorch(state)(head_embeddings(state, u)).rsample(torch.Size([4000]))
    deviation = posterior.predict(state, u)[1].sqrt().T
    assert ((samples.mean(0) - posterior.mean(state, u).T).abs() < 5 * deviation / 4000**0.5).all()
    assert ((samples.std(0) / deviation - 1).abs() < 0.1).all()


def test_a_constant_head_is_exported():
    state, _, _, u = problem("per head")
    scale = state.scale * torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    twin = to_gpytorch(posterior.condition(state.statistics, state.noise, state.offset, scale))
    found = twin(head_embeddings(state, u))
    assert_close(found.mean[1], state.offset[1].expand(9))
    assert (found.variance[1] < 1e-4).all()
    assert_close(found.mean[0], posterior.mean(state, u)[:, 0])
