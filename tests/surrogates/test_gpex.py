"""A fitted GPEX: it matches, repeats, restores, and its explanations sum to what they explain."""

import math

import pytest
import torch

from gpex_bench.surrogates.agreement.compare import compare
from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.evidence import evidence
from gpex_bench.surrogates.gpex import Gpex
from gpex_bench.surrogates.gpex_paper import GpexPaper
from gpex_bench.types import Progress

SIZES = {"dim": 5, "width": 32, "batch_size": 32, "n_refreshed": 24}
RECIPE = Gpex(n_steps=25, **SIZES)
SUM = 1e-5  # float32 terms, relative to their size


def places(tiny):
    """A network whose explained outputs are the places of a 3 x 3 map."""

    class Spatial(tiny.Tiny):
        def explained(self, x):
            return self.trunk(x)[:, :2].sum(1).flatten(1)

        def grid(self, x):
            return 3, 3

    base, data = tiny.images()
    model = Spatial(base.trunk, 8, 3)
    return model.eval().requires_grad_(False), data


def asked(data):
    return data.test.x[:7], torch.arange(7) % 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table", "images"])
def test_a_fit_matches_the_network(name, fitted):
    recipe = Gpex(n_steps=250, dim=8, width=64, batch_size=48, n_refreshed=32)
    model, data, surrogate = fitted(name, recipe)
    table = compare(model, surrogate, data, seed=0, n_mixed=300)[0]
    r = table[(table.statistic == "mean_pearson") & (table.split == "test")].value.item()
    assert r > 0.98


def test_the_final_model_is_exact_over_all_training_samples(fitted):
    _, data, surrogate = fitted("table", RECIPE)
    assert len(surrogate.rows) == len(data.train.x)
    torch.testing.assert_close(surrogate.rows, surrogate(data.train.x))
    exact = posterior.statistics(surrogate.rows, posterior.grouped(surrogate.targets, 3))
    for name in ("a", "b", "c", "count"):
        torch.testing.assert_close(
            getattr(surrogate, name), getattr(exact, name), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("name", ["table", "images"])
def test_a_fit_repeats_and_leaves_the_rest_alone(name, fitted):
    model, data, first = fitted(name, RECIPE)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    before = torch.get_rng_state()
    second = RECIPE.fit(model, data, 1, Progress())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[key], tensor) for key, tensor in model.state_dict().items())
    a, b = first.state_dict(), second.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    other = RECIPE.fit(model, data, 2, Progress()).state_dict()
    assert not torch.equal(a["rows"], other["rows"])
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert not any(module.training for module in first.modules())


@pytest.mark.parametrize("name", ["table", "images"])
def test_a_surrogate_survives_its_state_dict(name, fitted):
    model, data, surrogate = fitted(name, RECIPE)
    state = {key: tensor.clone() for key, tensor in surrogate.state_dict().items()}
    back = RECIPE.restore(model, data, state)
    x, target = asked(data)
    assert torch.equal(back.posterior(x).mean, surrogate.posterior(x).mean)
    assert torch.equal(back.posterior(x).variance, surrogate.posterior(x).variance)
    assert torch.equal(back.similarity(x, target), surrogate.similarity(x, target))
    assert torch.equal(back.contribution(x, target), surrogate.contribution(x, target))
    assert not back.training


def test_a_foreign_state_is_refused(fitted):
    model, data, surrogate = fitted("table", RECIPE)
    for state in ({}, {"rows": surrogate.rows}, surrogate.state_dict() | {"noise": torch.ones(9)}):
        with pytest.raises(ValueError, match="This is not the state of"):
            RECIPE.restore(model, data, state)
    with pytest.raises(ValueError, match="This is not the state"):
        Gpex(dim=7).restore(model, data, surrogate.state_dict())


@pytest.mark.parametrize("name", ["table", "images"])
def test_contributions_and_offset_sum_to_the_mean(name, fitted):
    _, data, surrogate = fitted(name, RECIPE)
    x, target = asked(data)
    shares = surrogate.contribution(x, target)
    mean = surrogate.posterior(x).mean[torch.arange(7), target]
    total = shares.double().sum(1) + surrogate.offset(target)
    assert ((total - mean).abs() <= SUM * (1 + shares.abs().sum(1))).all()


@pytest.mark.parametrize("name", ["table", "images"])
def test_similarity_is_a_cosine_and_a_sample_is_most_like_itself(name, fitted):
    _, data, surrogate = fitted(name, RECIPE)
    target = torch.arange(7) % 3
    similarity = surrogate.similarity(data.train.x[:7], target)
    assert similarity.abs().max() <= 1 + SUM
    torch.testing.assert_close(similarity[torch.arange(7), torch.arange(7)], torch.ones(7))
    assert torch.equal(similarity.argmax(1), torch.arange(7))


