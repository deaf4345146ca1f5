"""Occlusion, feature ablation and RISE against captum, closed forms and one another."""

import sys

import pytest
import torch
from captum.attr import FeatureAblation, Occlusion
from torch import nn

from gpex_bench.contract.cost import counted
from gpex_bench.families import shapley
from gpex_bench.masking import answers
from gpex_bench.masking.regions import regions

REGIONED = ("feature_ablation", "lime", "lime_fast", "kernel_shap", "shapley_sampling", "elime")
SAMPLED = ("lime_fast", "kernel_shap", "shapley_sampling", "rise", "sobol", "hsic", "elime")


@pytest.fixture
def small(layers, normal):
    """A convolutional network with fixed weights for images of 3 channels."""
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    model = layers(trunk, nn.Linear(36, 3))
    for i, weight in enumerate(model.parameters()):
        weight.data = 0.4 * normal(*weight.shape, seed=i)
    return model.requires_grad_(False)


@pytest.mark.parametrize("window, stride", [(4, 2), (3, 3), (5, 1), (4, 3)])
def test_occlusion_is_that_of_captum(task, query, method, small, normal, window, stride):
    x, baseline = normal(3, 3, 13, 10), torch.full((3, 13, 10), 0.2)
    target = torch.tensor([0, 2, 1])
    values = (
        method("occlusion", window=window, stride=stride)
        .explain(task(small, x, baseline), query(x, target))
        .values
    )
    expected = Occlusion(small).attribute(
        x,
        (3, window, window),
        (3, stride, stride),
        baselines=baseline[None].expand_as(x),
        target=target,
    )
    torch.testing.assert_close(3 * values, expected, rtol=1e-4, atol=1e-5)


def test_occlusion_without_overlap_sums_to_the_drops(formula, task, query, method, normal):
    """On a linear network the drop of a window is its own part of the output."""
    x, weight = normal(2, 2, 8, 8), normal(2, 8, 8, seed=1)
    asked = task(formula(lambda x: (x * weight).flatten(1).sum(1, keepdim=True), 1), x)
    values = method("occlusion", window=4, stride=4).explain(asked, query(x)).values
    blocks = values.sum(1).view(2, 2, 4, 2, 4).mean((2, 4))
    torch.testing.assert_close(
        blocks, (x * weight).sum(1).view(2, 2, 4, 2, 4).sum((2, 4)), rtol=1e-4, atol=1e-4
    )


def test_feature_ablation_is_that_of_captum(task, query, method, small, normal):
    x, baseline = normal(2, 3, 16, 16), torch.full((3, 16, 16), 0.2)
    explainer = method("feature_ablation", n_segments=20)
    values = explainer.explain(task(small, x, baseline), query(x, 1)).values
    for row in range(2):
        cut = regions(x[row : row + 1], "slic", 20).index
        expected = FeatureAblation(small).attribute(
            x[row : row + 1],
            baselines=baseline[None],
            target=1,
            feature_mask=cut[:, None].expand(-1, 3, -1, -1),
        )
        size = cut.flatten().bincount()[cut][:, None] * 3
        torch.testing.assert_close(values[row : row + 1], expected / size, rtol=1e-3, atol=1e-6)


def test_feature_ablation_of_columns(formula, task, query, method, normal):
    x, baseline = normal(4, 5), normal(5, seed=1)
    model = formula(lambda x: (x[:, 0] * x[:, 1] + x[:, 2])[:, None], 1)
    values = method("feature_ablation").explain(task(model, x, baseline), query(x)).values
    expected = torch.stack(
        [
            (x[:, 0] - baseline[0]) * x[:, 1],
            (x[:, 1] - baseline[1]) * x[:, 0],
            x[:, 2] - baseline[2],
        ]
    )
    torch.testing.assert_close(values[:, :3], expected.T)
    assert torch.equal(values[:, 3:], torch.zeros(4, 2))


