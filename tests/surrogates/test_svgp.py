"""The sparse variational process learns a smooth network and knows how well."""

import pytest
import torch

from gpex_bench.surrogates.agreement.compare import compare
from gpex_bench.surrogates.svgp import Svgp
from gpex_bench.types import Progress

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:FutureWarning"
)  # of gpytorch

SMALL = Svgp(n_inducing=24, dim=6, n_steps=300, n_mixed=1000)


@pytest.mark.slow
def test_it_recovers_a_smooth_network_with_intervals_that_cover(fitted):
    model, data, surrogate = fitted("table", SMALL)
    table = (
        compare(model, surrogate, data, seed=0, n_mixed=300)[0]
        .set_index(["split", "statistic"])
        .value
    )
    for split in ("test", "mixed"):
        assert table[split, "mean_r2"] > 0.95
        assert table[split, "coverage_90"].mean() > 0.85
    untrained = compare(
        model, Svgp(n_inducing=24, dim=6, n_steps=1).fit(model, data, 1, Progress()), data, 0, 300
    )[0]
    untrained = untrained.set_index(["split", "statistic"]).value
    assert table["mixed", "mean_r2"] > untrained["mixed", "mean_r2"] + 0.01


@pytest.mark.parametrize("objective", ["pll", "elbo"])
def test_training_raises_the_objective(objective, tiny):
    model, data = tiny.table()
    heard = tiny.Heard()
    Svgp(n_inducing=12, dim=4, n_steps=80, n_mixed=200, objective=objective).fit(
        model, data, 0, heard
    )
    losses = [float(line.split()[-1]) for line in heard.lines]
    assert len(losses) == 20 and losses[-1] < losses[0] - 0.1


def test_a_trained_trunk_is_its_own(fitted):
    recipe = Svgp(
        n_inducing=8, dim=4, n_steps=3, n_mixed=64, inducing="per_head", trunk_learning_rate=1e-3
    )
    model, _, surrogate = fitted("images", recipe)
    assert not torch.equal(surrogate.features.copy.trunk[0].weight, model.trunk[0].weight)
    assert surrogate.process.variational_strategy.inducing_points.shape == (3, 8, 4)
    frozen = fitted("images", Svgp(n_inducing=8, dim=4, n_steps=3, n_mixed=64))[2]
    assert (
        frozen.features.copy is None
        and frozen.process.variational_strategy.inducing_points.shape == (8, 4)
    )


def test_similarity_is_the_learned_kernel(fitted):
    _, data, surrogate = fitted("table", Svgp(n_inducing=8, dim=4, n_steps=3, n_mixed=64))
    found = surrogate.similarity(data.test.x[:3], torch.tensor([0, 1, 2]))
    kernel = surrogate.process.kernel(surrogate(data.test.x[:3]), surrogate.rows).to_dense()
    kernel = kernel / surrogate.process.kernel.outputscale[:, None, None]
    torch.testing.assert_close(found.double(), kernel[range(3), range(3)], rtol=1e-5, atol=1e-6)


def test_divergence_is_an_error_that_says_when(tiny):
    model, data = tiny.table()
    with pytest.raises((FloatingPointError, ValueError)):
        Svgp(learning_rate=1e300, n_steps=20).fit(model, data, 0, Progress())
