"""Gradient methods against derivatives on paper, identities and one another."""

import copy
from dataclasses import replace

import captum.attr
import pytest
import torch
import zennit.composites
from torch import nn

from gpex_bench.contract import calls, toys
from gpex_bench.contract.cost import counted
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.models.blocks.residual import ResnetModel
from gpex_bench.models.cnn import CnnModel
from gpex_bench.types.demands import Refused


def test_sensitivity_of_a_weighted_sum_of_squares(formula, task, query, method, normal):
    weight, x = normal(2, 5), normal(4, 5, seed=1)
    model = formula(lambda x: x.square() @ weight.T, 2)
    target = torch.tensor([0, 1, 1, 0])
    values = method("sensitivity").explain(task(model, x), query(x, target)).values
    torch.testing.assert_close(values, (2 * weight[target] * x).square())


def test_gradient_x_input_of_a_product(formula, task, query, method, normal):
    x = normal(4, 2)
    values = (
        method("gradient_x_input")
        .explain(task(formula(lambda x: x.prod(1, keepdim=True), 1), x), query(x))
        .values
    )
    torch.testing.assert_close(
        values, x.prod(1, keepdim=True).expand(-1, 2)
    )  # x dy/dx = xy for both


def test_gradient_x_input_conserves_without_biases(layers, task, query, method, normal):
    model = layers(
        nn.Sequential(nn.Linear(6, 20, bias=False), nn.ReLU()), nn.Linear(20, 3, bias=False)
    )
    x = normal(5, 6)
    values = method("gradient_x_input").explain(task(model, x), query(x, 2)).values
    torch.testing.assert_close(values.sum(1), model(x)[:, 2].detach())


def test_gradient_x_input_compares_with_the_baseline_or_with_zero(
    formula, task, query, method, normal
):
    weight, x, baseline = normal(3, 6), normal(4, 6, seed=1), normal(6, seed=2)
    asked = task(formula(lambda x: x @ weight.T, 3), x, baseline=baseline)
    values = method("gradient_x_input").explain(asked, query(x, 1)).values
    torch.testing.assert_close(values, weight[1] * (x - baseline))

    of_zero = method("gradient_x_input", relative_to="zero")
    torch.testing.assert_close(of_zero.explain(asked, query(x, 1)).values, weight[1] * x)
    with pytest.raises(ValueError, match="relative_to must be one of 'baseline', 'zero', .*got"):
        method("gradient_x_input", relative_to="black")


@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_integrated_gradients_of_a_linear_network(formula, task, query, method, normal, offset):
    weight, x = normal(3, 6), normal(4, 6, seed=1)
    asked = task(formula(lambda x: x @ weight.T, 3), x, baseline=torch.full((6,), offset))
    values = method("integrated_gradients", budget=5).explain(asked, query(x, 1)).values
    torch.testing.assert_close(values, weight[1] * (x - offset))
    if offset == 0:
        torch.testing.assert_close(
            values, method("gradient_x_input").explain(asked, query(x, 1)).values
        )


def test_integrated_gradients_of_a_product(formula, task, query, method, normal):
    x = normal(4, 2)
    asked = task(formula(lambda x: x.prod(1, keepdim=True), 1), x)
    values = method("integrated_gradients").explain(asked, query(x)).values
    torch.testing.assert_close(values, x.prod(1, keepdim=True).expand(-1, 2) / 2)  # half of xy each


def test_integrated_gradients_are_complete_and_more_so_with_more_steps(method):
    for _, asked, wanted in toys.tasks(toys.Smooth):
        with torch.no_grad():
            logits = asked.model(torch.cat([wanted.x, asked.data.baseline[None]]))
        change = (logits[:-1] - logits[-1]).gather(1, wanted.target[:, None])[:, 0]
        off = []
        for budget in (2, 4, 50):
            values = method("integrated_gradients", budget=budget).explain(asked, wanted).values
            off.append(float((values.flatten(1).sum(1) - change).abs().max()))
        assert off[0] >= off[1] > off[2] - 1e-6
        assert off[2] < 1e-5


# --- saliency, simple Taylor --------------------------------------------------------------------


def test_saliency_is_the_root_of_sensitivity(method):
    for _, asked, wanted in toys.tasks(toys.Smooth):
        values = method("saliency").explain(asked, wanted).values
        torch.testing.assert_close(
            values.square(), method("sensitivity").explain(asked, wanted).values
        )
        assert float(values.min()) >= 0


