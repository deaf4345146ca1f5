"""gpytorch's exact process is the textbook's, on a subset."""

import pytest
import torch

from gpex_bench.surrogates.exact_gp import ExactGp
from gpex_bench.types import Progress

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:FutureWarning"
)  # of gpytorch


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_it_is_the_dense_formula(kernel, fitted):
    _, data, surrogate = fitted(
        "table", ExactGp(n_points=60, n_tuned=40, n_steps=10, kernel=kernel)
    )
    z, points, v = surrogate(data.test.x), surrogate.points, surrogate.targets
    found = surrogate.posterior(data.test.x)
    gp = surrogate.process
    for head in range(3):
        noise = gp.likelihood.noise[head]
        if kernel == "rbf":
            length, amplitude = (
                gp.kernel.base_kernel.lengthscale[head, 0],
                gp.kernel.outputscale[head],
            )

            def k(a, b, length=length, amplitude=amplitude):
                return amplitude * torch.exp(-0.5 * torch.cdist(a, b).square() / length**2)
        else:
            variance = gp.kernel.variance[head, 0]

            def k(a, b, variance=variance):
                return variance * a @ b.T

        gram = k(points, points) + noise * torch.eye(60, dtype=z.dtype)
        mean = k(z, points) @ torch.linalg.solve(gram, v[head])
        latent = k(z, z).diagonal() - (k(z, points) * torch.linalg.solve(gram, k(points, z)).T).sum(
            1
        )
        scale, offset = surrogate.scale[head], surrogate.offsets[head]
        torch.testing.assert_close(
            found.mean[:, head].double(), offset + scale * mean, rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(
            found.variance[:, head].double(), scale**2 * (latent + noise), rtol=1e-3, atol=1e-7
        )


def test_only_the_subset_contributes(fitted):
    _, data, surrogate = fitted("table", ExactGp(n_points=60, n_tuned=40, n_steps=10))
    shares = surrogate.contribution(data.test.x[:4], torch.tensor([0, 1, 2, 0]))
    inside = torch.zeros(120, dtype=torch.bool)
    inside[surrogate.index] = True
    assert len(surrogate.index.unique()) == 60
    assert (shares[:, ~inside] == 0).all() and (shares[:, inside] != 0).all()
    assert (
        surrogate.similarity(data.test.x[:4], torch.zeros(4, dtype=torch.long))[:, ~inside] == 0
    ).all()
    torch.testing.assert_close(surrogate.points[:5], surrogate(data.train.x[surrogate.index[:5]]))


def test_tuning_raises_the_marginal_likelihood(tiny):
    model, data = tiny.table()
    heard = tiny.Heard()
    ExactGp(n_points=60, n_tuned=60, n_steps=60).fit(model, data, 0, heard)
    first, *_, last = [float(line.split()[3]) for line in heard.lines]
    assert last > first + 0.1
    assert not torch.equal(
        *(ExactGp(n_points=9, n_steps=0).fit(model, data, s, Progress()).index for s in (0, 1))
    )


def test_a_state_of_another_dataset_is_refused(fitted, tiny):
    model, _, surrogate = fitted("table", ExactGp(n_points=60, n_tuned=40, n_steps=10))
    with pytest.raises(ValueError, match="it is of 120 training samples"):
        ExactGp().restore(model, tiny.dataset((6,), n_train=50), surrogate.state_dict())
