"""Processes on any feature map.

Conditioned exactly, explained block by block, restored, and clear about bad input.
"""

import math

import pytest
import torch
from torch import nn

from gpex_bench.surrogates.gp import nearest, posterior
from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate, conditioned, restored
from gpex_bench.surrogates.gp.evidence import HIGHEST, LOWEST, evidence, evidence_noise
from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.surrogates.gp.streaming import streamed

REFIT = 1e-8
DENSE = 1e-10
SHAPES = {"per head": (3, 1), "shared": (1, 3)}  # groups and outputs of the three heads


class Waves(FeatureMap):
    """Random cosine features in float64; on images one term per pixel."""

    def __init__(self, n_features, n_groups=3, dim=8):
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.n_groups, self.dim = n_groups, dim
        self.register_buffer(
            "frequency",
            torch.randn(n_features, n_groups * dim, generator=draw, dtype=torch.float64),
        )

    def terms(self, x):
        waves = (x.double() @ self.frequency).cos()
        return waves.unflatten(-1, (self.n_groups, self.dim))

    def forward(self, x):
        return self.terms(x) if x.ndim == 2 else self.locations(x).sum(-1)

    def grid(self, x):
        return None if x.ndim == 2 else tuple(x.shape[2:])

    def locations(self, x):
        return (
            super().locations(x)
            if x.ndim == 2
            else self.terms(x.permute(0, 2, 3, 1)).flatten(1, 2).movedim(1, -1)
        )


class Noisy(Waves):
    """The same, with observation noise that depends on the input."""

    def observe(self, x):
        return self(x), x.square().sum(1, keepdim=True).expand(-1, 3)


def fitted(tiny, name="table", shape="per head", **options):
    model, data = tiny.PROBLEMS[name]()
    features = Waves(data.train.x.shape[1], SHAPES[shape][0])
    noise = options.pop("noise", torch.full((features.n_groups,), 0.1, dtype=torch.float64))
    return model, data, conditioned(features, model, data, noise, **options)


def asked(data):
    return data.test.x[:6], torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_posterior_is_that_of_the_textbook(tiny, shape):
    model, data, surrogate = fitted(tiny, shape=shape)
    x, y = data.train.x, model(data.train.x).double()
    found = surrogate.posterior(data.test.x.double())
    for head in range(3):
        group = head // SHAPES[shape][1]
        u, q = surrogate.features(x)[:, group], surrogate.features(data.test.x)[:, group]
        mean, spread = y[:, head].mean(), y[:, head].std(correction=0)
        k = torch.linalg.inv(u @ u.T + 0.1 * torch.eye(len(x)))
        torch.testing.assert_close(
            found.mean[:, head], mean + q @ u.T @ k @ (y[:, head] - mean), rtol=DENSE, atol=1e-8
        )
        latent = ((q @ q.T) - q @ u.T @ k @ u @ q.T).diagonal()
        torch.testing.assert_close(
            found.variance[:, head], spread**2 * (latent + 0.1), rtol=1e-8, atol=0
        )
        joint = spread**2 * ((q @ q.T) - q @ u.T @ k @ u @ q.T)
        torch.testing.assert_close(
            surrogate.covariance(data.test.x)[head], joint, rtol=1e-7, atol=1e-8
        )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by", ["similarity", "contribution"])