def test_simple_taylor_of_an_affine_network_finds_the_root_and_explains_all(
    formula, task, query, method, normal
):
    weight, x = normal(5), normal(30, 5, seed=1)
    model = formula(lambda x: (x @ weight + 0.5)[:, None], 1)
    asked = task(model, x, baseline=torch.full((5,), -0.3))
    found = method("simple_taylor", budget=40).explain(asked, query(x))
    step, logit = x + 0.3, x @ weight + 0.5
    share = logit / (step @ weight)  # how far from x the root is, in steps to the baseline
    on_line = (share >= 0) & (share <= 1)
    assert 5 < int(on_line.sum()) < 25
    expected = weight * step * share[:, None]
    torch.testing.assert_close(found.values[on_line], expected[on_line], atol=0.01, rtol=0)
    assert float(found.residual[on_line].abs().max()) < 0.01
    torch.testing.assert_close(found.residual, logit - found.values.sum(1), atol=1e-5, rtol=0)
    # no root between x and the baseline: the nearer to zero of the two ends
    nearest = torch.where(share < 0, 0.0, 1.0)
    torch.testing.assert_close(found.values[~on_line], (weight * step * nearest[:, None])[~on_line])


def test_simple_taylor_takes_the_root_nearest_to_the_input(formula, task, query, method):
    """Roots of (x - 1) (x - 2) (x - 3) on the way from 4 to 0; the slope at 3 is 2."""
    model = formula(lambda x: (x - 1) * (x - 2) * (x - 3), 1)
    x = torch.tensor([[4.0], [2.6]])
    found = method("simple_taylor", budget=40).explain(task(model, x), query(x))
    torch.testing.assert_close(found.values, torch.tensor([[2.0], [-0.6]]), atol=0.02, rtol=0)
    torch.testing.assert_close(
        found.residual, torch.tensor([6 - 2.0, -0.384 + 0.6]), atol=0.02, rtol=0
    )


def test_simple_taylor_at_the_baseline(formula, task, query, method, normal):
    x = normal(4, 3)
    asked = task(
        formula(lambda x: x.square().sum(1, keepdim=True), 1), x, baseline=torch.full((3,), 0.5)
    )
    found = method("simple_taylor", root="baseline").explain(asked, query(x))
    torch.testing.assert_close(found.values, x - 0.5)  # the slope at the baseline is 1
    torch.testing.assert_close(found.residual, x.square().sum(1) - (x - 0.5).sum(1))


# --- averages of gradients ----------------------------------------------------------------------


def test_smoothgrad_without_noise_is_the_gradient(method):
    for _, asked, wanted in toys.tasks(toys.Smooth):
        values = method("smoothgrad", noise=0.0, budget=3).explain(asked, wanted).values
        torch.testing.assert_close(values.abs(), method("saliency").explain(asked, wanted).values)


def test_smoothgrad_of_a_cube_sees_the_noise(formula, task, query, method, normal):
    """The gradient of x^3 is 3 x^2, its mean under noise of variance v is 3 (x^2 + v); v = (0.5
    range)^2.
    """
    x = torch.tensor([[-1.0, 0.0, 0.5, 1.0]])
    model = formula(lambda x: x.pow(3).sum(1, keepdim=True), 1)
    values = method("smoothgrad", noise=0.5, budget=20000).explain(task(model, x), query(x)).values
    torch.testing.assert_close(values, 3 * (x.square() + 1), atol=0.15, rtol=0)


def test_expected_gradients_of_a_linear_network_are_those_of_the_mean(
    formula, task, query, method, normal
):
    weight, train, x = normal(3, 6), normal(12, 6, seed=1), normal(4, 6, seed=2)
    asked = task(formula(lambda x: x @ weight.T, 3), x, train=train)
    values = method("expected_gradients", budget=20000).explain(asked, query(x, 1)).values
    torch.testing.assert_close(values, weight[1] * (x - train.mean(0)), atol=0.06, rtol=0)


def test_expected_gradients_come_to_the_mean_of_integrated_gradients(method):
    _, asked, wanted = next(toys.tasks(toys.Smooth))
    means = []
    for baseline in asked.data.train.x:
        data = replace(asked.data, baseline=baseline)
        means.append(
            method("integrated_gradients").explain(replace(asked, data=data), wanted).values
        )
    expected = torch.stack(means).mean(0)
    off = [
        float(
            (method("expected_gradients", budget=budget).explain(asked, wanted).values - expected)
            .abs()
            .mean()
        )
        for budget in (20, 20000)
    ]
    assert off[1] < 0.1 * off[0]
    assert off[1] < 0.02 * float(expected.abs().mean())


