"""LIME and its vectorised twin on networks whose probabilities are linear."""

import sys

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from gpex_bench.contract import toys
from gpex_bench.masking.regions import regions

both = pytest.mark.parametrize("name", ["lime", "lime_fast"])

SHRINKAGE = 0.15  # ridge with the package's fixed strength pulls weights towards 0


def linear_probability(formula, weight):
    """Return a network of two heads whose first probability is exactly 0.5 + weight . x."""

    def logits(x):
        p = 0.5 + x.flatten(1) @ weight.flatten()
        return torch.stack([p, 1 - p], 1).clamp(min=1e-6).log()

    return formula(logits, 2)


@pytest.fixture
def columns(normal):
    return 0.005 * normal(6)


@both
def test_table_weights_are_found(formula, task, query, method, normal, columns, name):
    x, baseline = (
        normal(40, 6, seed=1) * torch.tensor([1.0, 2, 3, 1, 0.5, 1]),
        torch.full((6,), 0.3),
    )
    asked = task(linear_probability(formula, columns), x, baseline)
    values = method(name, budget=2000).explain(asked, query(x[:3])).values
    expected = columns * (x[:3] - baseline)
    torch.testing.assert_close(values, expected, rtol=0.02, atol=2e-5)


@both
def test_the_other_class_gets_the_opposite(formula, task, query, method, normal, columns, name):
    x = normal(40, 6, seed=1)
    asked = task(linear_probability(formula, columns), x)
    first, second = (method(name).explain(asked, query(x[:2], target)).values for target in (0, 1))
    torch.testing.assert_close(first, -second, atol=1e-7, rtol=1e-4)


