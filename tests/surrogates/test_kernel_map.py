"""The kernel map: its terms sum to the embedding, its maps keep their sums, and it starts where the network is."""

import pytest
import torch
from torch import nn

from gpex_bench.surrogates.features import spread
from gpex_bench.surrogates.kernel_map import Sizes, kernel_map

SIZES = Sizes(n_heads=3, dim=5, width=16, norm=1.0)


def moved(f):
    """Positions start at zero; move them, so that a location matters."""
    draw = torch.Generator().manual_seed(5)
    for parameter in f.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    return f


@pytest.mark.parametrize("name", ["table", "images"])
def test_terms_sum_to_the_embedding(name, tiny):
    model, data = tiny.PROBLEMS[name]()
    f = moved(kernel_map(model, data, SIZES, "network", 0))
    terms = f.locations(data.test.x)
    assert terms.shape == (40, 3, 5, 9 if name == "images" else 1)
    torch.testing.assert_close(terms.sum(-1), f(data.test.x), rtol=1e-5, atol=1e-6)


def test_embeddings_have_unit_norm_before_the_leaky_relu(tiny):
    model, data = tiny.table()
    u = kernel_map(model, data, SIZES, "network", 0)(data.test.x)
    undone = torch.where(u < 0, u / 0.01, u)
    torch.testing.assert_close(undone.norm(dim=-1), torch.ones(40, 3))


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
    for init, same in (("network", True), ("random", False)):
        f = kernel_map(model, data, SIZES, init, seed=1)
        assert torch.equal(f.trunk[0].weight, model.trunk[0].weight) is same
        assert f.trunk[0].weight.data_ptr() != model.trunk[0].weight.data_ptr()
        assert all(parameter.requires_grad for parameter in f.parameters())
        assert not f.training


def test_global_random_state_is_untouched_and_the_seed_decides(tiny):
    model, data = tiny.images()
    before = torch.get_rng_state()
    first, second, other = (kernel_map(model, data, SIZES, "random", seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["readout.weight"], other["readout.weight"])


def test_a_dead_embedding_is_zero_with_a_finite_gradient(tiny):
    model, data = tiny.table()
    f = kernel_map(model, data, SIZES, "network", 0)
    nn.init.zeros_(f.readout.weight)
    nn.init.zeros_(f.readout.bias)
    u = f(data.test.x)
    assert (u == 0).all()
    u.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in f.parameters())


def test_a_network_without_a_fitting_trunk_is_refused(tiny):
    model, data = tiny.images()
    flat = tiny.Tiny(nn.Flatten(), 288, 3)
    with pytest.raises(ValueError, match=r"Tiny.trunk must return \[batch, channel, height, width\], got shape"):
        kernel_map(flat, data, SIZES, "network", 0)
    del model.trunk
    with pytest.raises(ValueError, match="Tiny must have a module `trunk`"):
        kernel_map(model, data, SIZES, "network", 0)