# --- guided backpropagation, DeepLift -----------------------------------------------------------


@pytest.fixture(params=["cnn", "resnet"])
def image_network(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CnnModel(3, 4, 32, 3) if request.param == "cnn" else ResnetModel(3, 8, 32, 3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.bias.data.normal_()
    return model.requires_grad_(False).eval()


def test_guided_backprop_by_hand(layers, task, query, method):
    """Logit = relu(x1) - relu(x2) + relu(-x1): only the first unit is active and gets a positive
    gradient.
    """
    hidden, head = nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False)
    hidden.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    head.weight.data = torch.tensor([[1.0, -1.0, 1.0]])
    x = torch.tensor([[2.0, 3.0]])
    asked = task(layers(nn.Sequential(hidden, nn.ReLU()), head), x)
    assert torch.equal(
        method("guided_backprop").explain(asked, query(x)).values, torch.tensor([[1.0, 0.0]])
    )
    assert torch.equal(
        method("saliency").explain(asked, query(x)).values, torch.tensor([[1.0, 1.0]])
    )


def test_guided_backprop_is_zennits(image_network, task, query, method, normal):
    x, target = normal(3, 3, 16, 16), torch.tensor([0, 1, 2])
    values = method("guided_backprop").explain(task(image_network, x), query(x, target)).values
    y = x.clone().requires_grad_()
    with zennit.composites.GuidedBackprop().context(image_network) as modified:
        (expected,) = torch.autograd.grad(modified(y).gather(1, target[:, None]).sum(), y)
    torch.testing.assert_close(values, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


def test_guided_backprop_without_relu_is_refused(method):
    for _, asked, wanted in toys.tasks(toys.Smooth):
        with pytest.raises(Refused, match="defined for ReLUs, and Softplus at trunk") as caught:
            method("guided_backprop").explain(asked, wanted)
        assert "use saliency" in str(caught.value)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Softplus, nn.Tanh])
def test_deeplift_of_one_hidden_layer_is_integrated_gradients(
    layers, task, query, method, normal, activation
):
    """Before a single layer of units, the path to the baseline is straight: mean slope =
    difference quotient.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(nn.Sequential(nn.Linear(5, 30), activation()), nn.Linear(30, 3))
    x = normal(4, 5)
    asked, wanted = task(model, x, baseline=normal(5, seed=1)), query(x, 2)
    values = method("deeplift").explain(asked, wanted).values
    expected = method("integrated_gradients", budget=300).explain(asked, wanted).values
    torch.testing.assert_close(
        values, expected, atol=1e-2, rtol=0
    )  # kinks slow the quadrature down
    assert float(expected.abs().max()) > 0.1


def test_deeplift_of_two_hidden_layers_by_hand(layers, task, query, method):
    """f = relu(2 - relu(x)) at 3 from 0: relu(x) rises by 3 of 3, the outer unit falls from 2 to
    0, by 2 of 3.
    """
    inner, outer, head = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)
    for layer, weight, bias in ((inner, 1.0, 0.0), (outer, -1.0, 2.0), (head, 1.0, 0.0)):
        layer.weight.data.fill_(weight)
        layer.bias.data.fill_(bias)
    x = torch.tensor([[3.0]])
    asked = task(layers(nn.Sequential(inner, nn.ReLU(), outer, nn.ReLU()), head), x)
    found = method("deeplift").explain(asked, query(x))
    torch.testing.assert_close(found.values, torch.tensor([[-2.0]]))


def test_deeplift_is_complete(image_network, task, query, method, normal):
    """Captum's rule lost a fifth of the change where a ReLU is followed by max pooling."""
    x = normal(3, 3, 16, 16)
    asked = task(image_network, x, baseline=normal(3, 16, 16, seed=1))
    found = method("deeplift").explain(asked, query(x, 1))
    change = (image_network(x) - image_network(asked.data.baseline[None]))[:, 1]
    size = float(change.abs().max())
    torch.testing.assert_close(found.values.flatten(1).sum(1), change, atol=1e-4 * size, rtol=0)
    torch.testing.assert_close(found.residual, torch.zeros(3), atol=1e-4 * size, rtol=0)


