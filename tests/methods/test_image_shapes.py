"""Images of any number of channels and of any shape: explained, or refused with what to do."""

import pytest
import torch
from torch import nn

from gpex_bench.contract import calls
from gpex_bench.families.wrapper import Wrapper
from gpex_bench.masking.regions import quickshift, regions, slic
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Need
from gpex_bench.types.demands import Refused

# methods that look at inputs and outputs alone, and the gradient methods without modules
METHODS = sorted(
    name
    for name, plugin in plugins("method").items()
    if not issubclass(plugin.cls, Wrapper)
    and plugin.cls.explains is Attribution
    and plugin.cls.kind in ("perturbation", "evolutionary", "gradient", "control")
    and not {Need.MODULES, Need.TRUTH} & plugin.cls.needs
)
BUDGETS = {"elime": 100, "rise": 60, "lime": 120, "lime_fast": 120, "kernel_shap": 200}
BUDGETS |= {"shapley_sampling": 200, "hsic": 128, "sobol": 408, "sobol_sbsa": 88, "smoothgrad": 4}
BUDGETS |= {"expected_gradients": 4, "integrated_gradients": 4, "simple_taylor": 12}


def explained(layers, task, query, method, name, shape):
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = nn.Sequential(
            nn.Conv2d(shape[0], 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        model = layers(trunk, nn.Linear(4, 3))
    budget = {"budget": BUDGETS[name]} if name in BUDGETS else {}
    return calls.explain(method(name, **budget), task(model, x), query(x[:2], 1)).values


@pytest.mark.parametrize("shape", [(2, 12, 12), (2, 9, 14), (4, 10, 8)])
@pytest.mark.parametrize("name", METHODS)
def test_any_number_of_channels_and_sides_that_differ(layers, task, query, method, name, shape):
    values = explained(layers, task, query, method, name, shape)
    assert values.shape == (2, *shape) and bool(values.isfinite().all())


@pytest.mark.parametrize("name", METHODS)
def test_an_image_of_one_pixel_is_explained_or_refused_with_advice(
    layers, task, query, method, name
):
    try:
        values = explained(layers, task, query, method, name, (1, 1, 1))
    except Refused as refused:
        advice = "set a smaller|choose another segmentation|no feature maps of more than one place"
        assert any(part in str(refused) for part in advice.split("|")), refused
    else:
        assert bool(values.isfinite().all())


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_segments_do_not_depend_on_how_often_a_channel_is_there(channels):
    """A network sees colours; two halves of different colours are never in one segment."""
    image = torch.zeros(channels, 16, 20)
    image[-1, :, 10:] = 5.0
    for segment in (slic, quickshift):
        index = segment(image.double().numpy(), 20)
        assert not set(index[:, :10].ravel()) & set(index[:, 10:].ravel()), segment


def test_lime_of_two_channels_finds_the_segments_of_the_drop(formula, task, query, method):
    """A linear probability of both channels: a segment's weight is its own part of it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 2, 12, 12, generator=generator)
    weight = 1e-3 * torch.randn(2, 12, 12, generator=generator)

    def logits(x):
        probability = 0.5 + (x * weight).flatten(1).sum(1)
        return torch.stack([probability, 1 - probability], 1).log()

    cut = regions(x, "grid", 9)
    asked = task(formula(logits, 2), x)
    values = method("lime", segmentation="grid", n_segments=9).explain(asked, query(x)).values
    found, expected = (
        torch.zeros(9).index_add_(0, cut.index[0].flatten(), part.sum(1).flatten())
        for part in (values, x * weight)
    )
    torch.testing.assert_close(found, expected, atol=0.1 * float(expected.abs().max()), rtol=0)
