"""Which methods promise a sum, and that they keep it on a network with kinks."""

import pytest
import torch
from torch import nn

from gpex_bench.contract import toys
from gpex_bench.contract.sums import allowed, missing
from gpex_bench.types import Axiom, Model, Task
from methods.channel_summed import ChannelSummed
from methods.deep_taylor import DeepTaylor
from methods.expected_gradients import ExpectedGradients
from methods.integrated_gradients import IntegratedGradients
from methods.inverted import Inverted
from methods.kernel_shap import KernelShap
from methods.lrp import LRP
from methods.shapley_sampling import ShapleySampling

PROMISING = {
    "integrated gradients": IntegratedGradients(),
    "kernel SHAP": KernelShap(budget=64),
    "Shapley sampling": ShapleySampling(budget=64),
    "deep Taylor": DeepTaylor(domain="unbounded"),
    "LRP without biases": LRP(bias="ignored"),
    "LRP that spreads biases": LRP(bias="spread"),
}


class Kinked(Model):
    """A small network of ReLUs with biases."""

    def __init__(self, n_columns):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.trunk = nn.Sequential(nn.Linear(n_columns, 16), nn.ReLU())
            self.head = nn.Linear(16, toys.N_CLASSES)

    def embed(self, x):
        return self.trunk(x)


@pytest.fixture(scope="module")
def table():
    """Return a task on a table whose network has ReLUs."""
    data = toys.dataset("table")
    model = Kinked(len(data.features)).eval()
    return Task(model=model, data=data, surrogate=None, seed=1), toys.query(data)


@pytest.mark.parametrize("name", PROMISING)
def test_a_method_that_promises_a_sum_keeps_it(name, table):
    task, query = table
    explainer = PROMISING[name]
    lost = missing(explainer, task, query, explainer.explain(task, query))
    assert lost.reason() is None
    assert lost.worst <= allowed(explainer)


def test_two_points_are_too_few_for_integrated_gradients():
    task, query = {kind: (t, q) for kind, t, q in toys.tasks(toys.Smooth)}["table"]
    task.model.trunk[0].weight.data *= 200
    explainer = IntegratedGradients(budget=2)
    lost = missing(explainer, task, query, explainer.explain(task, query))
    assert "raise the budget" in lost.reason()


def test_who_promises_nothing():
    silent = (
        ExpectedGradients(),
        LRP(),
        LRP(bias="ignored", through="trunk.0", channels=(0,)),
        KernelShap(output="probability"),
        KernelShap(fill="blur"),
        Inverted(of=IntegratedGradients()),
    )
    assert [allowed(explainer) for explainer in silent] == [None] * len(silent)


def test_a_wrapper_that_keeps_the_sum_keeps_the_promise():
    wrapped = ChannelSummed(of=IntegratedGradients())
    assert allowed(wrapped) == 0.1
    assert wrapped.axioms == {Axiom.COMPLETENESS}
    assert allowed(ChannelSummed(of=DeepTaylor())) == DeepTaylor.sum_tolerance
