"""Every surrogate of a network with one output, in any unit."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Kind, Progress
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets
from tests.vocabulary.networks import Layers, seeded

# Settings that make a fit a matter of seconds.
CHEAP = {
    "arc_cosine": {"dim": 20},
    "exact_gp": {"n_points": 60, "n_tuned": 40, "n_steps": 5},
    "gpex": {"n_steps": 20, "width": 16, "dim": 4},
    "gpex_paper": {"n_steps": 10, "second_steps": 2, "width": 16, "dim": 4},
    "laplace": {"prior_steps": 3},
    "nystrom": {"n_landmarks": 20},
    "ntk": {"dim": 40},
    "svgp": {"n_inducing": 16, "dim": 4, "n_steps": 20, "n_mixed": 64},
}
X = torch.randn(150, 5, generator=torch.Generator().manual_seed(0))


def network():
    """Return a small network with one output."""
    trunk = nn.Sequential(nn.Linear(5, 16), nn.ReLU())
    return Layers(trunk, nn.Linear(16, 1))


def fitted(name, model):
    """Return network and surrogate on test inputs, float64 [row]."""
    data = datasets.dataset(X[:120], X[120:], classes=1)
    data = dataclasses.replace(data, kind=Kind.NUMBER)
    recipe = plugins("surrogate")[name].cls(**CHEAP.get(name, {}))
    surrogate = recipe.fit(model, data, 1, Progress())
    with torch.no_grad():
        posterior = surrogate.posterior(data.test.x)
        outputs = model(data.test.x)
    assert posterior.mean.shape == outputs.shape == (30, 1)
    assert bool((posterior.variance > 0).all())
    return outputs[:, 0].double(), posterior.mean[:, 0].double(), posterior.variance[:, 0].double()


# The paper's recipe has no offset and no scale, and the tangent kernel changes with the last layer.
HAVE_UNITS = {"gpex_paper", "ntk"}
# Its variance is that of a softmax over classes.
OF_CLASSES = {"laplace"}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", sorted({*plugins("surrogate")} - HAVE_UNITS - OF_CLASSES))
def test_a_number_in_other_units_has_the_same_surrogate(name):
    model = seeded(network)
    other = copy.deepcopy(model)
    other.head.weight.mul_(512)
    other.head.bias.mul_(512).add_(2048)

    y, mean, variance = fitted(name, model)
    _, scaled, scaled_variance = fitted(name, other)
    spread = float(y.std())
    assert float((mean - y).std()) < spread  # it follows the network
    off = (scaled - 2048) / 512 - mean
    assert float(off.abs().max()) < 0.02 * spread
    torch.testing.assert_close(scaled_variance / 512**2, variance, rtol=0.05, atol=1e-6)


def test_a_surrogate_of_class_probabilities_refuses_a_number():
    with pytest.raises(Refused, match="laplace needs the logits of at least two classes"):
        fitted("laplace", seeded(network))


@pytest.mark.parametrize("name", sorted(HAVE_UNITS))
def test_the_others_work_too(name):
    _, mean, _ = fitted(name, seeded(network))
    assert bool(mean.isfinite().all()) and float(mean.std()) > 0