def _kept_apart(network):
    """Return a copy whose modules see copies of their inputs.

    Otherwise a hook of captum's rewrites the gradient that the next one has stored, where two
    modules with hooks follow one another.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_pre_hook(lambda module, args: tuple(a.clone() for a in args))
    return network


@pytest.mark.filterwarnings(
    "ignore:Setting forward, backward hooks and attributes on non-linear:UserWarning"
)
def test_deeplift_shap_is_captums_for_the_same_baselines(
    image_network, task, query, method, normal
):
    x, train = normal(2, 3, 16, 16), normal(9, 3, 16, 16, seed=1)
    asked, wanted = task(image_network, x, train=train), query(x, 1)
    found = method("deeplift_shap", budget=12).explain(asked, wanted)
    twin = captum.attr.DeepLiftShap(_kept_apart(image_network))
    for row, sample in enumerate(wanted.sample.tolist()):
        drawn = train[torch.randint(9, (6,), generator=asked.generator(sample))]
        expected = twin.attribute(x[row : row + 1], drawn, target=1)[0].detach().float()
        size = float(expected.abs().max())
        torch.testing.assert_close(found.values[row], expected, atol=1e-4 * size, rtol=1e-3)
        with torch.no_grad():
            change = image_network(x[row : row + 1])[0, 1] - image_network(drawn)[:, 1].mean()
        total = found.values[row].sum()
        allowed = 1e-4 * float(change.abs())
        torch.testing.assert_close(total, change, atol=allowed, rtol=0)
        torch.testing.assert_close(found.residual[row], change - total, atol=allowed, rtol=0)


# --- networks through which no gradient comes, or not to all entries ---------------------------


class Lstm(nn.Module):
    """Reads the columns one by one."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(1, 4, batch_first=True)

    def forward(self, x):
        return self.cell(x[..., None])[0][:, -1]


class Words(nn.Module):
    """Reads the columns as numbers of words."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 4)

    def forward(self, x):
        return self.words(x.long().clamp(0, 4)).mean(1)


class Quiet(nn.Module):
    """Computes without gradients."""

    @torch.no_grad()
    def forward(self, x):
        return x.square().repeat(1, 2)[:, :4]


class Ignored(nn.Module):
    """Answers with a weight of its own, which needs a gradient."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.weight.expand(len(x), 4)


GRADIENTS = (
    *("sensitivity", "saliency", "gradient_x_input", "simple_taylor", "integrated_gradients"),
    *("expected_gradients", "smoothgrad"),
)


@pytest.mark.parametrize("trunk", [Words, Quiet, Ignored])
@pytest.mark.parametrize("name", GRADIENTS)
def test_a_network_through_which_no_gradient_comes_is_refused(
    layers, task, query, method, normal, name, trunk
):
    model = layers(trunk(), nn.Linear(4, 2))
    x = normal(3, 3).abs()
    message = "as whole numbers" if trunk is Words else "No gradient of the outputs arrives"
    with pytest.raises(Refused, match=message) as caught:
        method(name).explain(task(model, x), query(x))
    assert "such as occlusion" in str(caught.value)


@pytest.mark.parametrize("cast", [lambda x: x.long(), lambda x: x.to(torch.int32)])
@pytest.mark.parametrize("name", GRADIENTS)
def test_one_column_that_is_embedded_is_not_zero_but_refused(
    formula, task, query, method, normal, name, cast
):
    """The others have a gradient; zero for this one would say that it does not matter."""
    words = normal(4, 2)
    model = formula(lambda x: words[cast(x[:, 0].clamp(0, 3))] + x[:, 1:].square(), 2)
    x = normal(3, 3)
    with pytest.raises(Refused, match="as whole numbers"):
        method(name).explain(task(model, x), query(x))


@pytest.mark.parametrize("name", GRADIENTS)
def test_entries_that_are_not_read_have_no_gradient(formula, task, query, method, normal, name):
    x = normal(3, 4)
    model = formula(lambda x: x[:, :2].square(), 2)
    values = method(name).explain(task(model, x), query(x)).values
    assert float(values[:, 0].abs().min()) > 0
    assert float(values[:, 1:].abs().max()) == 0


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_network_may_write_on_its_input(formula, task, query, method, normal, name):
    """The right values are those of the same network that does not."""
    x, kept = normal(3, 2), normal(3, 2)
    written = formula(lambda x: x.sub_(0.3).div_(0.7).square(), 2)
    plain = formula(lambda x: ((x - 0.3) / 0.7).square(), 2)
    values = method(name).explain(task(written, x, train=kept.clone()), query(x)).values
    expected = method(name).explain(task(plain, kept), query(kept)).values
    torch.testing.assert_close(values, expected)
    assert torch.equal(x, kept)