@both
@pytest.mark.parametrize("segmentation, n", [("slic", 20), ("quickshift", 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_segments_get_the_drop_of_the_probability(
    formula, task, query, method, normal, channels, segmentation, n, name
):
    shape = (channels, 20, 20)
    weight, x, baseline = 3e-4 * normal(*shape), normal(2, *shape, seed=1), torch.full(shape, 0.2)
    asked = task(linear_probability(formula, weight), x, baseline)
    values = method(name, n_segments=n, segmentation=segmentation).explain(asked, query(x)).values
    cut = regions(x, segmentation, n)
    for row in range(2):
        segments = cut.index[row].numpy()
        n_segments = segments.max() + 1
        assert n_segments >= 8
        effect = (weight * (x[row] - baseline)).sum(0).numpy()
        found, expected = (
            np.bincount(segments.ravel(), weights=values.ravel())
            for values in (values[row].sum(0).double().numpy(), effect.astype(float))
        )
        assert spearmanr(found, expected).statistic > 0.99
        np.testing.assert_allclose(found, expected, atol=SHRINKAGE * np.abs(expected).max())
        for segment in range(n_segments):  # spread evenly over pixels and channels
            inside = values[row][:, torch.from_numpy(segments == segment)]
            assert float(inside.max() - inside.min()) == 0


@both
def test_more_samples_change_little(formula, task, query, method, normal, columns, name):
    x = normal(40, 6, seed=1)
    asked = task(formula(lambda x: torch.stack([x.square() @ columns * 20, 0 * x[:, 0]], 1), 2), x)
    few, many = (method(name, budget=n).explain(asked, query(x[:3])).values for n in (1000, 8000))
    assert float((few - many).norm() / many.norm()) < 0.1


@both
def test_draws_depend_on_seed_and_sample(formula, task, query, method, normal, columns, name):
    x = normal(40, 6, seed=1)
    model = formula(lambda x: torch.stack([x.square() @ columns * 20, 0 * x[:, 0]], 1), 2)
    values = {
        (seed, first): method(name, budget=50)
        .explain(task(model, x, seed=seed), query(x[:1], first=first))
        .values
        for seed in (1, 2)
        for first in (5, 6)
    }
    assert len({tuple(value.flatten().tolist()) for value in values.values()}) == 4


def test_nothing_is_printed(formula, task, query, method, normal, capfd):
    x = normal(1, 1, 20, 20)
    method("lime").explain(task(linear_probability(formula, x[0] * 0), x), query(x))
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def source(method):
    """The module of the vectorised twin."""
    return vars(sys.modules[type(method("lime_fast")).__module__])


def test_ridge_is_that_of_scikit_learn(source, normal):
    design, y, weight = (
        normal(3, 50, 6).double(),
        normal(3, 50, seed=1).double(),
        normal(3, 50, seed=2).double().exp(),
    )
    design[1, :, 4:] = 0  # padding
    slope, r2 = source["weighted_ridge"](design, y, weight, 1.0)
    for row in range(3):
        twin = Ridge(alpha=1.0).fit(
            design[row].numpy(), y[row].numpy(), sample_weight=weight[row].numpy()
        )
        np.testing.assert_allclose(slope[row].numpy(), twin.coef_, rtol=1e-9, atol=1e-12)
        score = twin.score(design[row].numpy(), y[row].numpy(), sample_weight=weight[row].numpy())
        assert float(r2[row]) == pytest.approx(score, rel=1e-9)
    assert slope[1, 4:].tolist() == [0, 0]
    assert source["weighted_ridge"](design, 0 * y + 3, weight, 1.0)[0].abs().max() < 1e-12


def test_with_the_masks_of_the_package_it_gives_its_weights(
    formula, task, query, method, normal, source, monkeypatch
):
    """Also with its kernel: the package's own masks, drawn by its generator, go into the twin."""
    x, weight = (
        torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)),
        normal(1, 20, 20),
    )
    asked = task(
        formula(
            lambda x: torch.stack([(x * weight).flatten(1).sum(1).sin(), 0 * x[:, 0, 0, 0]], 1), 2
        ),
        x,
    )
    packaged = method("lime", budget=300).explain(asked, query(x)).values

    def drawn(n_masks, n_regions, _generator):
        random = np.random.RandomState(asked.seeded(10))
        random.randint(0, high=1000)  # the package draws a seed for its segmentation first
        masks = random.randint(0, 2, n_masks * n_regions).reshape(n_masks, n_regions)
        masks[0] = 1
        return torch.from_numpy(masks == 1)

    monkeypatch.setitem(source, "coins", drawn)
    ours = method("lime_fast", budget=300).explain(asked, query(x)).values
    torch.testing.assert_close(ours, packaged, rtol=1e-3, atol=1e-7)


def test_with_the_draws_of_the_package_it_gives_its_table(
    formula, task, query, method, normal, source, monkeypatch, columns
):
    x = normal(30, 6, seed=1) * torch.tensor([1.0, 2, 3, 1, 0.5, 1])
    asked = task(formula(lambda x: torch.stack([x.square() @ columns * 20, 0 * x[:, 0]], 1), 2), x)
    packaged = method("lime", budget=300).explain(asked, query(x[:1])).values

    def drawn(self, generator, n_columns):
        noise = (
            np.random.RandomState(asked.seeded(10))
            .normal(0, 1, 300 * n_columns)
            .reshape(300, n_columns)
        )
        noise[0] = 0
        return torch.from_numpy(noise)

    monkeypatch.setattr(source["LimeFast"], "_noise", drawn)
    ours = method("lime_fast", budget=300).explain(asked, query(x[:1])).values
    torch.testing.assert_close(ours, packaged, rtol=1e-3, atol=1e-7)


def test_coins_are_fair_and_start_with_everything(source):
    masks = source["coins"](4000, 12, torch.Generator().manual_seed(0))
    assert bool(masks[0].all())
    assert float((masks.float().mean(0) - 0.5).abs().max()) < 0.04


def test_batches_may_mix_numbers_of_segments(formula, task, query, method, normal):
    x = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    x[1, :, :10] = 0.0
    weight = 3e-3 * normal(1, 20, 20)
    asked = task(linear_probability(formula, weight), x)
    explainer = method("lime_fast", segmentation="quickshift", n_segments=30)
    assert len(set(regions(x, "quickshift", 30).count.tolist())) == 2
    both_values = explainer.explain(asked, query(x)).values
    torch.testing.assert_close(
        explainer.explain(asked, query(x[1:], first=11)).values, both_values[1:]
    )


def test_the_packages_progress_bar_comes_back(method):
    """It is switched off for the calls of this method only."""
    from lime import lime_image

    bar = lime_image.tqdm
    *_, (_, asked, wanted) = toys.tasks(toys.Smooth)
    method("lime", budget=80).explain(asked, wanted)
    assert lime_image.tqdm is bar
