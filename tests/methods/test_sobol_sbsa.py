"""Sobol-SBSA on images whose regions act alone or together."""

import sys

import pytest
import torch
from skimage.measure import label

from gpex_bench.contract.cost import counted

GRID = {"regions": "grid", "n_regions": 9}


def cells(x):
    """Mean of each of 3 x 3 cells of a 12 x 12 image [row, 9]."""
    return x[:, 0].unflatten(1, (3, 4)).unflatten(3, (3, 4)).mean((2, 4)).flatten(1)


@pytest.fixture
def found(formula, task, query, method):
    """The indices of each cell for a logit of the cells' means, all of which go from 0 to 1."""

    def run(logit, **settings):
        x = torch.ones(2, 1, 12, 12)
        asked = task(formula(lambda x: logit(cells(x))[:, None], 1), x)
        values = (
            method("sobol_sbsa", **GRID, budget=1024 * 11, **settings)
            .explain(asked, query(x))
            .values
        )
        return 16 * cells(values)

    return run


@pytest.mark.parametrize("mask", ["continuous", "binary"])
def test_regions_that_act_alone_have_no_interactions(found, mask):
    weight = torch.arange(9.0)
    expected = (weight**2 / (weight**2).sum()).expand(2, 9)
    for order, wanted in (
        ("first", expected),
        ("total", expected),
        ("interaction", torch.zeros(2, 9)),
    ):
        shares = found(lambda c: c @ weight, mask=mask, order=order)
        torch.testing.assert_close(shares, wanted, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    "mask, first, total", [("continuous", 3 / 7, 4 / 7), ("binary", 1 / 3, 2 / 3)]
)
def test_regions_that_act_together_have_a_known_share(found, mask, first, total):
    for order, share in (("first", first), ("total", total), ("interaction", total - first)):
        shares = found(lambda c: c[:, 0] * c[:, 4], mask=mask, order=order)
        expected = torch.zeros(2, 9)
        expected[:, [0, 4]] = share
        torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_pairs_and_intervals(formula, task, query, method):
    x = torch.ones(2, 1, 12, 12)
    model = formula(lambda x: (cells(x)[:, 0] * cells(x)[:, 4] + cells(x)[:, 8])[:, None], 1)
    explainer = method("sobol_sbsa", **GRID, budget=256 * 20)
    cut, all_orders = explainer.decompose(task(model, x), query(x))
    assert cut.count.tolist() == [9, 9]
    strongest = all_orders.second[0].flatten().argmax()
    assert divmod(int(strongest), 9) == (0, 4)
    exact = torch.zeros(9, 9).double()
    exact[0, 4] = 1 / (3 + 3 + 1 + 12)  # variances in units of 1 / 144
    off, half = (all_orders.second - exact).abs(), all_orders.halves[2]
    assert float((off[half > 0] <= 1.5 * half[half > 0]).double().mean()) > 0.9
    _, one = explainer.decompose(task(model, x), query(x), has_pairs=False)
    assert one.second is None and one.halves[2] is None


def test_superpixels_are_merged_along_colour_into_connected_regions(method):
    image = torch.zeros(1, 3, 24, 24)
    image[:, 0, :10, :10] = 1  # two objects of different colours on a background
    image[:, 1, 14:, 14:] = 1
    cut = method("sobol_sbsa", n_regions=3).cut(image)
    assert cut.count.tolist() == [3]
    index = cut.index[0].numpy()
    assert len(set(index[1:9, 1:9].ravel())) == 1 and len(set(index[16:, 16:].ravel())) == 1
    assert index[5, 5] != index[20, 20] != index[5, 20] != index[5, 5]
    torch.manual_seed(0)
    noise = torch.rand(4, 3, 32, 32)
    for n_regions in (1, 2, 7, 12):
        for index in method("sobol_sbsa", n_regions=n_regions).cut(noise).index.numpy():
            assert sorted(set(index.ravel())) == list(range(n_regions))
            assert all(
                label(index == region, connectivity=1).max() == 1 for region in range(n_regions)
            )


def test_a_sample_does_not_depend_on_the_regions_of_others(
    formula, task, query, method, monkeypatch
):
    x = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    model = formula(lambda x: cells(x).square().sum(1, keepdim=True), 1)
    explainer = method("sobol_sbsa", n_regions=4, budget=200)
    source = vars(sys.modules[type(explainer).__module__])
    full = source["merged"]
    monkeypatch.setitem(
        source, "merged", lambda image, n: full(image, 2 if image[0, 0, 0] == x[0, 0, 0, 0] else n)
    )
    both = explainer.explain(task(model, x), query(x)).values
    alone = explainer.explain(task(model, x), query(x[:1])).values
    torch.testing.assert_close(both[:1], alone)
    assert len(both[0].unique()) == 2


def test_one_region_has_all_and_constants_have_nothing(formula, task, query, method):
    x = torch.ones(1, 1, 12, 12)
    one = method("sobol_sbsa", n_regions=1, budget=3 * 1024)
    values = one.explain(task(formula(lambda x: cells(x)[:, :1], 1), x), query(x)).values
    assert float(values.sum()) == pytest.approx(1, abs=0.02)
    assert len(values.unique()) == 1
    constant = formula(lambda x: 1 + 0 * cells(x)[:, :1], 1)
    for name in ("sobol_sbsa", "sobol", "hsic"):
        assert not method(name).explain(task(constant, x), query(x)).values.any(), name


def test_cost_and_seeds(formula, task, query, method):
    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    model = formula(lambda x: cells(x).sin().prod(1, keepdim=True), 1)
    with counted(model) as cost:
        method("sobol_sbsa").explain(task(model, x), query(x))
    assert (cost.forward, cost.backward) == (128 * 11, 0)
    explainer = method("sobol_sbsa", **GRID)
    values = {
        tuple(
            explainer.explain(task(model, x, seed=seed), query(x, first=first))
            .values.flatten()
            .tolist()
        )
        for seed in (1, 2)
        for first in (5, 6)
    }
    assert len(values) == 4


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"n_regions": 13}, "n_regions must be at most 12, got 13; use sobol"),
        ({"n_regions": 0}, "n_regions must be at least 1, got 0"),
        ({"order": "second"}, "order must be one of 'total', 'first', 'interaction', got 'second'"),
        ({"mask": "soft"}, "mask must be one of 'continuous', 'binary', got 'soft'"),
        ({"regions": "slic"}, "regions must be one of 'grid', 'superpixels', got 'slic'"),
        ({"fill": "noise"}, "fill must be one of baseline"),
    ],
)
def test_impossible_settings_are_refused(method, settings, message):
    with pytest.raises(ValueError, match=message):
        method("sobol_sbsa", **settings)


def test_a_budget_too_small_says_what_is_needed(formula, task, query, method):
    x = torch.ones(1, 1, 12, 12)
    with pytest.raises(
        ValueError, match="budget must be at least 88 rows for 9 factors, got 87; raise it"
    ):
        method("sobol_sbsa", **GRID, budget=87).explain(
            task(formula(lambda x: cells(x), 9), x), query(x)
        )
    with pytest.raises(
        ValueError, match="grid must be between 1 and the image's shorter side, got 3"
    ):
        small = torch.ones(1, 1, 2, 2)
        method("sobol_sbsa", **GRID).explain(
            task(formula(lambda x: x.flatten(1), 4), small), query(small)
        )
