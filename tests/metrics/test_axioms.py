"""Networks whose maps must keep a relation, and methods known to keep or to break it."""

from dataclasses import replace

import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.measurements import measured
from gpex_bench.measurements.altered import Altered, unseen
from gpex_bench.metrics.completeness_error import CompletenessError
from gpex_bench.metrics.dummy_error import DummyError
from gpex_bench.metrics.implementation_error import ImplementationError
from gpex_bench.metrics.linearity_error import LinearityError
from gpex_bench.metrics.symmetry_error import SymmetryError
from gpex_bench.models.altered.for_axioms import SPLIT, Blind, Mirrored, Rewritten, mirrored, summed
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Dataset, Model, Query, Task
from gpex_bench.types.demands import Refused

ERRORS = [DummyError(), ImplementationError(), LinearityError(), SymmetryError()]


class Rectified(Model):
    """A small ReLU network; its first layer sees the input directly."""

    def __init__(self, shape):
        super().__init__()
        if len(shape) == 1:
            self.trunk = torch.nn.Sequential(torch.nn.Linear(shape[0], 32), torch.nn.ReLU())
        else:
            self.trunk = torch.nn.Sequential(
                torch.nn.Conv2d(shape[0], 6, 3, padding=1),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2),
                torch.nn.Flatten(),
            )
        self.head = torch.nn.Linear(32 if len(shape) == 1 else 6 * 36, 3)

    def embed(self, x):
        return self.trunk(x)


def task_of(kind):
    torch.manual_seed(0)
    data = toys.dataset(kind)
    task = Task(
        model=Rectified(toys.SHAPES[kind]).eval().requires_grad_(False),
        data=data,
        surrogate=None,
        seed=5,
    )
    return task, Query(x=data.test.x[:4], target=data.test.y[:4], sample=data.test.sample[:4])


TASKS = {kind: task_of(kind) for kind in toys.SHAPES}
KINDS = sorted(TASKS)


def method(name, **settings):
    return plugins("method")[name].cls(**settings)


def score(metric, kind, explainer):
    task, query = TASKS[kind]
    case = Case(
        task=task, query=query, explanation=explainer.explain(task, query), explainer=explainer
    )
    return metric.score(measured(case, [metric]))


