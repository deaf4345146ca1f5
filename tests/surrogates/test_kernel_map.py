"""The kernel map: its terms sum to the embedding, its maps keep their sums, and it starts where it should."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gpex_bench.surrogates.gp.features import spread
from gpex_bench.surrogates.gpex_fit.kernel_map import Shape, kernel_map

SHAPE = Shape(n_groups=3, n_heads=3, dim=5, width=16, norm=1.0, slope=0.01)
SPATIAL = replace(SHAPE, n_groups=9, n_heads=9, is_spatial=True, is_noisy=True)


def moved(f):
    """Positions start at zero and spatial weights even; move them, so that a location matters."""
    draw = torch.Generator().manual_seed(5)
    for parameter in f.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    return f


@pytest.mark.parametrize(
    "shape", [SHAPE, SPATIAL, replace(SHAPE, n_groups=1)], ids=["mean", "places", "shared"]
)
@pytest.mark.parametrize("trunk", ["network", "thin_resnet", "mlp"])
def test_terms_sum_to_the_embedding(trunk, shape, tiny):
    model, data = tiny.images()
    f = moved(kernel_map(model, data, shape, trunk, 0))
    f.whiten(torch.eye(5).double() + torch.ones(shape.n_groups, 5, 5).double(), 1e-3)
    terms, u = f.locations(data.test.x), f(data.test.x)
    places = {"network": 9, "thin_resnet": 4, "mlp": 1}[trunk]
    assert terms.shape == (40, shape.n_groups, 5, places)
    assert (f.grid(data.test.x) is None) == (trunk == "mlp")
    torch.testing.assert_close(terms.sum(-1), u, rtol=1e-5, atol=1e-5)
    observed, noise = f.observe(data.test.x)
    assert torch.equal(observed, u)
    assert noise is None or ((noise > 0).all() and noise.shape == (40, shape.n_heads))


def test_a_table_is_one_location(tiny):
    model, data = tiny.table()
    f = moved(kernel_map(model, data, SHAPE, "network", 0))
    torch.testing.assert_close(
        f.locations(data.test.x)[..., 0], f(data.test.x), rtol=1e-5, atol=1e-6
    )
    assert f.grid(data.test.x) is None


@pytest.mark.parametrize("slope", [0.01, 1.0])
def test_embeddings_have_the_norm_before_the_leaky_relu(slope, tiny):
    model, data = tiny.table()
    u = kernel_map(model, data, replace(SHAPE, norm=0.1, slope=slope), "network", 0)(data.test.x)
    undone = torch.where(u < 0, u / slope, u)
    torch.testing.assert_close(undone.norm(dim=-1), torch.full((40, 3), 0.1))


def test_heads_that_are_places_begin_at_their_place(tiny):
    model, data = tiny.images()
    f = kernel_map(model, data, SPATIAL, "network", 0)
    assert torch.equal(f.pool.argmax(1), torch.arange(9))
    torch.testing.assert_close(f.pool.sum(1), torch.ones(9))
    terms = f.locations(data.test.x).norm(dim=2)
    assert (terms.argmax(-1) == torch.arange(9)).float().mean() > 0.9
    elsewhere = kernel_map(
        model, data, replace(SPATIAL, n_groups=4, n_heads=4), "network", 0
    )  # not a head per place
    torch.testing.assert_close(elsewhere.pool, torch.full((4, 9), 1 / 9))


def test_whitening_evens_out_the_directions(tiny):
    model, data = tiny.table()
    f = moved(kernel_map(model, data, SHAPE, "network", 0))

    def moment():
        u = f(data.train.x).double()
        return torch.einsum("mgd,mge->gde", u, u) / len(u)

    before = moment()
    f.whiten(before, 1e-9)
    after = moment()
    traces = [m.diagonal(dim1=-2, dim2=-1).sum(-1) for m in (before, after)]
    torch.testing.assert_close(*traces, rtol=1e-4, atol=0)
    value = torch.linalg.eigvalsh(after)
    assert (
        value[:, -1] / value[:, 1]
        < torch.linalg.eigvalsh(before)[:, -1] / torch.linalg.eigvalsh(before)[:, 1]
    ).all()
    torch.testing.assert_close(value[:, -1], value[:, -2], rtol=1e-2, atol=0)


@pytest.mark.parametrize("cells", [(3, 3), (4, 7), (12, 12), (20, 5), (1, 1)])
def test_spread_keeps_the_sum_of_every_cell(cells):
    for values in (torch.eye(cells[0] * cells[1]).view(-1, *cells), torch.randn(5, *cells)):
        values = values.double()
        wide = spread(values, (12, 10))
        assert wide.shape[1:] == (12, 10)
        torch.testing.assert_close(wide.sum((1, 2)), values.sum((1, 2)), rtol=1e-12, atol=1e-12)


def test_spread_puts_a_cell_where_it_is():
    values = torch.zeros(1, 3, 3)
    values[0, 2, 0] = 1
    wide = spread(values, (12, 12))[0]
    assert (wide >= 0).all()
    assert wide[8:, :4].sum() > 0.6
    torch.testing.assert_close(spread(values, (3, 3)), values)


def test_the_trunk_starts_as_a_copy_or_with_new_weights(tiny):
    model, data = tiny.images()
    for trunk, same in (("network", True), ("reset", False)):
        f = kernel_map(model, data, SHAPE, trunk, seed=1)
        expected = model.trunk(data.test.x)
        assert torch.allclose(f.trunk(data.test.x), expected, rtol=1e-4, atol=1e-5) is same
        own = {parameter.data_ptr() for parameter in model.parameters()}
        assert not own & {parameter.data_ptr() for parameter in f.trunk.parameters()}
        assert all(parameter.requires_grad for parameter in f.trunk.parameters())
        assert not f.training


def test_batch_norm_of_a_new_trunk_is_measured_on_training_samples(tiny):
    model, data = tiny.images()
    f = kernel_map(model, data, SHAPE, "reset", seed=1)
    # the batch norm is in the convolution
    out = f.trunk.get_submodule("0")(data.train.x)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((0, 2, 3)), torch.ones(8), atol=1e-2, rtol=0)


def test_global_random_state_is_untouched_and_the_seed_decides(tiny):
    model, data = tiny.images()
    before = torch.get_rng_state()
    first, second, other = (
        kernel_map(model, data, SHAPE, "reset", seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["readout.weight"], other["readout.weight"])


def test_a_dead_embedding_is_zero_with_a_finite_gradient(tiny):
    model, data = tiny.table()
    f = kernel_map(model, data, SHAPE, "network", 0)
    nn.init.zeros_(f.readout.weight)
    nn.init.zeros_(f.readout.bias)
    u = f(data.test.x)
    assert (u == 0).all()
    u.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in f.parameters())


def test_what_cannot_be_a_trunk_is_refused(tiny):
    model, data = tiny.images()
    odd = tiny.Tiny(nn.Flatten(2), 288, 3)
    with pytest.raises(
        ValueError,
        match=r"Tiny.trunk must return \[batch, channel, height, width\] or .*, got shape",
    ):
        kernel_map(odd, data, SHAPE, "network", 0)
    del model.trunk
    with pytest.raises(ValueError, match="Tiny must have a module `trunk`"):
        kernel_map(model, data, SHAPE, "network", 0)
    with pytest.raises(ValueError, match="trunk 'resnet18' takes images, but 'toy' is a table"):
        kernel_map(*tiny.table(), SHAPE, "resnet18", 0)


def test_a_map_without_noise_says_so(tiny):
    model, data = tiny.table()
    f = kernel_map(model, data, SHAPE, "network", 0)
    with pytest.raises(ValueError, match="no observation noise of its own"):
        f.log_variance(f.pooled(data.test.x))


def test_a_quicker_trunk_is_the_same_function_with_the_same_gradient(unchecked):
    """Of a residual network whose batch norms are not the identity, against the layers as written."""
    from copy import deepcopy

    from gpex_bench.models.blocks.residual import resnet_trunk
    from gpex_bench.surrogates.gpex_fit.trunks import quicker

    draw = torch.Generator().manual_seed(0)
    layers = resnet_trunk(3, 4).eval()
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 2, generator=draw)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(generator=draw)

    quick = quicker(deepcopy(layers), is_image=True)
    modules = [type(module) for module in quick.modules()]
    assert nn.BatchNorm2d not in modules
    assert "stack" not in str(quick.graph)

    x = torch.randn(5, 3, 16, 16, generator=draw, requires_grad=True)
    expected, found = layers(x), quick(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    (of_expected,) = torch.autograd.grad(expected.square().sum(), x)
    (of_found,) = torch.autograd.grad(found.square().sum(), x)
    torch.testing.assert_close(of_found, of_expected, rtol=1e-3, atol=1e-3)


def test_embeddings_and_terms_in_one_pass_are_those_of_two(tiny):
    model, data = tiny.images()
    shape = Shape(n_groups=3, n_heads=3, dim=4, width=8, norm=1.0, slope=0.5)
    f = kernel_map(model, data, shape, "network", 0)
    u, terms = f.with_locations(data.test.x)
    assert torch.equal(u, f(data.test.x)) and torch.equal(terms, f.locations(data.test.x))
    torch.testing.assert_close(terms.sum(-1), u, rtol=1e-4, atol=1e-5)
