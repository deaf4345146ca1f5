"""The benchmarks of random and of torchvision's networks: their twins agree with one another, a
planted fault is found, and methods are right on a few networks of each.
"""

import dataclasses
import sys

import pytest
import torch
from torch import nn

from gpex_bench.plugins.registry import ROOT, plugins
from gpex_bench.types import Attribution
from gpex_bench.types.demands import Refused

sys.path.insert(0, str(ROOT / "benchmarks"))

import fuzz
import fuzz_build
import fuzz_cells
import fuzz_draw
import fuzz_ops
import fuzz_relevance
import fuzz_right
import fuzz_rules
import fuzz_subjects
import fuzz_twins
import networks
import networks_subjects
import networks_units

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's old weight norm

SEED = 7
NETWORKS = range(5)
BY_NAME = {cell.name: cell for cell in fuzz_right.CELLS}
FAMILIES = {family.name: family for family in networks_subjects.FAMILIES}


@pytest.mark.parametrize("number", range(12))
def test_a_description_and_what_is_built_from_it_are_one_network(number):
    about = fuzz_subjects.subject(SEED, number)
    x = about.query.x
    right = fuzz_ops.run(about.description, x.double())[-1]
    plain = fuzz_build.build(fuzz_build.plain(about.description))
    for found in (about.network(x), plain(x)):
        torch.testing.assert_close(found.double(), right, rtol=1e-4, atol=1e-5)


def test_a_network_depends_on_seed_and_number_only():
    one, again, other = (fuzz_draw.draw(SEED, number).text for number in (3, 3, 4))
    assert one == again
    assert one != other


@pytest.mark.parametrize("number", range(8))
def test_gradients_of_the_twin_are_finite_differences(number):
    about = fuzz_subjects.subject(SEED, number)
    x, target, _ = about.inputs(torch.float64)
    gradient = fuzz_twins.gradient(about.description, x, target)
    step = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double()
    above, below = (
        fuzz_ops.run(about.description, x + sign * step)[-1].gather(1, target[:, None])
        for sign in (1, -1)
    )
    change = (gradient * step).flatten(1).sum(1)
    torch.testing.assert_close((above - below)[:, 0] / 2, change, rtol=1e-3, atol=1e-10)


@pytest.mark.parametrize("composite", ["epsilon", "alpha2_beta1", "gamma", "epsilon_gamma_box"])
@pytest.mark.parametrize("policy", ["absorbs", "spread"])
def test_relevance_by_dense_matrices_is_that_by_clamped_weights(composite, policy):
    rules = fuzz_rules.composite(composite, policy)
    n_compared = 0
    for number in range(12):
        about = fuzz_subjects.subject(SEED, number)
        x, target, _ = about.inputs(torch.float64)
        ends = (x.amin(0, keepdim=True).clamp(max=0), x.amax(0, keepdim=True).clamp(min=0))
        try:
            dense, wide = (
                fuzz_relevance.relevance(about.description, x, target, rules, ends, units)
                for units in (fuzz_relevance.dense, networks_units.wide)
            )
        except fuzz_rules.Unknown:
            continue
        n_compared += 1
        assert fuzz_cells.error_of(wide, dense) < 1e-8
    assert n_compared >= 4


# --- what the benchmark calls wrong -------------------------------------------------------------


class Planted:
    """A method whose values are 1 % too large, or that fails by accident, or refuses."""

    def __init__(self, fault):
        self.fault = fault

    def explain(self, task, query):
        if self.fault == "refuses":
            return plugins("method")["grad_cam"].cls(layer="nowhere").explain(task, query)
        if self.fault == "fails":
            return torch.ones(2) @ torch.ones(3)
        values = plugins("method")["saliency"].cls().explain(task, query).values
        return Attribution(values=values * 1.01)


@pytest.mark.parametrize(
    "fault, word", [("too large", "wrong"), ("fails", "crash"), ("refuses", "refused")]
)
def test_a_planted_fault_is_found(monkeypatch, fault, word):
    saliency = BY_NAME["saliency"]
    planted = dataclasses.make_dataclass("Cell", [], bases=(fuzz_cells.Cell,), frozen=True)(
        **{field.name: getattr(saliency, field.name) for field in dataclasses.fields(saliency)}
    )

    def explain(self, about, network, dtype):
        return Planted(fault).explain(about.task(network, dtype), about.asked(dtype))

    monkeypatch.setattr(fuzz_cells.Cell, "explain", explain)
    about = next(
        one
        for one in (fuzz_subjects.subject(SEED, number) for number in range(10))
        if one.description.is_image
    )
    assert fuzz_cells.judged(about, planted).word == word


def test_an_error_of_torch_is_no_refusal():
    with pytest.raises(RuntimeError) as found:
        nn.Linear(2, 3)(torch.ones(1, 5))
    assert fuzz_cells._failure(found.value).word == "crash"
    assert fuzz_cells._failure(KeyError("x").with_traceback(found.tb)).word == "crash"
    assert fuzz_cells._failure(ValueError("no").with_traceback(found.tb)).word == "crash"
    assert fuzz_cells._failure(Refused("no").with_traceback(found.tb)).word == "refused"


# --- the methods --------------------------------------------------------------------------------


def test_no_method_is_wrong_on_random_networks():
    found = fuzz.outcomes(SEED, NETWORKS)
    failed = found[found["outcome"].isin(["wrong", "crash"])]
    assert failed.empty, failed.to_string()
    table = fuzz.summary(found).set_index("method")
    assert table.loc["lrp (composite epsilon)", "equal"] == len(NETWORKS)


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_methods_are_right_on_torchvisions_networks_or_refuse(name):
    cells = [
        BY_NAME[method]
        for method in (
            "saliency",
            "lrp (composite epsilon_plus)",
            "lrp (composite epsilon_gamma_box)",
            "deeplift",
            "guided_backprop",
            "grad_cam",
        )
    ]
    about = networks_subjects.subject(FAMILIES[name])
    read = fuzz_ops.run(about.description, about.query.x.double())[-1]
    torch.testing.assert_close(read.float(), about.network(about.query.x), rtol=1e-3, atol=1e-4)

    found = networks.outcomes([FAMILIES[name]], cells).set_index("method")
    assert set(found["outcome"]) <= {"equal", "refused"}, found.to_string()
    assert found.loc["lrp (composite epsilon_plus)", "outcome"] == "equal"
    if name != "vit":
        assert set(found["outcome"]) == {"equal"}
