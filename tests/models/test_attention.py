"""The two-branch attention network.

Shapes, gradients, what the attention does, and what it learns.
"""

import copy

import pytest
import torch
from torch import nn

from gpex_bench.data.mnist5k import Mnist5k
from gpex_bench.models.attention import Attention, AttentionTraining
from gpex_bench.models.blocks.two_branches import HIGH, LOW, shares
from gpex_bench.models.training.loop import accuracy
from gpex_bench.plugins.registry import plugins
from gpex_bench.surrogates.agreement.compare import head_names
from gpex_bench.types import Model, Need
from tests.vocabulary import datasets


def noise(shape=(1, 28, 28), n=5):
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))
    return datasets.dataset(x, classes=4, name="noise")


def network(data, **changes):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Attention(**changes).build(data).eval()


CASES = {
    "plain": ((1, 28, 28), {}, (7, 7)),
    "plain, not square": ((3, 16, 24), {"width": 4, "squeeze": 5, "wide": 6}, (4, 6)),
    "resnet": ((3, 32, 32), {"trunk": "resnet", "width": 4}, (4, 4)),
}


@pytest.fixture(params=CASES)
def case(request):
    shape, changes, grid = CASES[request.param]
    data = noise(shape)
    return network(data, **changes), data, grid


def test_heads_are_the_places_of_a_map(case):
    model, data, grid = case
    x = data.test.x
    assert model.grid(x) == grid
    assert model.explained(x).shape == (5, grid[0] * grid[1])
    assert model(x).shape == (5, 4)
    names = head_names(model, data, grid[0] * grid[1])
    assert names[0] == "row 1, column 1" and names[-1] == f"row {grid[0]}, column {grid[1]}"
    assert names[grid[1]] == "row 2, column 1"
    with pytest.raises(ValueError, match=f"grid of {grid[0]} x {grid[1]} .* 7"):
        head_names(model, data, 7)


def test_outputs_are_the_textbook_formula(case):
    model, data, (rows, columns) = case
    x = data.test.x
    logits = model.explained(x)
    features = model.features(x).double()
    weight = (1 / (1 + torch.exp(-logits.double()))).clip(0.1, 0.9)
    seen = torch.stack(
        [(f.flatten(1) * w).sum(1) / w.sum() for f, w in zip(features, weight, strict=True)]
    )
    wide = torch.relu(seen @ model.neck[0].weight.double().T + model.neck[0].bias)
    expected = wide @ model.head.weight.double().T + model.head.bias
    torch.testing.assert_close(model(x).double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.embed(x).double(), wide, atol=1e-5, rtol=1e-5)
    assert isinstance(model.head, nn.Linear)
    assert logits.unflatten(1, (rows, columns)).equal(model.attend(model.trunk(x)))


def test_the_explained_outputs_are_affine_in_their_features(case):
    model, data, (rows, columns) = case
    features, last = model.explained_features(data.test.x), model.attend.layers[-1]
    assert features.shape == (5, rows * columns, last.in_channels)
    torch.testing.assert_close(
        features @ last.weight.flatten() + last.bias, model.explained(data.test.x)
    )


def test_shares_sum_to_one_and_are_clamped():
    logits = torch.tensor([[[-50.0, 0.0], [50.0, 1.0]]])
    found = shares(logits)
    assert found.sum().item() == pytest.approx(1)
    assert (found[0, 1, 0] / found[0, 0, 0]).item() == pytest.approx(HIGH / LOW)


def test_gradients_reach_both_branches_and_agree_with_differences(case):
    model, data, _ = case
    model(data.test.x).logsumexp(1).sum().backward()
    for branch in (model.trunk, model.attend, model.features, model.neck, model.head):
        assert all(
            parameter.grad is not None and parameter.grad.any() for parameter in branch.parameters()
        )
    model, x = copy.deepcopy(model).double(), data.test.x[:1].double()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, 1], x)
    step = 1e-6 * torch.randn(
        x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    with torch.no_grad():
        change = model(x + step)[0, 1] - model(x - step)[0, 1]
    assert change.item() == pytest.approx(2 * (gradient * step).sum().item(), rel=1e-3, abs=1e-12)


def test_the_explained_outputs_come_from_the_attention_branch_alone(case):
    model, data, _ = case
    trunk = copy.deepcopy(model.trunk)
    before, logits = model.explained(data.test.x), model(data.test.x)
    with torch.no_grad():
        for parameter in (*model.features.parameters(), *model.neck.parameters()):
            parameter.zero_()
    assert torch.equal(model.explained(data.test.x), before)
    assert torch.equal(model.attend(trunk(data.test.x)).flatten(1), before)
    assert not torch.equal(model(data.test.x), logits)


def test_rows_do_not_influence_one_another(case):
    model, data, _ = case
    torch.testing.assert_close(model(data.test.x)[:1], model(data.test.x[:1]), atol=1e-5, rtol=1e-5)


def test_what_it_declares():
    cls = plugins("model")["attention"].cls
    assert cls is Attention and cls.explained == "attention" and cls.takes == {Need.IMAGE}
    assert cls.offers == {Need.GRADIENT, Need.MODULES}
    assert (
        Model.grid(network(noise()), noise().test.x) is None
    )  # networks have none unless they say so


def test_relevance_through_gradients_is_not_conserved_where_the_branches_meet():
    """Why a rule has to say who takes it: the features take all, and the attention more on top."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 3, generator=draw).requires_grad_()
    features = torch.rand(1, 4, 3, 3, generator=draw).requires_grad_()
    output = (features[:, 0] * shares(logits)).sum()
    of_logits, of_features = (
        (part * gradient).sum().item()
        for part, gradient in zip(
            (logits, features), torch.autograd.grad(output, (logits, features)), strict=True
        )
    )
    assert of_features == pytest.approx(output.item())
    assert abs(of_logits) > 0.01 * output.item()


@pytest.mark.parametrize("name", ["width", "squeeze", "wide"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Attention(**{name: 0})


@pytest.mark.slow
def test_digits_are_learned_and_the_attention_varies():
    data = Mnist5k().load()
    model = Attention(training=AttentionTraining(epochs=4)).train(data, 1, lambda line: None)
    assert accuracy(model, data.test.x, data.test.y) >= 0.88
    with torch.no_grad():
        logits = model.explained(data.test.x)
    assert (logits.std(0) > 0.1).float().mean() > 0.9
