"""Every method on constant networks, and on answers or gradients that are not finite."""

import pytest
import torch
from torch import nn

from gpex_bench.contract import calls
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.families.wrapper import Wrapper
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Need

METHODS = {
    name: plugin.cls
    for name, plugin in plugins("method").items()
    if not issubclass(plugin.cls, Wrapper)
    and not plugin.cls.is_stored
    and plugin.cls.kind not in ("control", "examples", "surrogate")
    and plugin.cls.kind != "attention"  # for transformers: tests/methods/test_attention_methods.py
}
REWRITES = {"grad_cam"}  # looks for its maps in the rewritten network, which has finite outputs
FEW = {
    "elime": 100,
    "rise": 100,
    "lime": 80,
    "lime_fast": 80,
    "kernel_shap": 200,
    "shapley_sampling": 200,
}
FEW |= {"hsic": 128, "sobol": 408, "sobol_sbsa": 88}
EVEN = {
    "lrp",
    "deep_taylor",
}  # relevance with nothing to share by is spread evenly, so that the sum stays
FLAT = {
    "elime",
    "rise",
}  # no differences: the output, or how often a segment is kept, the same everywhere


@pytest.fixture
def network(layers, normal):
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    model = layers(trunk, nn.Linear(36, 3))
    for i, weight in enumerate(model.parameters()):
        weight.data = 0.4 * normal(*weight.shape, seed=i)
    return model.requires_grad_(False)


def few(method, name):
    return method(name, **({"budget": FEW[name]} if name in FEW else {}))


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_network_gets_no_relevance(name, network, task, query, method, normal):
    network.head.weight *= 0
    x = normal(2, 3, 24, 24)
    values = calls.explain(few(method, name), task(network, x), query(x, 1)).values
    if name in FLAT:
        assert float(values.min()) >= 0 and float(values.max()) <= 1
        assert float(values.max() - values.min()) < 1e-6
    elif name in EVEN:
        assert float(values.flatten(1).sum(1).abs().max()) <= float(network.head.bias[1].abs()) * (
            1 + 1e-4
        )
    else:
        assert float(values.abs().max()) < 1e-6


@pytest.mark.parametrize("where", ["weight", "bias"])
@pytest.mark.parametrize("name", METHODS)
def test_a_network_that_is_not_finite_is_refused(name, where, network, task, query, method, normal):
    """A weight makes answers and gradients NaN; a bias the answers only, which plain gradients do
    not see.
    """
    getattr(network.head, where).data[0] = torch.nan
    x = normal(2, 3, 24, 24)
    explainer, asked = few(method, name), (task(network, x), query(x, 0))
    is_plain = METHODS[name].kind == "gradient" and Need.MODULES not in METHODS[name].needs
    if where == "bias" and is_plain and name not in REWRITES | {"simple_taylor"}:
        assert bool(calls.explain(explainer, *asked).values.isfinite().all())
    else:
        with pytest.raises((ValueError, BrokenPromise), match=r"(?i)finite|\bNaN\b"):
            calls.explain(explainer, *asked)
