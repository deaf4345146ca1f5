"""Intervals of every surrogate are calibrated alike, on training samples that it does without."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpex_bench.surrogates import svgp as svgp_module
from gpex_bench.surrogates.agreement.calibration import (
    factor,
    interval_factor,
    restored,
    with_factor,
)
from gpex_bench.surrogates.agreement.compare import compare
from gpex_bench.surrogates.arc_cosine import ArcCosine
from gpex_bench.surrogates.exact_gp import ExactGp
from gpex_bench.surrogates.gp.conditioning import conditioned
from gpex_bench.surrogates.gpex import Gpex
from gpex_bench.surrogates.gpex_fit import matching
from gpex_bench.surrogates.knn import Knn
from gpex_bench.surrogates.laplace import Laplace
from gpex_bench.surrogates.last_layer import LastLayer
from gpex_bench.surrogates.nystrom import Nystrom
from gpex_bench.surrogates.svgp import Svgp
from gpex_bench.types import Posterior, Progress, Recipe, Surrogate

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
CHEAP = {
    "last_layer": LastLayer(),
    "nystrom": Nystrom(n_landmarks=20),
    "arc_cosine": ArcCosine(dim=20),
    "exact_gp": ExactGp(n_points=60, n_tuned=30, n_steps=5),
    "knn": Knn(k=5),
    "gpex": Gpex(n_steps=15, dim=5, width=16),
}


def without_rows(data, index):
    kept = np.setdiff1d(np.arange(len(data.train.x)), index)
    train = replace(
        data.train, x=data.train.x[kept], y=data.train.y[kept], sample=data.train.sample[kept]
    )
    return replace(data, train=train)


class Wrong(Surrogate):
    """Gives the network's outputs and a fixed error, with a variance that is too small."""

    def __init__(self, model, error, sd):
        super().__init__()
        self.model, self.error, self.sd = model, error, sd

    def posterior(self, x):
        y = self.model(x)
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(len(x)))
        return Posterior(mean=y + self.error * noise, variance=torch.full_like(y, self.sd**2))

    def offset(self, target):
        return torch.zeros(len(target))


class Refitted(Recipe):
    """A recipe whose surrogates cannot do without samples: it is fitted again."""

    fits = []

    def fit(self, model, data, seed, progress):
        self.fits.append(data.train.sample.tolist())
        return Wrong(model, 1.0, 0.1)

    def restore(self, model, data, state):
        raise NotImplementedError


def test_the_factor_by_hand():
    ratios = torch.arange(1, 20, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0])
    # 19 items: the 18th smallest of them, since 0.9 * 20 = 18
    expected = (torch.tensor([18.0, 36.0]).double() / 1.6448536269514722) ** 2
    torch.testing.assert_close(factor(ratios.double()), expected)
    few = torch.tensor([[1.0], [3.0], [2.0]]).double()
    assert factor(few).item() == pytest.approx((3 / 1.6448536269514722) ** 2)
    never = torch.full((20, 1), math.inf).double()
    assert factor(never).isnan().all()


def test_the_factor_covers_what_it_says():
    draw = np.random.default_rng(0)
    calibration, other = draw.standard_t(3, size=(2, 400, 500))
    found = factor(torch.from_numpy(np.abs(calibration))).numpy()
    inside = np.abs(other) <= 1.6448536 * np.sqrt(found)
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    narrow = np.abs(other) <= 1.6448536
    assert narrow.mean() < 0.85


def test_coverage_before_and_after_by_hand(tiny):
    model, data = tiny.table()
    surrogate = Wrong(model, 1.0, 0.1)
    surrogate.interval_factor = torch.tensor([100.0, 25.0, 1.0]).double()
    table, predictions = compare(model, surrogate, data, seed=0, n_mixed=50)
    numbers = table.set_index(["split", "head", "statistic"])["value"]
    for place, head in enumerate(data.classes):
        here = predictions.query(f"split == 'test' and head == '{head}'")
        error = (here["mean"] - here["network"]).abs()
        for name, scale in (("", 1.0), ("calibrated_", (100.0, 25.0, 1.0)[place])):
            inside = (error <= 1.6448536 * 0.1 * scale**0.5).mean()
            assert numbers["test", head, f"{name}coverage_90"] == pytest.approx(inside)
    assert numbers["test", "all", "mean_calibrated_coverage_90"] > 0.3
    ratio = predictions["calibrated_variance"] / predictions["variance"]
    assert sorted(ratio.round(3).unique()) == [1, 25, 100]


@pytest.mark.parametrize("name", CHEAP)
def test_a_calibrated_surrogate_covers_other_samples(name, fitted):
    model, data, surrogate = fitted("table", CHEAP[name])
    found = interval_factor(CHEAP[name], surrogate, model, data, 1)
    assert found.shape == (3,) and found.dtype == torch.float64 and (found > 0).all()

    surrogate.interval_factor = found
    x = data.test.x
    raw, calibrated = surrogate.posterior(x), surrogate.calibrated(x)
    surrogate.interval_factor = None
    torch.testing.assert_close(calibrated.variance, raw.variance * found.float())
    assert torch.equal(calibrated.mean, raw.mean)
    inside = (raw.mean - model(x)).abs() <= 1.6449 * calibrated.variance.sqrt()
    assert inside.double().mean() > 0.75  # twelve samples and twelve mixtures give a rough factor