def test_relevance_sums_to_the_mean(fitted):
    _, data, surrogate = fitted("images", RECIPE)
    x, target = asked(data)
    relevance = surrogate.relevance(x, target)
    assert relevance.shape == (7, 12, 12)
    mean = surrogate.posterior(x).mean[torch.arange(7), target]
    total = relevance.double().sum((1, 2)) + surrogate.offset(target)
    assert ((total - mean).abs() <= SUM * (1 + relevance.abs().sum((1, 2)))).all()
    assert fitted("table", RECIPE)[2].relevance(data.test.x[:2, 0, 0, :6], target[:2]) is None


def test_pair_maps_sum_to_the_similarity(fitted):
    _, data, surrogate = fitted("images", RECIPE)
    x, index, target = data.test.x[:1], torch.tensor([3, 50, 119]), 2
    on_query, on_neighbour = surrogate.pair(x, data.train.x[index], target)
    similarity = surrogate.similarity(x, torch.tensor([target]))[0, index]
    torch.testing.assert_close(on_query.sum((1, 2)), similarity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(on_neighbour.sum((1, 2)), similarity, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(on_query, on_neighbour)


def test_a_table_has_no_pair_maps(fitted, unchecked):
    rows = fitted("table", RECIPE)[1].test.x
    with pytest.raises(ValueError, match="pair needs images"):
        fitted("table", RECIPE)[2].pair(rows[:1], rows[:2], 0)


def test_calling_the_surrogate_counts_every_row(fitted):
    from gpex_bench.contract.cost import counted

    _, data, surrogate = fitted("images", RECIPE)
    x, target = asked(data)
    for ask in (
        surrogate.posterior,
        lambda x: surrogate.similarity(x, target),
        lambda x: surrogate.relevance(x, target),
    ):
        with counted(surrogate) as rows:
            ask(x)
        assert rows.forward == 7


def test_constant_heads_and_few_samples_are_legal(tiny):
    model, _ = tiny.table()
    model.head.weight[1] = 0
    data = tiny.dataset((6,), n_train=6)
    surrogate = RECIPE.fit(model, data, 0, Progress())
    posterior = surrogate.posterior(data.test.x)
    assert posterior.mean.isfinite().all()
    assert (posterior.mean[:, 1] == model.head.bias[1]).all()
    assert (posterior.variance[:, 1] == 0).all()
    assert surrogate.contribution(*asked(data)).isfinite().all()
    with pytest.raises(
        ValueError, match=r"data.train must have more samples than dim \(5\), got 5; .* Lower dim"
    ):
        RECIPE.fit(model, tiny.dataset((6,), n_train=5), 0, Progress())


def test_duplicated_samples_are_legal(tiny):
    model, data = tiny.table()
    data.train.x[1:] = data.train.x[0]
    surrogate = RECIPE.fit(model, data, 0, Progress())
    assert surrogate.posterior(data.test.x).mean.isfinite().all()
    assert surrogate.similarity(*asked(data)).isfinite().all()


OTHERS = {
    "paper": GpexPaper(n_steps=5, second_steps=4, updates=3, **SIZES),
    "frozen": Gpex(
        n_steps=5, statistics="stored", perturbation=0.1, trunk_learning_rate=0.0, **SIZES
    ),
    "shared": Gpex(n_steps=5, statistics="batch", shared=True, slope=0.01, norm=0.1, **SIZES),
    "fixed": Gpex(
        n_steps=5,
        noise=0.01,
        noise_per_point=True,
        ridge=None,
        whitening=None,
        input_noise=False,
        **SIZES,
    ),
    "resnet": Gpex(n_steps=2, trunk="thin_resnet", **SIZES),
    "mlp": Gpex(n_steps=5, trunk="mlp", **SIZES),
}


@pytest.mark.parametrize("recipe", OTHERS.values(), ids=OTHERS.keys())
def test_every_setting_fits_and_comes_back(recipe, fitted):
    model, data, surrogate = fitted("images", recipe)
    x, target = asked(data)
    assert surrogate.posterior(data.test.x).mean.isfinite().all()
    assert (surrogate.posterior(data.test.x).variance > 0).all()
    back = recipe.restore(model, data, surrogate.state_dict())
    assert torch.equal(back.posterior(x).variance, surrogate.posterior(x).variance)
    mean = surrogate.posterior(x).mean[torch.arange(7), target]
    shares = surrogate.contribution(x, target)
    total = shares.double().sum(1) + surrogate.offset(target)
    assert ((total - mean).abs() <= SUM * (1 + shares.abs().sum(1))).all()


def test_what_settings_mean(fitted, tiny):
    model, data, frozen = fitted("images", OTHERS["frozen"])
    x = data.test.x
    torch.testing.assert_close(frozen.features.trunk(x), model.trunk(x))
    trained = fitted("images", RECIPE)[2].features.trunk(x)
    assert not torch.allclose(trained, model.trunk(x), rtol=1e-3)

    paper = fitted("images", OTHERS["paper"])[2]
    assert torch.equal(paper.noise, torch.ones(3).double())
    assert torch.equal(paper.scale, torch.ones(3).double())
    assert torch.equal(paper.offsets, torch.zeros(3).double())
    rows = paper.rows * paper.unit
    undone = torch.where(rows < 0, rows / 0.01, rows)
    torch.testing.assert_close(
        undone.norm(dim=-1), torch.full((120, 3), 0.1).double(), rtol=3e-3, atol=0
    )  # int16
    assert fitted("images", OTHERS["shared"])[2].rows.shape == (120, 1, 5)
    torch.testing.assert_close(
        fitted("images", OTHERS["fixed"])[2].noise, torch.full((3,), 0.01 * 108).double()
    )
    with pytest.raises(
        ValueError,
        match=r"n_inducing must be at most 108, .* held_out \(0.1\) leaves of 120 .* got 120",
    ):
        Gpex(n_inducing=120, **SIZES).fit(*tiny.table(), 1, Progress())


def test_a_subset_of_inducing_points_is_named_by_its_rows(fitted):
    _, data, surrogate = fitted("table", Gpex(n_steps=20, n_inducing=30, **SIZES))
    assert surrogate.rows.shape[0] == surrogate.count == 30
    torch.testing.assert_close(surrogate.rows, surrogate(data.train.x[surrogate.index]))
    nearest = surrogate.neighbours(data.train.x[surrogate.index[:4]], torch.arange(4) % 3, 1)
    assert torch.equal(nearest.index[:, 0], surrogate.index[:4])


def test_samples_that_are_no_inducing_points_have_no_share(fitted):
    _, data, surrogate = fitted("table", Gpex(n_steps=20, n_inducing=30, **SIZES))
    x, target = asked(data)
    shares, similarity = surrogate.contribution(x, target), surrogate.similarity(x, target)
    outside = torch.ones(120, dtype=torch.bool)
    outside[surrogate.index] = False
    assert shares.shape == similarity.shape == (7, 120)
    assert (shares[:, outside] == 0).all() and (similarity[:, outside] == -math.inf).all()
    mean = surrogate.posterior(x).mean[torch.arange(7), target]
    total = shares.double().sum(1) + surrogate.offset(target)
    assert ((total - mean).abs() <= SUM * (1 + shares.abs().sum(1))).all()
    best = surrogate.neighbours(x, target, 5)
    torch.testing.assert_close(best.weight, similarity.gather(1, best.index))
    torch.testing.assert_close(best.weight, similarity.topk(5, 1).values)


@pytest.mark.parametrize("name", ["paper", "gpex"])
def test_fixed_point_rows_change_little_and_sum_exactly(name, fitted):
    kind = {"paper": GpexPaper, "gpex": Gpex}[name]
    options = {"n_steps": 20, **SIZES} | ({"second_steps": 0} if name == "paper" else {})
    _, data, exact = fitted("images", kind(rows="float32", **options))
    _, _, short = fitted("images", kind(rows="int16", **options))
    x, target = asked(data)
    assert short.rows.dtype == torch.int16 and exact.rows.dtype == torch.float32
    ours, theirs = short.posterior(data.test.x), exact.posterior(data.test.x)
    spread = theirs.mean.std(0)
    assert ((ours.mean - theirs.mean).abs() <= 1e-3 * spread).all()
    torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-3, atol=0)
    decoded = torch.stack([short.decoded(slice(None), group) for group in range(3)], 1)
    sums = posterior.statistics(decoded, posterior.grouped(short.targets, 3))
    torch.testing.assert_close(sums.a, short.a, rtol=1e-12, atol=1e-12)
    shares = short.contribution(x, target)
    total = shares.double().sum(1) + short.offset(target)
    mean = ours.mean[:7][torch.arange(7), target]
    assert ((total - mean).abs() <= SUM * (1 + shares.abs().sum(1))).all()


def test_constant_heads_do_not_dilute_a_shared_kernel(tiny):
    """The amplitude of largest evidence is that of the heads that vary."""
    from gpex_bench.surrogates.gpex_fit import matching
    from gpex_bench.surrogates.gpex_fit.kernel_map import Shape, kernel_map
    from gpex_bench.surrogates.gpex_fit.observation import Held

    model, data = tiny.table()
    shape = Shape(n_groups=1, n_heads=3, dim=5, width=16, norm=1.0, slope=1.0)
    v = torch.randn(120, 3, generator=torch.Generator().manual_seed(0)).double()
    ridges = []
    for heads in ([0, 1, 2], [0, 1]):
        f = kernel_map(model, data, shape, "network", 0)
        f.requires_grad_(False)
        targets = v[:, heads].clone()
        targets[:, 2:] = 0
        x = data.train.x
        samples = matching.Samples(x=x, inducing=x, v=targets, check=Held(x=x, v=targets))
        noise = torch.ones(1).double()
        ridges.append(Gpex(shared=True, dim=5)._finish(f, samples, noise, 120))
    torch.testing.assert_close(*ridges, rtol=1e-10, atol=0)


def test_the_ridge_of_a_preset_has_the_amplitude_of_largest_evidence(fitted):
    """Scaling kernel and noise together by anything else must lower the evidence."""
    _, _, surrogate = fitted("table", Gpex(n_steps=60, held_out=0.02, **SIZES))

    def evidence_at(factor):
        sums = surrogate.state.statistics
        scaled = posterior.Statistics(
            a=factor * sums.a, b=factor**0.5 * sums.b, c=sums.c, count=sums.count
        )
        return evidence(
            posterior.condition(
                scaled, factor * surrogate.noise, surrogate.offsets, surrogate.scale
            )
        )

    best = evidence_at(1.0)
    assert all((evidence_at(factor) < best).all() for factor in (0.5, 0.8, 1.25, 2.0))


@pytest.mark.slow
def test_heads_that_are_places(tiny):
    """A network with one output per place of its map.

    Every head is matched, and pair maps are exact.
    """
    model, data = places(tiny)
    surrogate = Gpex(n_steps=250, dim=8, width=64, batch_size=48, n_refreshed=32).fit(
        model, data, 1, Progress()
    )
    table = compare(model, surrogate, data, seed=0, n_mixed=300)[0]
    weakest = table[(table.statistic == "weakest_pearson") & (table.split == "test")].value.item()
    assert weakest > 0.9
    index, target = torch.tensor([3, 50, 119]), 7
    on_query, on_neighbour = surrogate.pair(data.test.x[:1], data.train.x[index], target)
    similarity = surrogate.similarity(data.test.x[:1], torch.tensor([target]))[0, index]
    torch.testing.assert_close(on_query.sum((1, 2)), similarity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(on_neighbour.sum((1, 2)), similarity, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="shared must be false"):
        Gpex(shared=True).fit(model, data, 1, Progress())


def test_progress_says_how_far_and_how_well(tiny):
    model, data = tiny.table()
    lines = []

    class Lines(Progress):
        def __call__(self, text):
            lines.append(text)

    Gpex(n_steps=40, dim=4).fit(model, data, 0, Lines())
    assert len(lines) == 20
    assert lines[-1].startswith("step 40/40  loss ")
    assert "held-out mixed r 0." in lines[-1]
    assert lines[-1].endswith("steps/s  0 s left")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"norm": 0.0}, "norm must be positive and finite, got 0.0"),
        ({"noise": 0.0}, "noise must be positive and finite, got 0.0"),
        ({"ridge": -1.0}, "ridge must be positive and finite, got -1.0"),
        ({"n_inducing": 20}, r"n_inducing must be null or more than dim \(20\), got 20"),
        ({"rows": "int8"}, "rows must be one of 'float32', 'int16', got 'int8'"),
        ({"objective": "latent"}, "noise must be fixed for the objective 'latent'"),
        ({"learning_rate": math.nan}, "learning_rate must be positive and finite, got nan"),
        ({"perturbation": -1.0}, "perturbation must be at least 0, got -1.0"),
        ({"held_out": 1.0}, r"held_out must be a share in \(0, 1\), got 1.0"),
        (
            {"statistics": "fresh"},
            "statistics must be one of 'running', 'stored', 'batch', got 'fresh'",
        ),
        ({"trunk": "zero"}, "trunk must be one of 'network', 'reset', .*, got 'zero'"),
    ],
)
def test_bad_settings_are_refused(setting, message, unchecked):
    with pytest.raises(ValueError, match=message):
        Gpex(**setting)