def test_the_gradient_of_an_lstm_is_its_difference_quotient(layers, task, query, method, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(Lstm(), nn.Linear(4, 2)).eval()
    x, step = normal(3, 5), 1e-5
    values = method("gradient_x_input").explain(task(model, x), query(x)).values / x
    model.double()
    for column in range(5):
        shift = step * torch.eye(5).double()[column]
        quotient = (model(x + shift) - model(x - shift))[:, 0] / (2 * step)
        torch.testing.assert_close(values[:, column].double(), quotient, atol=1e-5, rtol=1e-4)


# --- all of them --------------------------------------------------------------------------------

DETERMINISTIC = (
    "sensitivity",
    "saliency",
    "gradient_x_input",
    "simple_taylor",
    "integrated_gradients",
)
SAMPLED = ("expected_gradients", "smoothgrad")
MODULES = ("guided_backprop", "deeplift", "deeplift_shap", "lrp", "deep_taylor")


@pytest.mark.parametrize(
    "name, forward, backward",
    [
        *[
            (name, 1, 1)
            for name in ("sensitivity", "saliency", "gradient_x_input", "guided_backprop")
        ],
        *[
            ("integrated_gradients", 50, 50),
            ("expected_gradients", 200, 200),
            ("smoothgrad", 50, 50),
        ],
        *[("simple_taylor", 26, 1), ("deeplift", 2, 1), ("deeplift_shap", 40, 20)],
    ],
)
def test_cost(method, name, forward, backward):
    _, asked, wanted = next(toys.tasks(toys.Rectified))
    with counted(asked.model) as cost:
        method(name).explain(asked, wanted)
    assert (cost.forward, cost.backward) == (forward * len(wanted.x), backward * len(wanted.x))


@pytest.mark.parametrize("name", [*DETERMINISTIC, *SAMPLED, *MODULES])
def test_gradients_are_taken_even_where_they_are_switched_off(method, name):
    _, asked, wanted = next(toys.tasks(toys.Rectified))
    expected = method(name).explain(asked, wanted).values
    with torch.no_grad():
        assert torch.equal(method(name).explain(asked, wanted).values, expected)


@pytest.mark.parametrize("name", [*DETERMINISTIC, *SAMPLED])
def test_gradients_that_are_not_finite_are_named(formula, task, query, method, name):
    """The root of zero has an infinite slope; elsewhere nothing is wrong."""
    model = formula(lambda x: x.clamp(min=0).sqrt().sum(1, keepdim=True) / 0 * x[:, :1], 1)
    x = torch.tensor([[1.0, 2.0], [0.0, 2.0]])
    with pytest.raises(BrokenPromise, match="values of sample 10 are NaN or infinite"):
        calls.explain(method(name), task(model, x), query(x))


@pytest.mark.parametrize("name", [*DETERMINISTIC, *SAMPLED, *MODULES[:3]])
def test_constant_output_has_no_explanation(layers, task, query, method, normal, name):
    model = layers(nn.Sequential(nn.Linear(3, 8), nn.ReLU()), nn.Linear(8, 2))
    model.head.weight.data *= 0
    x = normal(4, 3)
    assert float(method(name).explain(task(model, x), query(x, 1)).values.abs().max()) == 0


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("integrated_gradients", {"budget": 1}, "budget must be at least 2, got 1"),
        ("expected_gradients", {"budget": 0}, "budget must be at least 1, got 0"),
        ("smoothgrad", {"budget": 0}, "budget must be at least 1, got 0"),
        ("smoothgrad", {"noise": -0.1}, "noise must be at least 0, got -0.1"),
        (
            "deeplift_shap",
            {"budget": 1},
            "budget must be at least 2, a sample and a baseline, got 1",
        ),
        ("simple_taylor", {"budget": 9}, "budget must be at least 10, got 9"),
        ("simple_taylor", {"root": "zero"}, "root must be 'search' or 'baseline', got 'zero'"),
    ],
)
def test_impossible_settings_are_refused(method, name, parameters, message):
    with pytest.raises(ValueError, match=message):
        method(name, **parameters)
