"""Last-layer Laplace: the network's logits, and variances by hand and by laplace-torch."""

import pytest
import torch

from gpex_bench.surrogates.laplace import Laplace
from gpex_bench.types import Progress

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


@pytest.mark.parametrize("name", ["table", "images"])
@pytest.mark.parametrize("structure", ["kron", "diag"])
def test_the_mean_is_the_network_and_the_variance_that_of_the_library(structure, name, fitted):
    recipe = Laplace(structure=structure, prior_steps=5)
    model, data, surrogate = fitted(name, recipe)
    found = surrogate.posterior(data.test.x)
    assert torch.equal(found.mean, model(data.test.x))
    library = recipe.library(model.head, model.embed(data.train.x), data.train.y)
    _, covariance = library._glm_predictive_distribution(model.embed(data.test.x).double())
    torch.testing.assert_close(
        found.variance.double(), covariance.diagonal(dim1=1, dim2=2), rtol=1e-5, atol=1e-9
    )


def test_the_diagonal_variance_by_hand(fitted):
    model, data, surrogate = fitted("table", Laplace(structure="diag", prior_steps=5))
    u, query = (model.embed(x).double() for x in (data.train.x, data.test.x))
    p = model(data.train.x).double().softmax(1)
    curvature = p * (1 - p)
    weight = 1 / (curvature.T @ u.square() + surrogate.prior)
    bias = 1 / (curvature.sum(0) + surrogate.prior)
    by_hand = query.square() @ weight.T + bias
    torch.testing.assert_close(
        surrogate.posterior(data.test.x).variance.double(), by_hand, rtol=1e-5, atol=0
    )


def test_the_prior_is_tuned(fitted):
    priors = {float(fitted("table", Laplace(prior_steps=steps))[2].prior) for steps in (1, 5)}
    assert len(priors) == 2 and 1.0 not in priors


def test_it_says_what_it_stands_in_for(tiny):
    model, data = tiny.attention()
    with pytest.raises(
        ValueError,
        match=r"laplace .* Looking explains other outputs \(9 heads\)",
    ):
        Laplace().fit(model, data, 0, Progress())
    assert Laplace.takes_explained == {"logits"} and Laplace.exact


def test_a_last_layer_without_bias_is_refused(tiny):
    model, data = tiny.table()
    model.head.bias = None
    with pytest.raises(ValueError, match="laplace needs a last layer with a bias"):
        Laplace().fit(model, data, 0, Progress())