def test_rise_finds_the_weights_of_a_linear_network(formula, task, query, method, normal):
    """E[f m_i] / p = f(nothing) + sum_j w_j d_j E[m_i m_j] / p; the covariance of the masks is
    measured.
    """
    x, weight = 1 + 0.1 * normal(1, 1, 12, 12), normal(1, 12, 12, seed=1)
    asked = task(formula(lambda x: (x * weight).flatten(1).sum(1, keepdim=True), 1), x)
    explainer = method("rise", budget=20000, grid=4, output="logit")
    values = explainer.explain(asked, query(x)).values
    source = vars(sys.modules[type(explainer).__module__])
    cells, down, right = explainer._draw(torch.Generator().manual_seed(77), x.expand(1, 1, 12, 12))
    up = source["bilinear"](4, 12)
    rows, columns = up[down[:, None] + torch.arange(12)], up[right[:, None] + torch.arange(12)]
    masks = (rows @ cells.float() @ columns.mT).flatten(1)
    expected = masks.T @ (masks @ (x * weight).flatten()) / len(masks) / 0.5
    near = torch.corrcoef(torch.stack([values.flatten(), expected]))[0, 1]
    assert float(near) > 0.99
    assert float((values.flatten() - expected).abs().max()) < 0.1 * float(expected.abs().max())


def test_rise_masks_are_those_of_the_paper(method):
    """Enlarged bilinearly to one cell more than the image, then cut at a shift of less than a
    cell.
    """
    explainer = method("rise", grid=3, budget=400, probability=0.3)
    cells, down, right = explainer._draw(torch.Generator().manual_seed(0), torch.zeros(1, 1, 10, 7))
    up = vars(sys.modules[type(explainer).__module__])["bilinear"]
    assert (up(3, 10).shape, up(3, 7).shape) == ((16, 3), (12, 3))
    whole = nn.functional.interpolate(
        cells[:1, None].float(), (16, 12), mode="bilinear", align_corners=False
    )[0, 0]
    torch.testing.assert_close(up(3, 10) @ cells[0].float() @ up(3, 7).T, whole)
    assert (down.unique().tolist(), right.unique().tolist()) == ([0, 1, 2, 3], [0, 1, 2])
    assert abs(float(cells.float().mean()) - 0.3) < 0.04


def test_centred_rise_is_rise_with_another_zero(formula, task, query, method, normal):
    x, weight = torch.ones(1, 1, 8, 8), torch.zeros(8, 8)
    weight[2:4, 2:4] = 1.0
    asked = task(formula(lambda x: 5 + (x[:, 0] * weight).flatten(1).sum(1, keepdim=True), 1), x)
    plain, centred = (
        method("rise", grid=4, budget=4000, output="logit", centre=centre)
        .explain(asked, query(x))
        .values[0, 0]
        for centre in (False, True)
    )
    assert float(centred[2:4, 2:4].min()) > float(centred[6:, 6:].max())
    assert float(centred[6:, 6:].abs().max()) < 0.1 < 5 < float(plain[6:, 6:].min())


@pytest.mark.parametrize("name", SAMPLED)
def test_masks_are_made_for_few_samples_at_a_time(
    monkeypatch, task, query, method, small, normal, name
):
    """With room for the masks of one sample, three samples are three probes, with the values of
    one.
    """
    x, made, probe = normal(3, 3, 12, 12), [], answers.probe
    explainer = (
        method(name, budget=450) if name != "elime" else method(name, budget=450, population=30)
    )
    together = explainer.explain(task(small, x), query(x)).values
    monkeypatch.setattr(answers, "GROUP", 30)
    for module in (sys.modules[type(explainer).__module__], shapley):
        if hasattr(module, "probe"):
            monkeypatch.setattr(module, "probe", lambda *asked: made.append(asked) or probe(*asked))
    alone = explainer.explain(task(small, x), query(x)).values
    assert len(made) == 3
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3 * float(together.abs().max()))


@pytest.mark.parametrize("name", SAMPLED)
def test_memory_is_bounded_and_the_budget_kept(
    monkeypatch, task, query, method, small, normal, name
):
    monkeypatch.setattr(answers, "CHANGED_ROWS", 32)
    monkeypatch.setattr(answers, "GROUP", 500)
    x, sizes = normal(3, 3, 12, 12), []
    handle = small.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    explainer = (
        method(name, budget=450) if name != "elime" else method(name, budget=450, population=30)
    )
    with counted(small) as rows:
        explainer.explain(task(small, x), query(x))
    handle.remove()
    assert max(sizes) <= 32
    assert 200 * 3 <= rows.forward <= 450 * 3
    assert rows.backward == 0


