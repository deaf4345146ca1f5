"""What each ranking shows first, against formulas of its own and planted answers."""

import pytest
import torch
from torch import nn

from gpex_bench.studies.debugging import rankings
from gpex_bench.studies.debugging.labels import swap, two_classes
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.studies.debugging.repair import Question, repair
from gpex_bench.studies.debugging.representer import last_layer, representer_values, with_constant


@pytest.fixture
def question(made):
    data = two_classes(made.blobs(), ("left", "right"))
    is_wrong = torch.zeros(40, dtype=torch.bool)
    is_wrong[::5] = True
    model = made.fixed([[-0.7, 0.2], [0.8, -0.1]])
    return Question(
        model=model,
        data=swap(data, is_wrong),
        x=data.test.x[:6],
        target=torch.arange(6) % 2,
        seed=4,
    )


@pytest.mark.parametrize("name", list(rankings.BY_NAME))
def test_rankings_are_permutations_that_repeat_and_nest(question, name):
    rank = rankings.BY_NAME[name]
    before = torch.get_rng_state()
    whole = rank(question, 40)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(whole.sort(1).values, torch.arange(40).expand(6, 40))
    assert torch.equal(rank(question, 40), whole)
    assert torch.equal(rank(question, 7), whole[:, :7])


def test_embedding_ranks_by_the_centred_cosine(question):
    x, query = question.data.train.x.double(), question.x.double()
    cosine = nn.functional.cosine_similarity(
        (query - x.mean(0))[:, None], (x - x.mean(0))[None], dim=-1
    )
    ranked = rankings.embedding(question, 40)
    assert (cosine.gather(1, ranked).diff(dim=1) <= 1e-12).all()


def test_representer_values_sum_to_the_pre_activation(question):
    """sum_i alpha_i f_i . f = theta . f for any f, to the tolerance of the fit."""
    f, y = with_constant(question.data.train.x), question.data.train.y
    theta = last_layer(f, y, 2, 0.01)
    alpha = representer_values(f, y, theta, 0.01)
    query = with_constant(torch.randn(9, 2, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close((query @ f.T) @ alpha, query @ theta.T, rtol=1e-6, atol=1e-7)
    assert not torch.allclose((query @ f.T) @ (2 * alpha), query @ theta.T, rtol=1e-2)
    assert not torch.allclose(
        (query @ f.T) @ representer_values(f, y, 1.1 * theta, 0.01), query @ theta.T, rtol=1e-2
    )


def test_the_last_layer_is_scikit_learns(question):
    """Theirs is the sum of losses plus |theta|^2 / (2 C), ours the mean plus penalty |theta|^2."""
    from sklearn.linear_model import LogisticRegression

    f, y = with_constant(question.data.train.x), question.data.train.y
    theta = last_layer(f, y, 2, 0.01)
    # two softmax rows are +-w / 2 of the logistic w, so that penalty |theta|^2 is penalty |w|^2 / 2
    other = LogisticRegression(C=1 / (len(y) * 0.01), fit_intercept=False, tol=1e-10, max_iter=2000)
    w = torch.from_numpy(other.fit(f.numpy(), y.numpy()).coef_[0])
    torch.testing.assert_close(theta[1] - theta[0], w, rtol=1e-5, atol=1e-6)


def test_influence_is_the_formula(question):
    """captum's order is that of g_test' (H + damping)^-1 g_train, in the last layer."""
    f, y = with_constant(question.data.train.x), question.data.train.y
    head = question.model.head
    theta = torch.cat([head.weight, head.bias[:, None]], 1).double()

    def gradients(f, y):
        slope = (f @ theta.T).softmax(1) - nn.functional.one_hot(y, 2).double()
        return (slope[:, :, None] * f[:, None]).flatten(1)

    p = (f @ theta.T).softmax(1)
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    hessian = torch.einsum("nab,nd,ne->adbe", inner, f, f).reshape(6, 6)
    hessian += rankings.DAMPING * len(f) * torch.eye(6, dtype=torch.float64)
    strength = (
        gradients(with_constant(question.x), question.target)
        @ hessian.inverse()
        @ gradients(f, y).T
    )
    ranked = rankings.influence(question, 40)
    assert (strength.gather(1, ranked).diff(dim=1) <= 1e-6 * strength.abs().max()).all()
    against = (
        gradients(with_constant(question.x), 1 - question.target)
        @ hessian.inverse()
        @ gradients(f, y).T
    )
    ours, theirs = strength.argsort(1, descending=True), against.argsort(1)
    assert torch.equal(ours, theirs)  # help for the predicted class is harm to the other one


@pytest.mark.parametrize("name", ["embedding", "representer", "influence"])
def test_planted_wrong_labels_near_the_mistakes_are_found_first(made, name):
    """Mislabelled samples are far from the rest, and so are the mistakes that they explain."""
    from dataclasses import replace

    data = two_classes(made.blobs(), ("left", "right"))
    x, test_x = data.train.x.clone(), data.test.x.clone()
    x[:8] = torch.tensor([0.0, -9.0]) + 0.01 * x[:8]
    test_x[:6] = torch.tensor([0.0, -9.0]) + 0.01 * test_x[:6]
    y, test_y = data.train.y.clone(), data.test.y.clone()
    y[:8], test_y[:6] = 0, 0
    data = replace(
        data, train=replace(data.train, x=x, y=y), test=replace(data.test, x=test_x, y=test_y)
    )
    is_wrong = torch.arange(40) < 8

    def train(current):
        f = with_constant(current.train.x)
        theta = last_layer(f, current.train.y, 2, 0.01).float()
        model = made.Linear()
        model.load_state_dict({"head.weight": theta[:, :2], "head.bias": theta[:, 2]})
        return model.eval().requires_grad_(False)

    plan = Debugging(classes=("left", "right"), per_round=8, rounds=1)
    curve = repair(
        train, rankings.BY_NAME[name], data, is_wrong, plan=plan, seed=0, progress=lambda line: None
    )
    assert curve.found.tolist() == [0, 1]
    assert curve.accuracy[1] > curve.accuracy[0]


def test_a_surrogate_ranks_by_its_neighbours(question):
    from gpex_bench.types import Examples

    class Nearest:
        def eval(self):
            return self

        def neighbours(self, x, target, k, by):
            assert by == "contribution"
            return Examples(
                index=torch.arange(k).flip(0).expand(len(x), k), weight=torch.zeros(len(x), k)
            )

    class Fits:
        def fit(self, model, data, seed, progress):
            assert (model, data, seed) == (question.model, question.data, question.seed)
            return Nearest()

    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        assert rankings.of_surrogate(Fits(), "contribution")(question, 3)[0].tolist() == [2, 1, 0]
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_bad_penalties_are_refused(question):
    f = with_constant(question.data.train.x)
    with pytest.raises(ValueError, match="penalty must be positive, got 0.0"):
        last_layer(f, question.data.train.y, 2, 0.0)