@pytest.mark.parametrize("name", CHEAP)
def test_the_factor_depends_on_training_samples_alone(name, fitted):
    model, data, surrogate = fitted("table", CHEAP[name])
    found = interval_factor(CHEAP[name], surrogate, model, data, 1)
    hidden = replace(data, test=replace(data.test, x=torch.full_like(data.test.x, math.nan)))
    assert torch.equal(found, interval_factor(CHEAP[name], surrogate, model, hidden, 1))

    index = CHEAP[name].calibration_samples(len(data.train.x), 1)
    x = data.train.x.clone()
    x[index[0]] += 30  # the factor does see the samples that were held out
    other = replace(data, train=replace(data.train, x=x))
    assert not torch.equal(found, interval_factor(CHEAP[name], surrogate, model, other, 1))


@pytest.mark.parametrize("groups", ["shared", "per head"])
def test_doing_without_samples_is_conditioning_on_the_others(groups, fitted):
    model, data, surrogate = fitted("table", LastLayer() if groups == "shared" else CHEAP["gpex"])
    index = torch.tensor([3, 77, 10])
    rest = torch.from_numpy(np.setdiff1d(np.arange(len(data.train.x)), index))
    units = (surrogate.offsets, surrogate.scale)
    twin = conditioned(surrogate.features, model, data, surrogate.noise, index=rest, units=units)
    expected, found = twin.posterior(data.test.x), surrogate.without(index).posterior(data.test.x)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.variance, expected.variance, rtol=1e-4, atol=1e-9)
    assert len(surrogate.rows) == len(data.train.x)  # the surrogate itself stays
    assert not torch.equal(found.mean, surrogate.posterior(data.test.x).mean)


def test_neighbours_without_samples_are_those_of_the_others(fitted):
    model, data, surrogate = fitted("table", Knn(k=5))
    index = torch.arange(0, 60, 3)
    twin = Knn(k=5).fit(model, without_rows(data, index.numpy()), 1, Progress())
    assert torch.equal(
        surrogate.without(index).posterior(data.test.x).mean, twin.posterior(data.test.x).mean
    )


def test_an_exact_process_without_points_is_the_textbook_one(fitted):
    model, data, surrogate = fitted("table", CHEAP["exact_gp"])
    gone = surrogate.index[:7]
    found = surrogate.without(gone).posterior(data.test.x).mean

    points, targets = surrogate.points[7:], surrogate.targets[:, 7:]
    noise = surrogate.process.likelihood.noise[..., None]
    gram = surrogate._kernel(points, points) + noise * torch.eye(len(points)).double()
    cross = surrogate._kernel(surrogate(data.test.x), points)
    mean = (cross @ torch.linalg.solve(gram, targets[..., None]))[..., 0]
    expected = surrogate.offsets + surrogate.scale * mean.T
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


def test_a_recipe_that_cannot_do_without_is_fitted_again(tiny):
    model, data = tiny.table()
    recipe = Refitted()
    surrogate = recipe.fit(model, data, 0, Progress())
    found = interval_factor(recipe, surrogate, model, data, 0)
    first, second = recipe.fits[-2:]
    gone = data.train.sample[recipe.calibration_samples(120, 0)].tolist()
    assert sorted(set(first) - set(second)) == sorted(gone) and len(gone) == 12
    assert (found > 20).all()  # errors of 1 and a standard deviation of 0.1


@pytest.mark.parametrize("recipe", [Gpex(n_steps=3, dim=5), Svgp(n_steps=2, n_mixed=50)])
def test_a_training_does_not_see_the_samples_of_the_calibration(recipe, tiny, monkeypatch):
    model, data = tiny.table()
    module = matching if isinstance(recipe, Gpex) else svgp_module
    seen, mixed = [], module.mixed

    def spy(x, *rest):
        seen.append(x)
        return mixed(x, *rest)

    monkeypatch.setattr(module, "mixed", spy)
    recipe.fit(model, data, 4, Progress())
    held = data.train.x[recipe.calibration_samples(len(data.train.x), 4)]
    assert len(held) == 12 and seen
    for x in seen:
        is_same = (x[:, None] == held).all(-1)
        assert len(x) == 108 and not is_same.any()


def test_a_variance_of_something_else_is_not_calibrated(tiny):
    model, data = tiny.table()
    recipe = Laplace(prior_steps=2)
    surrogate = recipe.fit(model, data, 0, Progress())
    assert surrogate.no_intervals
    assert interval_factor(recipe, surrogate, model, data, 0) is None
    table, predictions = compare(model, surrogate, data, seed=0, n_mixed=50)
    of_variance = table["statistic"].str.contains("coverage|nll|auroc|spearman")
    assert table.loc[of_variance, "value"].isna().all() and of_variance.sum() > 30
    assert predictions["calibrated_variance"].isna().all()
    assert table.query("statistic == 'mean_r2'")["value"].notna().all()


def test_the_factor_is_kept_beside_the_state(fitted):
    recipe = CHEAP["knn"]
    model, data, surrogate = fitted("table", recipe)
    found = interval_factor(recipe, surrogate, model, data, 1)
    kept = with_factor(surrogate.state_dict(), found)
    again = restored(recipe, model, data, kept)
    assert torch.equal(again.interval_factor, found)
    assert restored(recipe, model, data, surrogate.state_dict()).interval_factor is None
