"""A linear kernel on the last layer's input: the network itself, exactly."""

import pytest
import torch

from gpex_bench.surrogates.gpex_fit.mixing import mixed
from gpex_bench.surrogates.last_layer import LastLayer
from gpex_bench.types import Progress


@pytest.mark.parametrize("name", ["table", "images", "attention"])
def test_it_reproduces_the_network_where_no_sample_is_near(name, fitted):
    model, data, surrogate = fitted(name, LastLayer())
    x = torch.cat([data.test.x, mixed(data.test.x, 60, torch.Generator().manual_seed(0))])
    y, found = model.explained(x), surrogate.posterior(x)
    error = (found.mean - y).abs()
    is_exact = error < 1e-4 * y.std(0)
    assert is_exact.double().mean() > (0.95 if name == "attention" else 0.999)
    assert (error <= 4 * found.variance.sqrt())[~is_exact].all(), (
        "units that no training sample excites are unknown"
    )
    assert surrogate.rows.shape[1] == (9 if name == "attention" else 1), (
        "one kernel per place, or one for all heads"
    )


def test_without_the_bias_it_would_not(fitted):
    model, data, surrogate = fitted("table", LastLayer())
    u = surrogate(data.test.x)[:, 0].double()
    w = torch.linalg.lstsq(u[:, :-1], model.explained(data.test.x).double()).solution
    assert (u[:, -1] == 1).all()
    assert (
        u[:, :-1] @ w - model.explained(data.test.x)
    ).abs().max() < 10  # a control on shapes only
    affine = torch.linalg.lstsq(u, model.explained(data.test.x).double()).solution
    assert (u @ affine - model.explained(data.test.x)).abs().max() < 1e-5


def test_a_large_noise_shrinks_the_outputs(tiny):
    model, data = tiny.table()
    surrogate = LastLayer(noise=1e4).fit(model, data, 0, Progress())
    assert torch.equal(surrogate.noise, torch.full((1,), 1e4, dtype=torch.float64))
    mean = surrogate.posterior(data.test.x).mean
    assert (mean.std(0) < 0.2 * model.explained(data.test.x).std(0)).all()
