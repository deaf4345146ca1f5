"""What every surrogate beside GPEX promises: on tables, images and attention maps."""

import re

import pytest
import torch

from gpex_bench.surrogates.agreement.compare import compare
from gpex_bench.surrogates.arc_cosine import ArcCosine
from gpex_bench.surrogates.exact_gp import ExactGp
from gpex_bench.surrogates.knn import Knn
from gpex_bench.surrogates.laplace import Laplace
from gpex_bench.surrogates.last_layer import LastLayer
from gpex_bench.surrogates.ntk import Ntk
from gpex_bench.surrogates.nystrom import Nystrom
from gpex_bench.surrogates.svgp import Svgp
from gpex_bench.types import Progress

SUM = 1e-4  # float32 terms that cancel, relative to their size
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

RECIPES = [
    LastLayer(),
    Ntk(dim=60),
    Ntk(dim=40, kernel="per_head", entries="gaussian"),
    Nystrom(n_landmarks=30),
    ArcCosine(dim=40),
    ArcCosine(dim=80, expansion="random"),
    ExactGp(n_points=60, n_tuned=40, n_steps=10),
    ExactGp(n_points=60, n_tuned=40, n_steps=10, kernel="linear"),
    Svgp(n_inducing=16, dim=6, n_steps=60, n_mixed=200),
    Svgp(
        n_inducing=8,
        dim=4,
        n_steps=3,
        n_mixed=64,
        inducing="per_head",
        objective="elbo",
        trunk_learning_rate=1e-3,
    ),
    Laplace(prior_steps=5),
    Laplace(prior_steps=5, structure="diag"),
    Knn(),
    Knn(k=3, weights="uniform", metric="cosine"),
]
CASES = [
    pytest.param(
        name,
        recipe,
        id=f"{name}-{number}-{type(recipe).__name__}",
        # a recipe's second setting has no image code of its own
        marks=pytest.mark.slow
        if name == "images" and type(RECIPES[number - 1]) is type(recipe)
        else (),
    )
    for name in ("table", "images", "attention")
    for number, recipe in enumerate(RECIPES)
    if name != "attention" or "attention" in recipe.takes_explained
]
every = pytest.mark.parametrize(("name", "recipe"), CASES)


def attributes(recipe):
    """Whether its mean is a sum of shares of training samples."""
    return not isinstance(recipe, Svgp | Laplace)


@every
def test_a_fit_stands_in_for_every_head(name, recipe, fitted):
    model, data, surrogate = fitted(name, recipe)
    found = surrogate.posterior(data.test.x)
    assert found.mean.shape == found.variance.shape == model.explained(data.test.x).shape
    assert found.mean.dtype == found.variance.dtype == torch.float32
    assert found.mean.isfinite().all() and (found.variance >= 0).all()
    assert not surrogate.training
    assert not any(parameter.requires_grad for parameter in surrogate.parameters())
    table = compare(model, surrogate, data, seed=0, n_mixed=50)[0]
    if recipe != RECIPES[9]:  # three steps
        assert (
            table[(table.statistic == "mean_pearson") & (table.split == "test")].value.item() > 0.3
        )


@pytest.mark.parametrize(("name", "recipe"), [case for case in CASES if case.values[0] == "images"])
def test_a_fit_repeats_and_leaves_the_rest_alone(name, recipe, fitted):
    model, data, first = fitted(name, recipe)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    before = torch.get_rng_state()
    second = recipe.fit(model, data, 1, Progress())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[key], tensor) for key, tensor in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@every
