"""Agreement statistics against scikit-learn and SciPy, and on surrogates with known answers."""

import numpy as np
import pytest
import torch
from scipy.stats import norm, pearsonr
from sklearn.metrics import r2_score, root_mean_squared_error
from torch import nn

from gpex_bench.surrogates.agreement import Z90, agreement, predictions
from gpex_bench.types import Posterior, Surrogate


class Known(Surrogate):
    """The network's own outputs plus a fixed error, with a given variance."""

    def __init__(self, model, error=0.0, variance=1.0):
        super().__init__()
        self.model, self.error, self.variance = model, error, variance

    def posterior(self, x):
        y = self.model(x)
        return Posterior(mean=y + self.error * torch.sin(50 * x[:, :1]), variance=torch.full_like(y, self.variance))

    def similarity(self, x, target): ...

    def contribution(self, x, target): ...

    def offset(self, target): ...


def value(frame, split, head, statistic):
    return frame[(frame.split == split) & (frame["head"] == head) & (frame.statistic == statistic)].value.item()


def test_statistics_equal_other_libraries(tiny):
    model, data = tiny.table()
    surrogate = Known(model, 0.2, 0.04)
    frame = agreement(model, surrogate, data, seed=0, n_mixed=100)
    points = predictions(model, surrogate, data, seed=0, n_mixed=100)
    assert list(frame.columns) == ["split", "head", "statistic", "value"]
    assert list(points.columns) == ["split", "sample", "head", "network", "mean", "variance"]
    for (split, head), part in points.groupby(["split", "head"]):
        y, mu = part.network.to_numpy(), part["mean"].to_numpy()
        assert value(frame, split, head, "pearson") == pytest.approx(pearsonr(y, mu).statistic, abs=1e-10)
        assert value(frame, split, head, "r2") == pytest.approx(r2_score(y, mu), abs=1e-10)
        rmse = root_mean_squared_error(y, mu) / y.std()
        assert value(frame, split, head, "rmse_sd") == pytest.approx(rmse, abs=1e-10)
        inside = np.abs(y - mu) <= norm.ppf(0.95) * 0.2
        assert value(frame, split, head, "coverage_90") == pytest.approx(inside.mean(), abs=1e-6)
    for split, part in points.groupby("split"):
        network = part.pivot(index="sample", columns="head", values="network").to_numpy()
        mean = part.pivot(index="sample", columns="head", values="mean").to_numpy()
        same = (network.argmax(1) == mean.argmax(1)).mean()
        assert value(frame, split, "all", "argmax_agreement") == pytest.approx(same)
        heads = [value(frame, split, head, "r2") for head in data.classes]
        assert value(frame, split, "all", "weakest_r2") == pytest.approx(min(heads))
        assert value(frame, split, "all", "mean_r2") == pytest.approx(np.mean(heads))
    assert norm.ppf(0.95) == pytest.approx(Z90)


def test_a_perfect_surrogate_is_perfect(tiny):
    model, data = tiny.table()
    frame = agreement(model, Known(model, 0.0, 0.0), data, seed=0, n_mixed=50)
    for statistic, best in (("pearson", 1), ("r2", 1), ("rmse_sd", 0), ("coverage_90", 1), ("argmax_agreement", 1)):
        assert frame[frame.statistic == statistic].value.to_numpy() == pytest.approx(best)
    accuracy = (model(data.test.x).argmax(1) == data.test.y).float().mean().item()
    assert value(frame, "test", "all", "accuracy_network") == pytest.approx(accuracy)
    assert value(frame, "test", "all", "accuracy_surrogate") == pytest.approx(accuracy)
    assert not (frame[frame.split == "mixed"].statistic.str.startswith("accuracy")).any()


def test_a_constant_head_is_undefined_and_does_not_spoil_the_mean(tiny):
    model, data = tiny.table()
    model.head.weight[0] = 0
    frame = agreement(model, Known(model, 0.1, 1.0), data, seed=0, n_mixed=50)
    for statistic in ("pearson", "r2", "rmse_sd"):
        assert np.isnan(value(frame, "test", "a", statistic))
    assert value(frame, "test", "a", "coverage_90") == 1
    assert value(frame, "test", "all", "mean_pearson") > 0.5


class Deaf(Known):
    """Gives the same answer whatever it is asked, but for the rounding of float32 on some rows."""

    def __init__(self, model, rounding=0.0):
        super().__init__(model)
        self.rounding = rounding

    def posterior(self, x):
        y = torch.full_like(self.model(x), 3.7)
        y[::3] *= 1 + self.rounding
        return Posterior(mean=y, variance=torch.ones_like(y))


@pytest.mark.parametrize("rounding", [0.0, 1.2e-7])
def test_a_constant_surrogate_of_a_network_that_varies_follows_nothing(tiny, rounding):
    model, data = tiny.table()
    model.head.weight[0] = 0
    frame = agreement(model, Deaf(model, rounding), data, seed=0, n_mixed=50)
    for split in ("test", "mixed"):
        assert np.isnan(value(frame, split, "a", "pearson"))
        for head in data.classes[1:]:
            assert value(frame, split, head, "pearson") == 0
            assert value(frame, split, head, "r2") < 0
        assert value(frame, split, "all", "mean_pearson") == value(frame, split, "all", "weakest_pearson") == 0


def test_the_seed_decides_the_mixtures_and_samples_keep_their_ids(tiny):
    model, data = tiny.table()
    surrogate = Known(model, 0.1, 1.0)
    first, again, other = (predictions(model, surrogate, data, seed, n_mixed=20) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    assert set(first[first.split == "test"]["sample"]) == set(data.test.sample.tolist())
    assert len(first) == 3 * (40 + 20)


def test_heads_that_are_no_classes_have_numbers_and_no_accuracy(tiny):
    model, data = tiny.table()
    model.head = nn.Linear(32, 5)
    with torch.no_grad():
        frame = agreement(model, Known(model), data, seed=0, n_mixed=20)
    assert set(frame["head"]) == {"0", "1", "2", "3", "4", "all"}
    assert "accuracy_network" not in set(frame.statistic)


def test_a_surrogate_of_another_network_is_refused(tiny):
    model, data = tiny.table()
    other = tiny.table()[0]
    other.head = nn.Linear(32, 5)
    with pytest.raises(ValueError, match=r"The network has outputs \(40, 3\), the surrogate \(40, 5\)"):
        agreement(model, Known(other), data, seed=0)
