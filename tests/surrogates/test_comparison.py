"""Every statistic of agreement against another library or a formula written out.

Undefined cases; effective rank.
"""

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.metrics import r2_score, roc_auc_score, root_mean_squared_error

from gpex_bench.surrogates.agreement import statistics
from gpex_bench.surrogates.agreement.statistics import Outputs, of_classes, over_heads, per_head
from gpex_bench.surrogates.gp.effective_rank import centred, effective_rank

N, HEADS = 157, 4  # a number of items of which a tenth is no whole number


def outputs(seed=0, n=N):
    """Errors grow with the variance, and both have ties."""
    draw = np.random.default_rng(seed)
    network = draw.normal(0, [1, 3, 0.2, 8], (n, HEADS))
    variance = np.round(draw.uniform(0.1, 4, (n, HEADS)), 1)
    error = np.round(draw.normal(0, 0.3, (n, HEADS)) * np.sqrt(variance), 2)
    return Outputs(network, network + error, variance)


@pytest.mark.parametrize("head", range(HEADS))
def test_per_head_equals_other_libraries(head):
    found = outputs()
    table = {name: column[head] for name, column in per_head(found).items()}
    y, mu, var = found.network[:, head], found.mean[:, head], found.variance[:, head]
    error = np.abs(y - mu)
    assert table["pearson"] == pytest.approx(stats.pearsonr(y, mu).statistic, abs=1e-12)
    assert table["r2"] == pytest.approx(r2_score(y, mu), abs=1e-12)
    assert table["rmse_sd"] == pytest.approx(root_mean_squared_error(y, mu) / y.std(), abs=1e-12)
    sd = y.std()
    density = stats.norm.logpdf(y / sd, mu / sd, np.sqrt(var) / sd)
    assert table["nll"] == pytest.approx(-density.mean(), abs=1e-12)
    for level in (50, 90, 95):
        low, high = stats.norm.interval(level / 100, mu, np.sqrt(var))
        assert table[f"coverage_{level}"] == pytest.approx(((low <= y) & (y <= high)).mean())
    is_large = error >= np.sort(error)[-16]  # a tenth of 157, rounded up
    assert 16 <= is_large.sum() < 30
    assert table["auroc"] == pytest.approx(roc_auc_score(is_large, var), abs=1e-12)
    assert table["spearman"] == pytest.approx(
        stats.spearmanr(np.sqrt(var), error).statistic, abs=1e-12
    )


def test_a_variance_that_knows_the_errors_is_told_from_one_that_does_not():
    found = outputs()
    error = np.abs(found.mean - found.network)
    knowing = per_head(Outputs(found.network, found.mean, error**2 + 1e-9))
    assert knowing["auroc"] == pytest.approx(1) and knowing["spearman"] == pytest.approx(1)
    against = per_head(Outputs(found.network, found.mean, 1 / (error**2 + 1)))
    assert against["auroc"] == pytest.approx(0, abs=1e-12) and against["spearman"] == pytest.approx(
        -1, abs=1e-3
    )
    constant = per_head(Outputs(found.network, found.mean, np.full_like(error, 2.0)))
    assert (
        constant["auroc"].tolist() == [0.5] * HEADS and constant["spearman"].tolist() == [0] * HEADS
    )


def test_the_best_variance_has_the_least_nll_and_covers_what_it_says():
    draw = np.random.default_rng(5)
    network = draw.normal(0, 2, (40_000, 1))
    s2 = draw.uniform(0.01, 1, (40_000, 1))
    mean = network + draw.normal(0, 1, (40_000, 1)) * np.sqrt(s2)
    right, wide, narrow = (per_head(Outputs(network, mean, factor * s2)) for factor in (1, 2, 0.5))
    assert right["nll"] < min(wide["nll"], narrow["nll"])
    for level in (50, 90, 95):
        assert right[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.01)
        assert narrow[f"coverage_{level}"] < level / 100 - 0.02 < wide[f"coverage_{level}"] - 0.02


def test_units_of_the_outputs_do_not_matter():
    found = outputs()
    jitter = 1e-3 * np.random.default_rng(1).normal(
        size=found.mean.shape
    )  # ties may break when rounded otherwise
    found = Outputs(found.network, found.mean + jitter, found.variance)
    scaled = Outputs(5 + 7 * found.network, 5 + 7 * found.mean, 49 * found.variance)
    for name, column in per_head(found).items():
        np.testing.assert_allclose(per_head(scaled)[name], column, rtol=1e-9, err_msg=name)


