"""LIME on networks whose probabilities are linear, where the regression must find the weights."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

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


def test_table_weights_are_found(formula, task, query, method, normal, columns):
    x, baseline = normal(40, 6, seed=1) * torch.tensor([1.0, 2, 3, 1, 0.5, 1]), torch.full((6,), 0.3)
    asked = task(linear_probability(formula, columns), x, baseline)
    values = method("lime", n_samples=2000).explain(asked, query(x[:3])).values
    expected = columns * (x[:3] - baseline)
    torch.testing.assert_close(values, expected, rtol=0.02, atol=2e-5)


def test_the_other_class_gets_the_opposite(formula, task, query, method, normal, columns):
    x = normal(40, 6, seed=1)
    asked = task(linear_probability(formula, columns), x)
    first, second = (method("lime").explain(asked, query(x[:2], target)).values for target in (0, 1))
    torch.testing.assert_close(first, -second, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_image_segments_get_the_drop_of_the_probability(formula, task, query, method, normal, channels):
    shape = (channels, 20, 20)
    weight, x, baseline = 3e-4 * normal(*shape), normal(2, *shape, seed=1), torch.full(shape, 0.2)
    asked = task(linear_probability(formula, weight), x, baseline)
    explainer = method("lime", n_segments=20)
    values = explainer.explain(asked, query(x)).values
    for row in range(2):
        segments = explainer._segments(x[row].double().numpy())
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


def test_more_samples_change_little(formula, task, query, method, normal, columns):
    x = normal(40, 6, seed=1)
    asked = task(formula(lambda x: torch.stack([x.square() @ columns * 20, 0 * x[:, 0]], 1), 2), x)
    few, many = (method("lime", n_samples=n).explain(asked, query(x[:3])).values for n in (1000, 8000))
    assert float((few - many).norm() / many.norm()) < 0.1


def test_draws_depend_on_seed_and_sample(formula, task, query, method, normal, columns):
    x = normal(40, 6, seed=1)
    model = formula(lambda x: torch.stack([x.square() @ columns * 20, 0 * x[:, 0]], 1), 2)
    values = {
        (seed, first): method("lime", n_samples=50).explain(task(model, x, seed=seed), query(x[:1], first=first)).values
        for seed in (1, 2)
        for first in (5, 6)
    }
    assert len({tuple(value.flatten().tolist()) for value in values.values()}) == 4


def test_too_few_segments_are_refused(formula, task, query, method, normal):
    x = normal(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"at least 8 segments and SLIC found \d .*raise n_segments \(8\)"):
        method("lime", n_segments=8).explain(task(linear_probability(formula, x[0] * 0), x), query(x))


def test_nothing_is_printed(formula, task, query, method, normal, capfd):
    x = normal(1, 1, 20, 20)
    method("lime").explain(task(linear_probability(formula, x[0] * 0), x), query(x))
    assert capfd.readouterr() == ("", "")
