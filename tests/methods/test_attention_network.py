"""Methods on a network whose branches meet in a product."""

import sys

import pytest
import torch

from gpex_bench.contract import calls
from gpex_bench.families.wrapper import Wrapper
from gpex_bench.models.attention import Attention
from gpex_bench.models.blocks.two_branches import AttentionModel, plain_trunk
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Need
from gpex_bench.types.demands import Refused

OFFERED = Attention.offers | Attention.takes | {Need.TRAINING}
CLASSES = {
    name: plugin.cls
    for name, plugin in plugins("method").items()
    if not issubclass(plugin.cls, Wrapper) and not plugin.cls.is_stored
}
APPLY = [name for name, cls in CLASSES.items() if cls.needs <= OFFERED and cls.surrogate is None]
REFUSED = {
    "full_grad": "which are not sample, channel, row and column",
    "guided_backprop": "defined for ReLUs, and Sigmoid at the network",
    "guided_grad_cam": "defined for ReLUs, and Sigmoid at the network",
    "attention_rollout": "no attention between tokens",
    "gradient_x_attention": "no attention between tokens",
}
FEW = {
    "elime": 100,
    "rise": 100,
    "lime": 80,
    "lime_fast": 80,
    "kernel_shap": 150,
    "shapley_sampling": 150,
    "hsic": 128,
}


@pytest.fixture
def asked(task, query, normal):
    """Weights so large that the attention differs between places, and three images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AttentionModel(
            plain_trunk(1, 4), plain_trunk(1, 4), channels=16, squeeze=8, wide=32, n_heads=3
        )
    for weight in model.requires_grad_(False).parameters():
        weight *= 2
    x = normal(3, 1, 16, 16)
    attention = model.attention(x)
    assert float(attention.max() / attention.min()) > 1.5
    return task(model, x, train=normal(20, 1, 16, 16, seed=1)), query(x, torch.arange(3), 20)


@pytest.mark.parametrize("name", [name for name in APPLY if name not in REFUSED])
def test_what_applies_works(asked, query, method, name):
    network, wanted = asked
    explainer = method(name, **({"budget": FEW[name]} if name in FEW else {}))
    found = calls.tensors(calls.explain(explainer, network, wanted))
    if "values" in found:
        assert float(found["values"].abs().max()) > 0
        last = calls.explain(explainer, network, query(wanted.x[2:], 2, 22)).values[0]
        torch.testing.assert_close(
            found["values"][2], last, rtol=1e-3, atol=1e-4 * float(last.abs().max())
        )


def test_integrated_gradients_are_complete_through_the_product(asked, method):
    network, wanted = asked
    logits = network.model(torch.cat([wanted.x, network.data.baseline[None]]))
    change = (logits[:3] - logits[3]).gather(1, wanted.target[:, None])[:, 0]
    values = method("integrated_gradients", budget=300).explain(network, wanted).values
    torch.testing.assert_close(
        values.flatten(1).sum(1), change, rtol=0.01, atol=0.01 * float(change.abs().max())
    )


def test_what_reads_modules_keeps_its_sum_or_refuses(asked, method):
    network, wanted = asked
    size = network.model(wanted.x).abs().max()
    for name in ("deeplift", "deeplift_shap", "deep_taylor"):
        residual = method(name).explain(network, wanted).residual
        assert float(residual.abs().max() / size) < 1e-4
    terms, logit = sys.modules[CLASSES["full_grad"].__module__].bias_terms(
        network.model, wanted.x, wanted.target
    )
    total = sum(term.values.flatten(1).sum(1) for term in terms)
    assert float((logit - total).abs().max() / size) < 1e-4
    for name, reason in REFUSED.items():
        with pytest.raises(Refused, match=reason):
            method(name).explain(network, wanted)