@pytest.mark.parametrize("name", (*SAMPLED, "occlusion", "feature_ablation"))
def test_constant_outputs_give_no_relevance(formula, task, query, method, name):
    x = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    asked = task(formula(lambda x: 0 * x.flatten(1)[:, :2] + torch.tensor([1.0, 2.0]), 2), x)
    values = method(name).explain(asked, query(x)).values
    if name == "rise":  # not a difference: the output itself
        torch.testing.assert_close(values, torch.full_like(x, 1 / (1 + torch.e)))
    elif name == "elime":
        assert torch.equal(values, torch.full_like(x, 0.5))  # the density: nothing is selected
    else:
        assert float(values.abs().max()) < 1e-6


@pytest.mark.parametrize("name", REGIONED)
def test_images_smaller_than_a_segment_are_refused(task, query, method, small, normal, name):
    x = normal(1, 3, 2, 2)
    with pytest.raises(
        ValueError,
        match=r"at least 8 segments and slic found \d in 2 x 2 pixels; raise n_segments \(8\)",
    ):
        method(name, n_segments=8).explain(task(small, x), query(x))


@pytest.mark.parametrize("name", REGIONED)
def test_images_of_one_region_are_refused(task, query, method, small, name):
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(
        ValueError, match=r"at least 8 segments and quickshift found \d in 8 x 8 pixels"
    ):
        method(name, n_segments=8, segmentation="quickshift").explain(task(small, x), query(x))


def test_settings_that_make_no_sense_are_refused(task, query, method, small, normal):
    x = normal(1, 3, 9, 12)
    for name, bad, match in (
        ("occlusion", {"window": 2, "stride": 3}, r"stride must be at most window \(2\), got 3"),
        ("occlusion", {"window": 0}, "window must be at least 1, got 0"),
        (
            "feature_ablation",
            {"fill": "grey"},
            "fill must be one of baseline, .*middle, got 'grey'",
        ),
        (
            "feature_ablation",
            {"segmentation": "felz"},
            "segmentation must be one of slic, quickshift, grid, got 'felz'",
        ),
        ("rise", {"probability": 1.0}, "probability must lie between 0 and 1, got 1.0"),
        ("rise", {"output": "p"}, "output must be one of logit, probability, log_odds, got 'p'"),
        ("lime_fast", {"ridge": 0.0}, "ridge must be positive, got 0.0"),
    ):
        with pytest.raises(ValueError, match=match):
            method(name, **bad)
    for name, bad in (
        ("occlusion", {"window": 10}),
        ("rise", {"grid": 10}),
        ("sobol", {"grid": 10, "budget": 10**4}),
    ):
        with pytest.raises(ValueError, match="the image's shorter side"):
            method(name, **bad).explain(task(small, x), query(x))


@pytest.mark.parametrize("name", sorted({*REGIONED, *SAMPLED} - {"lime", "rise"}))
def test_tables_have_no_mean_colour(formula, task, query, method, normal, name):
    x = normal(2, 9)
    with pytest.raises(
        ValueError, match="fill must be baseline, train_mean or middle for tables, got 'image_mean'"
    ):
        method(name, fill="image_mean").explain(task(formula(lambda x: x, 9), x), query(x))


@pytest.mark.parametrize("fill", ["image_mean", "segment_mean", "blur"])
@pytest.mark.parametrize("name", [*REGIONED[:1], *REGIONED[2:]])
def test_every_fill_works_on_images(task, query, method, small, normal, name, fill):
    x = normal(2, 3, 12, 12)
    settings = {} if name == "feature_ablation" else {"budget": 200}
    values = method(name, fill=fill, **settings).explain(task(small, x), query(x)).values
    assert float(values.std()) > 0
    assert not torch.equal(
        values, method(name, **settings).explain(task(small, x), query(x)).values
    )