def gradients(model, x, target):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(model(x).gather(1, target[:, None]).sum(), x)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rewritten_network_is_the_same_function(kind):
    task, query = TASKS[kind]
    other = Rewritten(task.model, query.x).eval()
    assert query.x.min() < SPLIT < query.x.max()  # both of its branches are used
    torch.testing.assert_close(other(query.x), task.model(query.x), rtol=1e-5, atol=1e-6)
    same = gradients(task.model, query.x, query.target)
    torch.testing.assert_close(gradients(other, query.x, query.target), same, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_blind_network_does_not_see_a_quarter(kind):
    task, query = TASKS[kind]
    case = Case(
        task=task,
        query=query,
        explanation=Attribution(values=query.x),
        explainer=method("random_map"),
    )
    hidden = unseen(case)
    share = hidden.double().mean()
    assert share == (
        2 / 9 if len(query.x.shape) == 4 else 2 / 8
    )  # 9 cells of 4 x 4 pixels, or 8 columns
    blind = Blind(task.model, ~hidden).eval()
    changed = torch.where(
        hidden, torch.randn(query.x.shape, generator=torch.Generator().manual_seed(0)), query.x
    )
    assert torch.equal(blind(changed), blind(query.x))
    assert not torch.allclose(task.model(changed), task.model(query.x))
    torch.testing.assert_close(blind(query.x), task.model(torch.where(hidden, 0.0, query.x)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mirrored_network_is_the_mean_of_both_sides(kind):
    task, query = TASKS[kind]
    both = Mirrored(task.model).eval()
    expected = (task.model(query.x) + task.model(query.x.flip(-1))) / 2
    torch.testing.assert_close(both(query.x), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(both(mirrored(query.x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", [1, 2])
def test_the_summed_network_adds_the_output_of_another_class(step):
    task, query = TASKS["table"]
    own = task.model(query.x)
    expected = torch.stack([own[:, target] + own[:, (target + step) % 3] for target in range(3)], 1)
    torch.testing.assert_close(summed(task.model, step)(query.x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ERRORS, ids=lambda metric: type(metric).__name__)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["gradient_x_input", "integrated_gradients"])
def test_gradients_keep_every_axiom(metric, kind, name):
    assert score(metric, kind, method(name)).max() < 1e-5


BROKEN = [  # which method is known to break what
    (ImplementationError(), "guided_backprop"),  # it rectifies at each ReLU (sixt2020explanations)
    (ImplementationError(), "lrp"),  # rules are laid over layers (sundararajan2017axiomatic)
    (LinearityError(), "sensitivity"),  # squares: (g + h)^2 is not g^2 + h^2
    (LinearityError(), "random_map"),
    (SymmetryError(), "random_map"),
    (DummyError(), "random_map"),
    (DummyError(), "edge_detector"),
]


@pytest.mark.parametrize(
    ("metric", "name"), BROKEN, ids=lambda part: part if isinstance(part, str) else ""
)
def test_methods_that_break_an_axiom_are_found(metric, name):
    assert score(metric, "colour images", method(name)).min() > 0.02


def test_linearity_of_squares_by_hand():
    """On a linear network the gradients g, h are constant: |2 g h| / (|g^2| + |h^2|)."""
    kind, task, query = next(toys.tasks(toys.Linear))
    torch.manual_seed(0)
    task.model.head.weight.data = torch.randn(3, 8)
    explainer = method("sensitivity")
    case = Case(
        task=task, query=query, explanation=explainer.explain(task, query), explainer=explainer
    )
    found = LinearityError().score(measured(case, [LinearityError()]))
    step = {n for n in (1, 2) if torch.allclose(Altered(how="summed").measure(case).values[0, 0],
            (task.model.head.weight[0] + task.model.head.weight[n]) ** 2)}  # fmt: skip
    (n,) = step
    g, h = task.model.head.weight.data.double(), task.model.head.weight.data.double().roll(-n, 0)
    expected = (2 * g * h).norm(dim=1) / ((g**2).norm(dim=1) + (h**2).norm(dim=1))
    torch.testing.assert_close(found, expected[query.target], rtol=1e-5, atol=0)


def test_a_random_map_gives_the_blind_part_its_share_and_is_half_asymmetric():
    share = score(DummyError(), "colour images", method("random_map"))
    assert (share - 2 / 9).abs().max() < 0.08
    assert (
        score(SymmetryError(), "colour images", method("random_map")) - 0.5**0.5
    ).abs().max() < 0.08


def test_symmetry_is_asked_with_a_symmetric_baseline():
    seen = []

    class Spy(type(method("random_map"))):
        def explain(self, task, query):
            seen.append((task.data, query.x))
            return super().explain(task, query)

    task, query = TASKS["table"]
    tilted = replace(task.data, baseline=torch.arange(8.0))
    assert isinstance(tilted, Dataset)
    case = Case(
        task=replace(task, data=tilted),
        query=query,
        explanation=Attribution(values=query.x),
        explainer=Spy(),
    )
    Altered(how="mirrored").measure(case)
    ((data, x),) = seen
    assert torch.equal(data.baseline, data.baseline.flip(0)) and torch.equal(x, x.flip(1))
    assert data.baseline.tolist() == [3.5] * 8


@pytest.mark.parametrize("kind", KINDS)
def test_completeness_error_by_hand(kind):
    task, query = TASKS[kind]
    change = (task.model(query.x) - task.model(task.data.baseline[None])).gather(
        1, query.target[:, None]
    )[:, 0]
    metric = CompletenessError()
    assert score(metric, kind, method("integrated_gradients", budget=400)).max() < 0.05
    even = (
        torch.ones_like(query.x) / query.x[0].numel() * change.view(-1, *[1] * (query.x.ndim - 1))
    )
    for factor, expected in ((1.0, 0.0), (1.5, 0.5), (-1.0, 2.0)):
        case = Case(
            task=task,
            query=query,
            explanation=Attribution(values=factor * even),
            explainer=method("random_map"),
        )
        torch.testing.assert_close(
            metric.score(case), torch.full((4,), expected).double(), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_completeness_error_does_not_depend_on_the_units_of_the_output(factor):
    task, query = TASKS["table"]
    other = toys.Linear((8,)).eval()
    other.head.weight.data *= factor
    linear = replace(task, model=toys.Linear((8,)).eval())
    scaled = replace(task, model=other)
    exact = method("gradient_x_input").explain(linear, query).values
    found = []
    for asked, values in ((linear, exact), (scaled, factor * exact)):
        case = Case(
            task=asked,
            query=query,
            explanation=Attribution(values=0.75 * values),
            explainer=method("random_map"),
        )
        found.append(CompletenessError().score(case))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=0)
    torch.testing.assert_close(found[0], torch.full((4,), 0.25).double(), rtol=1e-3, atol=0)


def test_the_maps_of_a_module_that_a_network_names_are_found_again():
    """Grad-CAM takes the module `features` of a network that has one, and the network of two
    branches has one.
    """
    _, query = TASKS["colour images"]
    data = replace(toys.dataset("colour images"), features=())
    torch.manual_seed(0)
    model = (
        plugins("model")["attention"]
        .cls(width=4, squeeze=4, wide=16)
        .build(data)
        .eval()
        .requires_grad_(False)
    )
    explainer, task = method("grad_cam"), Task(model=model, data=data, surrogate=None, seed=5)
    case = Case(
        task=task, query=query, explanation=explainer.explain(task, query), explainer=explainer
    )
    found = ImplementationError().score(measured(case, [ImplementationError()]))
    assert case.explanation.values.abs().max() > 0 and found.max() < 1e-4


@pytest.mark.parametrize("how", ["rewritten", "blind", "mirrored", "summed"])
@pytest.mark.parametrize(
    "name", ["lrp", "deeplift", "grad_cam", "guided_backprop", "full_grad", "occlusion", "lime"]
)
def test_every_family_of_methods_can_explain_the_altered_networks(how, name):
    task, query = TASKS["colour images"]
    case = Case(
        task=task, query=query, explanation=Attribution(values=query.x), explainer=method(name)
    )
    before = {key: tensor.clone() for key, tensor in task.model.state_dict().items()}
    if (how, name) == ("mirrored", "grad_cam"):
        # two trunks see the image, so that no single map is that of the network
        with pytest.raises(Refused, match="layer"):
            Altered(how=how).measure(case)
        return
    found = Altered(how=how).measure(case).values
    assert found.shape == (4, 1, 3, 12, 12) and found.isfinite().all() and found.abs().max() > 0
    assert all(torch.equal(tensor, before[key]) for key, tensor in task.model.state_dict().items())
