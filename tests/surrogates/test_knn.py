"""Nearest neighbours: scikit-learn's means, and variances by hand."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsRegressor

from gpex_bench.surrogates.gp import nearest
from gpex_bench.surrogates.knn import Knn
from gpex_bench.types import Progress


@pytest.mark.parametrize("name", ["table", "images", "attention"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_means_are_those_of_scikit_learn(weights, metric, name, fitted):
    model, data, surrogate = fitted(name, Knn(k=4, weights=weights, metric=metric))
    rows, query = (surrogate(x).double() for x in (data.train.x, data.test.x))
    if metric == "cosine":
        rows, query = (torch.nn.functional.normalize(part, dim=1) for part in (rows, query))
    twin = KNeighborsRegressor(4, weights=weights).fit(
        rows.numpy(), model.explained(data.train.x).double().numpy()
    )
    np.testing.assert_allclose(
        surrogate.posterior(data.test.x).mean.numpy(),
        twin.predict(query.numpy()),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_variance_is_that_of_one_more_output(fitted):
    model, data, surrogate = fitted("table", Knn(k=6, weights="uniform"))
    nearest = surrogate.neighbours(data.test.x, torch.zeros(40, dtype=torch.long), 6).index
    y = model.explained(data.train.x)[nearest]
    torch.testing.assert_close(
        surrogate.posterior(data.test.x).variance, y.var(1, correction=1) * (1 + 1 / 6)
    )


def test_a_training_sample_has_its_own_output(fitted):
    model, data, surrogate = fitted("table", Knn(k=6))
    found = surrogate.posterior(data.train.x)
    torch.testing.assert_close(found.mean, model.explained(data.train.x))
    assert (found.variance == 0).all()


def test_more_neighbours_than_samples_are_all(tiny):
    model, data = tiny.table()
    surrogate = Knn(k=1000, weights="uniform").fit(model, data, 0, Progress())
    mean = model.explained(data.train.x).mean(0)
    torch.testing.assert_close(surrogate.posterior(data.test.x).mean, mean.expand(40, -1))


def test_blocks_of_rows_do_not_matter(fitted, monkeypatch):
    _, data, surrogate = fitted("table", Knn(k=4))
    target = torch.zeros(40, dtype=torch.long)

    def answers():
        found = surrogate.posterior(data.test.x)
        return found.mean, found.variance, surrogate.similarity(data.test.x, target)

    whole = answers()
    monkeypatch.setattr(nearest, "BLOCK", 7)
    for a, b in zip(whole, answers(), strict=True):
        torch.testing.assert_close(a, b)


def test_only_neighbours_contribute(fitted):
    _, data, surrogate = fitted("table", Knn(k=4))
    shares = surrogate.contribution(data.test.x[:5], torch.tensor([0, 1, 2, 0, 1]))
    assert ((shares != 0).sum(1) == 4).all()
