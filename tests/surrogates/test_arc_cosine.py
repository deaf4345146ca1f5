"""The arc-cosine kernel: what a wide random ReLU layer computes."""

import pytest
import torch

from gpex_bench.surrogates.arc_cosine import ArcCosine
from gpex_bench.surrogates.gp.expansions import Landmarks, RandomUnits, arc_cosine, rbf
from gpex_bench.types import Progress

Z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_random_units_approach_the_kernel():
    true = arc_cosine(Z, Z)
    errors = []
    for dim in (100, 400_000):
        phi = RandomUnits(4, dim, 1)(Z)
        errors.append(float((phi @ phi.T - true).norm() / true.norm()))
    assert errors[1] < 0.01 < errors[0]
    torch.testing.assert_close(true.diagonal(), 1 + Z.square().sum(1))


@pytest.mark.parametrize("kernel", ["rbf", "arc_cosine"])
def test_nystrom_features_are_exact_between_landmarks(kernel):
    expansion = Landmarks(kernel, Z, 1.3)
    phi = expansion(Z)
    true = (
        arc_cosine(Z, Z)
        if kernel == "arc_cosine"
        else rbf(Z, Z, torch.tensor(1.3, dtype=torch.float64))
    )
    torch.testing.assert_close(phi @ phi.T, true, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(expansion.prior(Z), true.diagonal())
    elsewhere = Z.flip(1)
    rest = expansion.prior(elsewhere) - expansion(elsewhere).square().sum(1)
    assert (rest > 1e-3).all(), "elsewhere the features leave a part of the kernel out"


def test_equal_landmarks_are_legal():
    phi = Landmarks("rbf", Z[[0, 0, 1]], 1.0)(Z)
    assert phi.isfinite().all()
    torch.testing.assert_close(
        phi[:2] @ phi[:2].T, rbf(Z[:2], Z[:2], torch.tensor(1.0, dtype=torch.float64))
    )


def test_gradients_at_equal_points_are_finite():
    z = Z.clone().requires_grad_(True)
    arc_cosine(z, Z).sum().backward()
    assert z.grad.isfinite().all()


def test_all_landmarks_are_the_exact_process(tiny):
    model, data = tiny.table()
    surrogate = ArcCosine(dim=10**6).fit(model, data, 0, Progress())
    features, noise = surrogate.features, surrogate.noise
    train, test = (
        (features.embedding.vector(x).double() - features.centre) / features.size
        for x in (data.train.x, data.test.x)
    )
    gram = features.amplitude * arc_cosine(train, train) + noise * torch.eye(
        len(train), dtype=torch.float64
    )
    cross = features.amplitude * arc_cosine(test, train)
    mean = surrogate.offsets + surrogate.scale * (
        cross @ torch.linalg.solve(gram, surrogate.targets)
    )
    torch.testing.assert_close(
        surrogate.posterior(data.test.x).mean.double(), mean, rtol=1e-3, atol=1e-4
    )
