"""Nystrom features: with every sample a landmark, the exact process."""

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from gpex_bench.surrogates.nystrom import Nystrom
from gpex_bench.types import Progress


def embedded(surrogate, x):
    features = surrogate.features
    return ((features.embedding.vector(x).double() - features.centre) / features.size).numpy()


def test_all_landmarks_are_the_exact_process(tiny):
    model, data = tiny.table()
    surrogate = Nystrom(n_landmarks=10**6, length=1.5).fit(
        model.double(), in_double(data), 0, Progress()
    )
    amplitude, noise = float(surrogate.features.amplitude), float(surrogate.noise)
    twin = GaussianProcessRegressor(
        ConstantKernel(amplitude) * RBF(1.5, length_scale_bounds="fixed"),
        alpha=noise,
        optimizer=None,
    )
    twin.fit(embedded(surrogate, data.train.x.double()), surrogate.targets.numpy())
    mean, deviation = twin.predict(embedded(surrogate, data.test.x.double()), return_std=True)
    found = surrogate.posterior(data.test.x.double())
    scale, offset = surrogate.scale.numpy(), surrogate.offsets.numpy()
    np.testing.assert_allclose(found.mean.numpy(), offset + scale * mean, atol=1e-5 * scale.max())
    np.testing.assert_allclose(
        found.variance.numpy(), scale**2 * (deviation**2 + noise), rtol=1e-3, atol=1e-7
    )


def test_what_landmarks_leave_out_is_uncertainty(tiny):
    model, data = tiny.table()
    surrogate = Nystrom(n_landmarks=5, length=0.2).fit(model, data, 0, Progress())
    far, near = data.test.x * 50, data.train.x
    prior = surrogate.scale.square() * (surrogate.features.amplitude + surrogate.noise)
    torch.testing.assert_close(
        surrogate.posterior(far).variance, prior.float().expand(len(far), -1), rtol=1e-3, atol=0
    )
    assert surrogate.posterior(near).variance.min() < 0.9 * prior.min()
    chosen = surrogate.features.expansion.points
    assert chosen.shape == (5, 32) and len(chosen.unique(dim=0)) == 5


def test_the_seed_chooses_the_landmarks_and_evidence_the_length(fitted, tiny):
    model, data, first = fitted("table", Nystrom(n_landmarks=30))
    other = Nystrom(n_landmarks=30).fit(model, data, 2, Progress())
    assert not torch.equal(first.features.expansion.points, other.features.expansion.points)
    assert first.features.expansion.length > 1, (
        "the outputs are linear in the embedding: a long length scale wins"
    )


def in_double(data):
    from dataclasses import replace

    return replace(data, train=replace(data.train, x=data.train.x.double()))