def test_undefined_is_nan_and_stays_out_of_the_mean():
    found = outputs()
    network, mean, variance = (
        values.copy() for values in (found.network, found.mean, found.variance)
    )
    network[:, 0] = 3.0  # constant network
    mean[:, 1] = 1.0  # constant surrogate
    mean[:, 2] = network[:, 2]  # no error
    variance[:, 2] = 0.0
    table = per_head(Outputs(network, mean, variance))
    for name in ("pearson", "r2", "rmse_sd", "nll"):
        assert np.isnan(table[name][0]) and np.isfinite(table[name][1:]).all(), name
    assert table["pearson"][1] == 0 and table["r2"][1] <= 0
    assert np.isfinite(table["auroc"][[0, 1, 3]]).all()
    for name in ("auroc", "spearman"):
        assert np.isnan(table[name][2])
    overall = over_heads(Outputs(network, mean, variance), table)
    assert overall["mean_r2"] == pytest.approx(table["r2"][1:].mean())
    assert overall["weakest_pearson"] == pytest.approx(table["pearson"][1:].min())
    nothing = over_heads(
        found, {"pearson": np.full(HEADS, np.nan), "auroc": np.full(HEADS, np.nan)}
    )
    assert (
        np.isnan(nothing["mean_pearson"])
        and np.isnan(nothing["weakest_pearson"])
        and np.isnan(nothing["mean_auroc"])
    )


def test_a_wrong_answer_without_doubt_costs_much_but_not_infinitely():
    found = outputs()
    table = per_head(Outputs(found.network, found.mean, np.zeros_like(found.variance)))
    assert np.isfinite(table["nll"]).all() and (table["nll"] > 1e6).all()


def test_statistics_of_classes_equal_formulas_written_out():
    found = outputs(3)
    p, q = special.softmax(found.network, 1), special.softmax(found.mean, 1)
    table = of_classes(found)
    assert table["kl"] == pytest.approx(stats.entropy(p, q, axis=1).mean())
    top = -np.sort(-found.network, axis=1)
    near = np.argsort(top[:, 0] - top[:, 1])[:16]
    same = found.network[near].argmax(1) == found.mean[near].argmax(1)
    assert table["boundary_argmax_agreement"] == pytest.approx(same.mean())
    r2 = [r2_score(found.network[near, head], found.mean[near, head]) for head in range(HEADS)]
    assert table["boundary_r2"] == pytest.approx(np.mean(r2))
    overall = over_heads(found, per_head(found))
    assert overall["argmax_agreement"] == pytest.approx(
        (found.network.argmax(1) == found.mean.argmax(1)).mean()
    )
    assert (
        table["boundary_argmax_agreement"] < overall["argmax_agreement"]
    )  # what the boundary is for


@pytest.mark.parametrize("n", [2, 5, 10, 11])
def test_few_items_are_no_error(n):
    found = outputs(1, n)
    assert set(per_head(found)) >= {"auroc", "nll"}
    assert np.isfinite(of_classes(found)["kl"])
    assert statistics.large(np.abs(found.mean - found.network)).sum(0).min() >= 1


def test_effective_rank_counts_directions():
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(50, 6, generator=draw, dtype=torch.float64)
    line = u[:, :1] * torch.tensor([1.0, 2, 0, 0, 1, 0])
    alike = torch.eye(6, dtype=torch.float64)
    two = torch.diag(torch.tensor([3.0, 3, 0, 0, 0, 0], dtype=torch.float64))
    found = effective_rank(torch.stack([u.T @ u, line.T @ line, alike, two, 0 * alike]))
    eigenvalues = np.linalg.svd(u.numpy())[1] ** 2
    assert found[0].item() == pytest.approx(np.exp(stats.entropy(eigenvalues)))
    assert found[1:].tolist() == pytest.approx([1, 6, 2, 0], abs=1e-9)


def test_centring_takes_the_common_direction_away():
    u = torch.randn(30, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 20
    a = torch.einsum("mgd,mge->gde", u, u)
    expected = torch.einsum("mgd,mge->gde", u - u.mean(0), u - u.mean(0))
    torch.testing.assert_close(centred(a, u.mean(0), torch.tensor(30.0)), expected)
    assert (effective_rank(a) < 1.1).all() and (effective_rank(expected) > 3).all()


def test_a_weight_space_surrogate_knows_its_rank(tiny):
    from gpex_bench.surrogates.gp.conditioning import conditioned
    from gpex_bench.surrogates.gp.features import FeatureMap

    class Wide(FeatureMap):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model.embed(x)[:, None] + 3

        def grid(self, x):
            return None

    model, data = tiny.table()
    surrogate = conditioned(Wide(model), model, data)
    u = model.embed(data.train.x).double().numpy() + 3
    for is_centred, rows in ((False, u), (True, u - u.mean(0))):
        (found,) = surrogate.effective_rank(is_centred).tolist()
        assert found == pytest.approx(np.exp(stats.entropy(np.linalg.svd(rows)[1] ** 2)), rel=1e-4)
    assert surrogate.effective_rank(True).item() > surrogate.effective_rank().item()