def test_a_surrogate_survives_its_state_dict(name, recipe, fitted):
    model, data, surrogate = fitted(name, recipe)
    back = recipe.restore(
        model, data, {key: tensor.clone() for key, tensor in surrogate.state_dict().items()}
    )
    x = data.test.x[:7]
    target = torch.arange(7) % 3
    assert torch.equal(back.posterior(x).mean, surrogate.posterior(x).mean)
    assert torch.equal(back.posterior(x).variance, surrogate.posterior(x).variance)
    assert torch.equal(back.offset(target), surrogate.offset(target))
    if not isinstance(recipe, Laplace):
        assert torch.equal(back.similarity(x, target), surrogate.similarity(x, target))
    assert not back.training
    own = {id(parameter) for parameter in model.parameters()}
    assert not own & {id(tensor) for tensor in surrogate.parameters()}, (
        "the network's weights are in its own artefact"
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_a_foreign_state_is_refused(recipe, fitted):
    model, data, surrogate = fitted("table", recipe)
    state = surrogate.state_dict()
    for bad in (
        {},
        {key: tensor for key, tensor in list(state.items())[1:]},
        state | {"more": torch.ones(2)},
    ):
        with pytest.raises(ValueError, match="This is not the state of"):
            recipe.restore(model, data, bad)


@pytest.mark.parametrize(("name", "recipe"), [case for case in CASES if attributes(case.values[1])])
def test_contributions_and_offset_sum_to_the_mean(name, recipe, fitted):
    _, data, surrogate = fitted(name, recipe)
    x, target = data.test.x[:7], torch.arange(7) % 3
    shares = surrogate.contribution(x, target)
    assert shares.shape == (7, len(data.train.x))
    mean = surrogate.posterior(x).mean[torch.arange(7), target]
    total = shares.double().sum(1) + surrogate.offset(target)
    assert ((total - mean).abs() <= SUM * (1 + mean.abs()) + 1e-6 * shares.abs().sum(1)).all()


@pytest.mark.parametrize(
    ("name", "recipe"), [case for case in CASES if not isinstance(case.values[1], Laplace)]
)
def test_a_training_sample_is_most_like_itself(name, recipe, fitted):
    _, data, surrogate = fitted(name, recipe)
    rows = surrogate.index[:5] if isinstance(recipe, ExactGp) else torch.arange(5)
    target = torch.arange(5) % 3
    similarity = surrogate.similarity(data.train.x[rows], target)
    own = similarity[torch.arange(5), rows]
    torch.testing.assert_close(own, similarity.amax(1), rtol=1e-4, atol=1e-4)
    examples = surrogate.neighbours(data.train.x[rows], target, 3)
    assert examples.index.shape == (5, 3)
    assert (examples.weight.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_a_constant_head_and_duplicated_samples_are_legal(recipe, tiny):
    model, data = tiny.table()
    model.head.weight[1] = 0
    data.train.x[1:30] = data.train.x[0]
    surrogate = recipe.fit(model, data, 0, Progress())
    found = surrogate.posterior(data.test.x)
    assert (
        found.mean.isfinite().all()
        and found.variance.isfinite().all()
        and (found.variance >= 0).all()
    )
    torch.testing.assert_close(found.mean[:, 1], model.head.bias[1].expand(len(found.mean)))
    if not isinstance(recipe, Laplace):
        assert (found.variance[:, 1] <= 1e-10).all()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
@pytest.mark.parametrize("what", ["input", "output"])
def test_outputs_that_are_not_finite_are_refused(what, recipe, tiny):
    model, data = tiny.table()
    (data.train.x if what == "input" else model.head.bias)[1] = torch.nan
    with pytest.raises(ValueError, match="must be finite"):
        recipe.fit(model, data, 0, Progress())


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_a_network_without_heads_is_refused(recipe, tiny):
    _, data = tiny.table()
    model = tiny.seeded(lambda: tiny.Tiny(torch.nn.Linear(6, 32), 32, 0))
    with pytest.raises(ValueError, match="must have at least 1 head, got 0"):
        recipe.fit(model, data, 0, Progress())


@pytest.mark.parametrize("recipe", [Svgp(n_steps=3, n_mixed=8), Laplace(prior_steps=2)])
def test_what_cannot_be_attributed_says_so(recipe, fitted):
    _, data, surrogate = fitted("table", recipe)
    with pytest.raises(NotImplementedError, match="has no contributions of training samples"):
        surrogate.contribution(data.test.x[:2], torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LastLayer(noise=0.0), "noise must be positive and finite, got 0.0"),
        (lambda: Ntk(dim=0), "dim must be at least 1, got 0"),
        (lambda: Ntk(kernel="all"), "kernel must be one of 'per_head', 'shared', got 'all'"),
        (lambda: Nystrom(n_landmarks=0), "n_landmarks must be at least 1, got 0"),
        (lambda: Nystrom(length=-1.0), "length must be positive and finite, got -1.0"),
        (
            lambda: ArcCosine(expansion="exact"),
            "expansion must be one of 'nystrom', 'random', got 'exact'",
        ),
        (lambda: ExactGp(n_points=1), "n_points must be at least 2, got 1"),
        (lambda: ExactGp(kernel="cubic"), "kernel must be one of 'rbf', 'linear', got 'cubic'"),
        (lambda: Svgp(n_inducing=0), "n_inducing must be at least 1, got 0"),
        (
            lambda: Svgp(learning_rate=float("nan")),
            "learning_rate must be positive and finite, got nan",
        ),
        (lambda: Svgp(objective="map"), "objective must be one of 'pll', 'elbo', got 'map'"),
        (lambda: Laplace(structure="full"), "structure must be one of 'kron', 'diag', got 'full'"),
        (lambda: Knn(k=0), "k must be at least 1, got 0"),
        (lambda: Knn(weights="rank"), "weights must be one of 'uniform', 'distance', got 'rank'"),
    ],
)
def test_bad_settings_are_refused(make, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