def test_neighbours_are_the_largest_of_all_scores(tiny, by, shape, monkeypatch):
    _, data, surrogate = fitted(tiny, shape=shape)
    x, target = asked(data)
    scores = getattr(surrogate, by)(x, target)
    monkeypatch.setattr(nearest, "BLOCK", 7)
    torch.testing.assert_close(getattr(surrogate, by)(x, target), scores)
    for k in (1, 10, len(data.train.x)):
        found = surrogate.neighbours(x, target, k, by)
        torch.testing.assert_close(found.weight, scores.topk(k, 1).values)
        torch.testing.assert_close(scores.gather(1, found.index), found.weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_contributions_and_offset_sum_to_the_mean(tiny, shape):
    _, data, surrogate = fitted(tiny, shape=shape)
    x, target = asked(data)
    total = surrogate.contribution(x.double(), target).sum(1) + surrogate.offsets[target]
    torch.testing.assert_close(
        total, surrogate.posterior(x.double()).mean[torch.arange(6), target], rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_similarity_is_the_centred_cosine(tiny, shape):
    _, data, surrogate = fitted(tiny, shape=shape)
    x, target = asked(data)
    group = target // SHAPES[shape][1]
    rows, u = surrogate.features(data.train.x), surrogate.features(x)
    for i, g in enumerate(group.tolist()):
        centre = rows[:, g].mean(0)
        twin = nn.functional.cosine_similarity(rows[:, g] - centre, u[i, g] - centre, dim=1)
        torch.testing.assert_close(
            surrogate.similarity(x, target)[i].double(), twin, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_deletion_equals_a_refit(tiny, shape):
    model, data, surrogate = fitted(tiny, shape=shape)
    x, target = asked(data)
    index = torch.tensor([[0, 5], [7, 119], [5, 0], [1, 2], [3, 4], [60, 61]])
    effect = surrogate.deletion(x.double(), target, index)
    before = surrogate.posterior(x.double()).mean
    units = (surrogate.offsets, surrogate.scale)
    for i, k in [(0, 0), (1, 1), (3, 0), (5, 1)]:
        rest = torch.tensor([row for row in range(120) if row != index[i, k]])
        refit = conditioned(
            surrogate.features, model, data, surrogate.noise, index=rest, units=units
        )
        change = refit.posterior(x.double()).mean - before
        torch.testing.assert_close(effect[i, k], change[i, target[i]], rtol=REFIT, atol=REFIT)


def test_deletion_among_some_training_samples(tiny):
    _, data, surrogate = fitted(tiny, index=torch.arange(119, -1, -2))
    whole = surrogate.deletion(*asked(data), torch.full((6, 1), 119))
    assert whole.isfinite().all()
    neighbours = surrogate.neighbours(*asked(data), 3)
    assert (neighbours.index % 2 == 1).all()
    with pytest.raises(ValueError, match="index must be of inducing points, got 4,"):
        surrogate.deletion(*asked(data), torch.full((6, 1), 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_sum_to_what_they_explain(tiny, shape):
    _, data, surrogate = fitted(tiny, "images", shape)
    x, target = asked(data)
    mean = surrogate.posterior(x.double()).mean[torch.arange(6), target]
    relevance = surrogate.relevance(x.double(), target)
    torch.testing.assert_close(
        relevance.sum((1, 2)) + surrogate.offsets[target], mean, rtol=1e-8, atol=1e-8
    )
    similarity = surrogate.similarity(x.double(), target)
    for i in range(2):
        for side in surrogate.pair(
            x[i : i + 1].double(), data.train.x[[3, 50]].double(), int(target[i])
        ):
            torch.testing.assert_close(
                side.sum((1, 2)), similarity[i, [3, 50]], rtol=1e-5, atol=1e-6
            )


def test_observation_noise_may_depend_on_the_input(tiny):
    model, data = tiny.table()
    noise = torch.full((3,), 0.1, dtype=torch.float64)
    plain, noisy = (conditioned(kind(6), model, data, noise) for kind in (Waves, Noisy))
    x = data.test.x.double()
    assert torch.equal(plain.posterior(x).mean, noisy.posterior(x).mean)
    added = noisy.posterior(x).variance - plain.posterior(x).variance
    torch.testing.assert_close(
        added, noisy.scale.square() * (x.square().sum(1, keepdim=True) - 0.1), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_noise_has_the_largest_evidence(tiny, shape):
    groups, out = SHAPES[shape]
    draw = torch.Generator().manual_seed(1)
    rows = torch.randn(300, groups, 6, generator=draw, dtype=torch.float64)
    w = torch.randn(groups, 6, out, generator=draw, dtype=torch.float64)
    noise = torch.linspace(0.05, 0.5, groups, dtype=torch.float64)
    v = torch.einsum("mgd,gdo->mgo", rows, w)
    v = v + noise.sqrt()[:, None] * torch.randn(v.shape, generator=draw, dtype=torch.float64)
    sums = posterior.statistics(rows, v)
    found = evidence_noise(sums)
    torch.testing.assert_close(found, noise, rtol=0.2, atol=0)

    def total(s2):
        zero = torch.zeros(groups * out, dtype=torch.float64)
        return (
            evidence(posterior.condition(sums, s2, zero, zero + 1))
            .unflatten(0, (groups, out))
            .sum(1)
        )

    for factor in (0.5, 0.99, 1.01, 2.0):
        assert (total(found) > total(factor * found)).all()
    log_noise = found.log().requires_grad_()
    (slope,) = torch.autograd.grad(total(log_noise.exp()).sum(), log_noise)
    assert slope.abs().max() < 1e-4 * 300


def test_the_noise_of_a_perfect_and_of_a_useless_kernel():
    draw = torch.Generator().manual_seed(1)
    rows = torch.randn(200, 3, 4, generator=draw, dtype=torch.float64)
    v = torch.stack(
        [rows[:, 0].sum(1), torch.randn(200, generator=draw).double(), torch.zeros(200)], 1
    )[..., None]
    perfect, useless, constant = evidence_noise(posterior.statistics(rows, v)).tolist()
    assert LOWEST <= perfect < 1e-6
    assert 0.7 < useless < 1.3 <= HIGHEST
    assert constant == 1
    dead = evidence_noise(posterior.statistics(0 * rows[:, :1], v[:, 1:2]))
    torch.testing.assert_close(dead, v[:, 1].square().mean(0), rtol=1e-4, atol=0)


def test_few_samples_constant_heads_and_duplicates_are_legal(tiny):
    model, _ = tiny.table()
    model.head.weight[1] = 0
    data = tiny.dataset((6,), n_train=4)  # fewer than dimensions
    data.train.x[1] = data.train.x[0]
    surrogate = conditioned(Waves(6), model, data)
    found = surrogate.posterior(data.test.x)
    assert found.mean.isfinite().all()
    assert (found.mean[:, 1] == model.head.bias[1]).all()
    assert (found.variance[:, 1] == 0).all()
    x, target = asked(data)
    for score in (surrogate.similarity, surrogate.contribution):
        assert score(x, target).isfinite().all()
    assert surrogate.deletion(x, target, torch.ones(6, 1, dtype=torch.long)).isfinite().all()


def test_bad_networks_and_noises_are_refused(tiny):
    model, data = tiny.table()
    with pytest.raises(
        ValueError, match="noise must be a positive variance for every group, got -1"
    ):
        conditioned(Waves(6), model, data, -torch.ones(3))
    with pytest.raises(
        ValueError, match="k must be between 1 and the 120 inducing points, got 121"
    ):
        fitted(tiny)[2].neighbours(*asked(data), 121)
    with pytest.raises(ValueError, match="by must be 'similarity' or 'contribution', got 'size'"):
        fitted(tiny)[2].neighbours(*asked(data), 1, "size")
    with pytest.raises(ValueError, match="n_groups must divide the 3 heads evenly, got 2"):
        conditioned(Waves(6, n_groups=2), model, data)
    model.head.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="y must be finite, got nan"):
        conditioned(Waves(6), model, data)
    headless = tiny.Tiny(model.trunk, 32, 3)
    headless.explained = lambda x: model.embed(x)[:, :0]
    with pytest.raises(ValueError, match="y must have at least 1 head, got 0"):
        conditioned(Waves(6), headless.requires_grad_(False), data)


def test_a_table_has_no_pair_maps(tiny, unchecked):
    _, data, surrogate = fitted(tiny)
    assert surrogate.relevance(*asked(data)) is None
    with pytest.raises(ValueError, match="pair needs images"):
        surrogate.pair(data.test.x[:1], data.test.x[:1], 0)


def test_a_surrogate_survives_its_state_dict_and_foreign_ones_are_refused(tiny):
    _, data, surrogate = fitted(tiny)
    state = surrogate.state_dict()
    back = restored(Waves(6), data, state, "a test")
    assert isinstance(back, WeightSpaceSurrogate)
    assert torch.equal(
        back.posterior(data.test.x).variance, surrogate.posterior(data.test.x).variance
    )
    damaged = {
        "noise": -state["noise"],
        "rows": state["rows"][:, :, :3],
        "targets": state["targets"].float(),
        "c": state["c"][:1],
        "a": state["a"] * math.nan,
    }
    for name, tensor in damaged.items():
        with pytest.raises(ValueError, match="This is not the state of a test: "):
            restored(Waves(6), data, state | {name: tensor}, "a test")
    for features, rows in ((Waves(6, dim=4), data), (Waves(6), tiny.dataset((6,), n_train=50))):
        with pytest.raises(ValueError, match="This is not the state of a test: "):
            restored(features, rows, state, "a test")
    with pytest.raises(ValueError, match="This is not the state of a test: 'rows'"):
        restored(
            Waves(6),
            data,
            {name: tensor for name, tensor in state.items() if name != "rows"},
            "a test",
        )


@pytest.mark.parametrize("products", [torch.float32, torch.float64])
def test_streamed_sums_equal_sums_at_once(products):
    draw = torch.Generator().manual_seed(0)
    rows, v = (
        torch.randn(5000, 3, 6, generator=draw),
        torch.randn(5000, 3, 2, generator=draw).double(),
    )
    found = streamed(zip(rows.split(1700), v.split(1700), strict=True), products)
    whole = posterior.statistics(rows, v)
    tolerance = 1e-12 if products == torch.float64 else 1e-6
    for name in ("a", "b", "c", "count"):
        ours, theirs = getattr(found, name), getattr(whole, name)
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_bad_streams_are_refused():
    rows, v = torch.ones(4, 2, 3), torch.ones(4, 2, 1)
    with pytest.raises(ValueError, match="blocks must have at least 1 row, got none"):
        streamed([])
    with pytest.raises(ValueError, match="v must be finite, got an entry that is not"):
        streamed([(rows, v * math.nan)])
    with pytest.raises(ValueError, match="u must be finite"):
        streamed([(rows * math.inf, v)])


@pytest.mark.slow
@pytest.mark.parametrize("norm", [0.1, 1.0])
def test_a_million_float32_rows_with_float64_sums(norm):
    """Means and variances within 1e-5 of those with float64 products, the norms of both presets."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(1_000_000, 2, 20, generator=draw) * torch.logspace(0, -2, 20)
    rows = norm * nn.functional.normalize(rows, dim=2)
    v = torch.einsum("mgd,gd->mg", rows, torch.randn(2, 20, generator=draw) / norm)[..., None]
    v = v + 0.1 * torch.randn(v.shape, generator=draw)
    one = torch.ones(2, dtype=torch.float64)
    fast, exact = (
        posterior.condition(streamed([(rows, v)], products), one, 0 * one, one)
        for products in (torch.float32, torch.float64)
    )
    for ours, theirs in zip(
        posterior.predict(fast, rows[:500]), posterior.predict(exact, rows[:500]), strict=True
    ):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
