"""Sums that methods promise: what is missing is found whatever the method itself says."""

import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.contract.sums import COMPLETE, allowed, missing
from gpex_bench.stages.explain import explain
from gpex_bench.types import Attribution, Axiom, Explainer, Need, settings
from gpex_bench.types.demands import Refused


def linear(kind="table"):
    """Return the task of the linear network, whose exact attributions are known."""
    return {name: (task, query) for name, task, query in toys.tasks(toys.Linear)}[kind]


@settings
class Halved(Explainer):
    """The exact map of the linear network, of which a share is missing."""

    reference = "none"
    kind = "gradient"
    axioms = frozenset({Axiom.COMPLETENESS})

    share: float = 0.0  # of the values that is missing
    said: bool = False  # whether the residual says so

    @property
    def offers(self):
        return frozenset({Need.RESIDUAL}) if self.said else frozenset()

    def explain(self, task, query):
        weight = task.model.head.weight[query.target].view_as(query.x)
        exact = weight.detach() * (query.x - task.data.baseline)
        values = (1 - self.share) * exact
        lost = (exact - values).flatten(1).sum(1) if self.said else None
        return Attribution(values=values, residual=lost)


@settings
class Told(Halved):
    """Claims no completeness; what its residual says is all that is known."""

    axioms = frozenset()
    said: bool = True


@settings
class Promising(Told):
    """Claims to miss 1 % at most."""

    sum_tolerance = 0.01


@pytest.mark.parametrize("share", [0.0, 0.003, 0.2, 1.0])
def test_the_missing_share_of_a_linear_network(share):
    task, query = linear()
    for explainer in (Halved(share=share), Told(share=share)):
        lost = missing(explainer, task, query, explainer.explain(task, query))
        assert lost.worst == pytest.approx(share, abs=1e-5)
        assert lost.median == pytest.approx(share, abs=1e-5)
        row = query.sample.tolist().index(lost.sample)
        logits = task.model(torch.cat([query.x, task.data.baseline[None]]))
        change = (logits[row] - logits[-1])[query.target[row]]
        assert lost.promised == pytest.approx(float(change.detach()), rel=1e-5)


def test_a_residual_that_hides_the_gap_is_found_by_the_two_logits():
    task, query = linear()
    explainer = Halved(share=0.2)
    values = explainer.explain(task, query).values
    hidden = Attribution(values=values, residual=torch.zeros(len(query.x)))
    assert missing(explainer, task, query, hidden).worst == pytest.approx(0.2, abs=1e-5)
    assert missing(Told(), task, query, hidden).worst == 0


def test_who_promises_what():
    assert allowed(Halved()) == COMPLETE
    assert allowed(Told()) is None
    assert allowed(Promising()) == 0.01
    task, query = linear()
    assert missing(Told(said=False), task, query, Told(said=False).explain(task, query)) is None


def test_rounding_of_large_logits_is_no_gap():
    task, query = linear()
    with torch.no_grad():
        task.model.head.weight.data *= 1e-3
        task.model.head.bias = torch.nn.Parameter(torch.full((toys.N_CLASSES,), 1e6))
    explainer = Halved()
    assert missing(explainer, task, query, explainer.explain(task, query)).worst == 0


def test_sums_near_zero_are_judged_by_the_sizes_of_the_values():
    task, query = linear()
    values = torch.zeros_like(query.x)
    values[:, 0] = 1
    values[:, 1] = -1
    near = Attribution(values=values, residual=torch.full((len(query.x),), 1e-2))
    assert missing(Told(), task, query, near).worst == pytest.approx(0.01 / (0.1 * 2), rel=0.01)


def test_logits_that_are_not_finite_promise_nothing():
    task, query = linear()
    task.model.head.bias = torch.nn.Parameter(torch.full((toys.N_CLASSES,), torch.nan))
    explainer = Halved()
    assert missing(explainer, task, query, explainer.explain(task, query)).worst == torch.inf


def test_a_cell_that_misses_its_sum_is_unsound_and_says_by_how_much():
    task, query = linear()
    found = explain(Promising(share=0.2), task, query, 60.0)
    assert found.outcome.status == "unsound"
    assert "off by 20 %, 1 % is allowed" in found.outcome.reason
    assert found.missing.worst == pytest.approx(0.2, abs=1e-5)
    assert set(found.outcome.value) == {"values", "residual"}  # kept, to be looked at
    assert explain(Promising(share=0.005), task, query, 60.0).outcome.status == "ok"
    assert explain(Halved(share=0.005), task, query, 60.0).outcome.status == "unsound"


@settings
class Refusing(Told):
    """Does not apply."""

    def explain(self, task, query):
        raise Refused("softmax in layer2.1 (Block) has no rule here; use `saliency`.")


def test_what_is_refused_does_not_apply_and_gives_the_message_alone():
    task, query = linear()
    outcome = explain(Refusing(), task, query, 60.0).outcome
    assert outcome.status == "not_applicable"
    assert outcome.reason == "softmax in layer2.1 (Block) has no rule here; use `saliency`."


def test_the_forward_rows_of_the_check_are_not_the_method_s():
    task, query = linear()
    assert explain(Halved(), task, query, 60.0).forward_rows == 0
