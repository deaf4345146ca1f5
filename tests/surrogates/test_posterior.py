"""The weight-space posterior equals the textbook's M x M formulas and gpytorch, and its identities hold."""

import math
import warnings

import pytest
import torch

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.evidence import evidence
from gpex_bench.surrogates.gp.posterior import State

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # linear_operator uses torch.jit.script
    import gpytorch

DENSE = 1e-10  # relative: same formula in another order, float64
LIBRARY = 1e-8  # gpytorch's own round trips through constraints


# (groups, outputs of each): a kernel per head of a classifier, a shared one for 7 x 7 attention
# heads, between, and a
# kernel for each of 7 x 7 attention heads
SHAPES = {"per head": (3, 1), "shared": (1, 49), "grouped": (3, 4), "places": (49, 1)}


def problem(m=40, groups=3, out=1, dim=5, n=7, seed=0, scale=1.0):
    draw = torch.Generator().manual_seed(seed)
    rows = scale * torch.randn(m, groups, dim, generator=draw, dtype=torch.float64)
    y = 3 + 2 * torch.randn(m, groups * out, generator=draw, dtype=torch.float64)
    u = scale * torch.randn(n, groups, dim, generator=draw, dtype=torch.float64)
    offset, spread = posterior.target_units(y)
    if (
        m == 1
        # one point has no spread: give it one, so that the formulas are tested and not the constant
        # head
    ):
        offset, spread = offset - 1, torch.full_like(spread, 2.0)
    v = posterior.grouped(posterior.standardised(y, offset, spread), groups)
    noise = torch.tensor([0.5, 0.05, 2.0], dtype=torch.float64).repeat(17)[:groups]
    return posterior.condition(posterior.statistics(rows, v), noise, offset, spread), rows, v, u


def dense(state: State, rows, v, u, head):
    """Rasmussen and Williams (2006), equations 2.23, 2.24 and 2.30, of the standardised targets."""
    group, output = divmod(head, v.shape[2])
    r, x, y, s2 = rows[:, group], u[:, group], v[:, group, output], state.noise[group]
    k = r @ r.T + s2 * torch.eye(len(r), dtype=torch.float64)
    inverse = torch.linalg.inv(k)
    cross = x @ r.T
    covariance = x @ x.T - cross @ inverse @ cross.T
    evidence = -0.5 * (
        y @ inverse @ y + torch.linalg.slogdet(k).logabsdet + len(r) * math.log(2 * math.pi)
    )
    return {
        "mean": cross @ inverse @ y,
        "covariance": covariance,
        "evidence": evidence,
    }


def assert_close(ours, theirs, tolerance):
    torch.testing.assert_close(
        ours, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max() + 1)
    )


@pytest.mark.parametrize("m", [1, 3, 40])  # fewer points than dimensions are legal
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_space_equals_textbook(m, shape):
    groups, out = SHAPES[shape]
    state, rows, v, u = problem(m, groups, out)
    means, variances = posterior.predict(state, u)
    for h in range(groups * out):
        twin = dense(state, rows, v, u, h)
        offset, scale = state.offset[h], state.scale[h]
        assert_close(posterior.mean(state, u)[:, h], offset + scale * twin["mean"], DENSE)
        assert_close(means[:, h], offset + scale * twin["mean"], DENSE)
        assert_close(variances[:, h], scale**2 * twin["covariance"].diagonal(), DENSE)
        assert_close(posterior.covariance(state, u)[h], scale**2 * twin["covariance"], DENSE)
        assert_close(evidence(state)[h], twin["evidence"], DENSE)


class Exact(gpytorch.models.ExactGP):
    def __init__(self, rows, v, likelihood):
        super().__init__(rows, v, likelihood)
        self.mean_module = gpytorch.means.ZeroMean()
        self.covar_module = gpytorch.kernels.LinearKernel()

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def gpytorch_twin(rows, v, s2):
    likelihood = gpytorch.likelihoods.GaussianLikelihood(
        noise_constraint=gpytorch.constraints.GreaterThan(1e-8)
    )
    model = Exact(rows, v, likelihood).double()
    model.covar_module.variance = 1.0
    likelihood.noise = float(s2)
    return model, likelihood


@pytest.mark.parametrize("shape", SHAPES)
def test_weight_space_equals_gpytorch(shape):
    groups, out = SHAPES[shape]
    state, rows, v, u = problem(groups=groups, out=out)
    for h in range(groups * out):
        group, output = divmod(h, out)
        y = v[:, group, output]
        model, likelihood = gpytorch_twin(rows[:, group], y, state.noise[group])
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            log_evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)(
                model(rows[:, group]), y
            )
            model.eval()
            twin = model(u[:, group])
        assert_close(
            posterior.mean(state, u)[:, h], state.offset[h] + state.scale[h] * twin.mean, LIBRARY
        )
        assert_close(
            posterior.covariance(state, u)[h], state.scale[h] ** 2 * twin.covariance_matrix, LIBRARY
        )
        assert_close(evidence(state)[h] / len(rows), log_evidence, LIBRARY)


@pytest.mark.parametrize("shape", ["per head", "grouped"])
def test_gradients_equal_gpytorch(shape):
    """Those of the evidence by rows and log noise, and of mean and variance by the query and the rows."""
    groups, out = SHAPES[shape]
    state, rows, v, u = problem(groups=groups, out=out)
    for h in range(groups * out):
        group, output = divmod(h, out)
        y, scale, log_noise = v[:, group, output], state.scale[h], state.noise.log()
        ours = [tensor.clone().requires_grad_() for tensor in (rows, u, log_noise)]
        sums = posterior.statistics(ours[0], v)
        own = State(statistics=sums, noise=ours[2].exp(), offset=state.offset, scale=state.scale)
        mean, latent = posterior.predict(own, ours[1])
        moments = (mean[:, h] - state.offset[h]) / scale, latent[:, h] / scale**2
        theirs = [tensor.clone().requires_grad_() for tensor in (rows[:, group], u[:, group])]
        model, likelihood = gpytorch_twin(theirs[0], y, state.noise[group])
        with (
            gpytorch.settings.fast_computations(False, False, False),
            gpytorch.settings.detach_test_caches(False),
        ):
            log_evidence = len(rows) * gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)(
                model(theirs[0]), y
            )
            twin = model.eval()(theirs[1])
        raw = likelihood.noise_covar.raw_noise
        noise = likelihood.noise.squeeze()
        for own_value, value, inputs in (
            (evidence(own)[h], log_evidence, [theirs[0], raw]),
            (moments[0].sum(), twin.mean.sum(), theirs),
            (moments[1].sum(), twin.variance.sum(), theirs),
        ):
            found = torch.autograd.grad(value, inputs, retain_graph=True)
            by_rows, by_query, by_noise = torch.autograd.grad(
                own_value, ours, retain_graph=True, allow_unused=True
            )
            assert_close(by_rows[:, group], found[0], LIBRARY)
            if inputs[1] is raw:
                (slope,) = torch.autograd.grad(noise, raw, retain_graph=True)
                assert_close(
                    by_noise[group], (found[1] / slope * noise).detach().squeeze(), LIBRARY
                )
            else:
                assert_close(by_query[:, group], found[1], LIBRARY)


def test_parts_add_up():
    state, rows, v, _ = problem()
    whole = posterior.added(
        posterior.statistics(rows[:9], v[:9]), posterior.statistics(rows[9:], v[9:])
    )
    for name in ("a", "b", "c", "count"):
        assert_close(getattr(whole, name), getattr(state.statistics, name), DENSE)


@pytest.mark.parametrize(
    "rows",
    [
        torch.ones(50, 1, 6),  # all alike
        torch.randn(50, 1, 1, generator=torch.Generator().manual_seed(1))
        * torch.ones(6),  # rank one
        torch.zeros(50, 1, 6),  # dead
        torch.eye(6)[[0] * 25 + [1] * 25].unsqueeze(1),  # duplicates
    ],
)
def test_degenerate_embeddings_give_finite_numbers(rows):
    v = torch.randn(50, 1, 1, generator=torch.Generator().manual_seed(2))
    one = torch.ones(1)
    state = posterior.condition(posterior.statistics(rows, v), 1e-4 * one, 0 * one, one)
    for result in (
        *posterior.predict(state, rows),
        evidence(state),
    ):
        assert result.isfinite().all()
    assert (posterior.predict(state, rows)[1] >= 0).all()


def test_a_constant_head_predicts_its_constant():
    y = torch.full((20, 2), 0.1)
    y[:, 1] = torch.arange(20.0)
    offset, scale = posterior.target_units(y)
    assert scale[0] == 0
    assert scale[1] > 0
    v = posterior.grouped(posterior.standardised(y, offset, scale), 2)
    rows = torch.randn(20, 2, 3, generator=torch.Generator().manual_seed(0))
    state = posterior.condition(posterior.statistics(rows, v), torch.ones(2), offset, scale)
    assert (posterior.mean(state, rows)[:, 0].float() == 0.1).all()
    assert (posterior.predict(state, rows)[1][:, 0] == 0).all()


def test_bad_noise_and_scale_are_refused():
    sums = problem()[0].statistics
    one = torch.ones(3)
    for noise in (torch.zeros(3), -one):
        with pytest.raises(
            ValueError, match="noise must be a positive variance for every group, got"
        ):
            posterior.condition(sums, noise, one, one)
    with pytest.raises(ValueError, match=r"noise must be finite, got nan at \[0\]"):
        posterior.condition(sums, one * math.nan, one, one)
    with pytest.raises(ValueError, match="scale must be 0 .constant head. or positive, got -1"):
        posterior.condition(sums, one, one, -one)


def test_bad_rows_are_refused():
    rows, v = torch.ones(4, 2, 3), torch.ones(4, 2, 1)
    rows[1, 0, 2] = math.nan
    with pytest.raises(ValueError, match=r"u must .* got nan at \[1, 0, 2\]"):
        posterior.statistics(rows, v)
    with pytest.raises(ValueError, match="with at least 1 row, got shape"):
        posterior.statistics(rows[:0], v[:0])
    with pytest.raises(ValueError, match="y must have at least 1 row, got 0"):
        posterior.target_units(v[:0, :, 0])
    with pytest.raises(ValueError, match=r"y must be finite, got nan at \[0, 0\]"):
        posterior.target_units(math.nan * v[..., 0])


def test_shapes_are_checked_in_use(unchecked):
    with pytest.raises(
        ValueError, match=r"v must be \[row, group, out\] with \[4, 2, out\], got shape \(4, 3, 1\)"
    ):
        posterior.statistics(torch.ones(4, 2, 3), torch.ones(4, 3, 1))
    with pytest.raises(
        ValueError, match=r"noise must have one entry per group \(3\), got shape \(2,\)"
    ):
        posterior.condition(problem()[0].statistics, torch.ones(2), torch.ones(3), torch.ones(3))


def test_an_impossible_gram_matrix_is_an_error():
    state = problem(groups=1)[0]
    sums = posterior.Statistics(
        a=-state.statistics.a,
        b=state.statistics.b,
        c=state.statistics.c,
        count=state.statistics.count,
    )
    with pytest.raises(ValueError, match=r"A \+ s2 I is not positive definite for groups \[0\]"):
        posterior.weights(
            State(statistics=sums, noise=state.noise, offset=state.offset, scale=state.scale)
        )
