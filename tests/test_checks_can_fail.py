"""Each check of the contract refuses an explainer or a metric that breaks just that promise, and
says which.
"""

import random

import numpy as np
import pytest
import torch

from gpex_bench.contract import calls, checks, toys
from gpex_bench.contract.checks import BrokenPromise, check_explainer, check_metric
from gpex_bench.types import (
    Attribution,
    Axiom,
    Examples,
    Explainer,
    Metric,
    Need,
    Prototype,
    Query,
    settings,
)


def change(query):
    return query.x - 0.1


def explainer(explain, **declared):
    """Return an explainer with this `explain`; an Attribution of it if it returns a tensor."""

    def method(self, task, query):
        given = explain(task, query)
        return Attribution(values=given) if isinstance(given, torch.Tensor) else given

    declared = {
        "reference": "key",
        "kind": "control",
        "relative_to": "nothing",
        "explain": method,
    } | declared
    return settings(type("Broken", (Explainer,), declared))()


def and_then(act, give=change):
    """Return an `explain` that does something it must not do and gives a good map."""

    def explain(task, query):
        given = give(query)
        act(task, query)
        return given

    return explain


def rows_of(index, weight):
    return lambda task, query: Examples(
        index=index.repeat(len(query.x), 1), weight=weight.repeat(len(query.x), 1)
    )


def of_lists(task, query):
    found = rows_of(FIRST, FALLING)(task, query)
    object.__setattr__(
        found, "index", found.index.tolist()
    )  # as outside the tests, where nobody checks types
    return found


FALLING, FIRST = torch.tensor([0.9, 0.5]), torch.tensor([0, 1])
OF_EXAMPLES = {"explains": Examples}

MALFORMED = {
    "declared type: it says Examples and returned Attribution": explainer(
        lambda t, q: change(q), **OF_EXAMPLES
    ),
    r"shape: values must have shape \(3, 8\), got \(3, 7\)": explainer(
        lambda t, q: change(q)[:, :-1]
    ),
    "dtype: values must be torch.float32, got torch.float64": explainer(
        lambda t, q: change(q).double()
    ),
    "no graph: values still hangs on its graph": explainer(lambda t, q: change(q).requires_grad_()),
    "finite values: 1 of 8 values of sample 125 are NaN or infinite": explainer(
        lambda t, q: change(q).masked_fill(
            torch.arange(q.x.numel()).view(q.x.shape) == q.x[0].numel(), torch.nan
        )
    ),
    "finite values: some entries of x": explainer(
        lambda t, q: Prototype(x=q.x[None] / 0), explains=Prototype
    ),
    r"index inside the training split: index must lie in 0 ... 23, .* got 0 ... 24": explainer(
        rows_of(torch.tensor([0, 24]), FALLING), **OF_EXAMPLES
    ),
    "index inside the training split: .* got -1 ... 0": explainer(
        rows_of(torch.tensor([0, -1]), FALLING), **OF_EXAMPLES
    ),
    "different examples: index names": explainer(
        rows_of(torch.tensor([3, 3]), FALLING), **OF_EXAMPLES
    ),
    "strongest first: weight must not increase": explainer(
        rows_of(FIRST, FALLING.flip(0)), **OF_EXAMPLES
    ),
    "tensors: index must be a torch.Tensor, got list": explainer(of_lists, **OF_EXAMPLES),
    "dtype: index must be torch.int64, got torch.int32": explainer(
        rows_of(FIRST.int(), FALLING), **OF_EXAMPLES
    ),
    "finite values: 1 of 2 weight of sample 124": explainer(
        rows_of(FIRST, torch.tensor([torch.inf, 1.0])), **OF_EXAMPLES
    ),
}

MEDDLING = {
    "inputs untouched: query.x has changed; work on query.x.clone": lambda t, q: q.x.mul_(2),
    "inputs untouched: query.target has changed": lambda t, q: q.target.add_(1),
    "inputs untouched: query.x has": lambda t, q: q.x.requires_grad_(),
    "data untouched: task.data.train.x has changed": lambda t, q: t.data.train.x.clamp_(max=0.2),
    "data untouched: task.data.baseline has changed": lambda t, q: t.data.baseline.numpy().fill(1),
    "weights untouched: model.head.bias has changed; work on copy": lambda t, q: (
        t.model.head.bias.data.add_(1)
    ),
    "weights untouched: model.seen has changed": lambda t, q: t.model.seen.zero_(),
    "requires_grad untouched: model.trunk.0": lambda t, q: t.model.requires_grad_(False),
    "no gradients left behind: model.trunk.0": lambda t, q: t.model(q.x).sum().backward(),
    "train mode untouched: model has changed": lambda t, q: t.model.train(),
    "hooks removed: model.trunk has changed": lambda t, q: t.model.trunk.register_forward_hook(
        lambda *_: None
    ),
    "global random state untouched: the generator of torch has moved": lambda t, q: torch.rand(1),
    "global random state untouched: the generator of numpy has moved": lambda t, q: (
        np.random.rand()
    ),
    "global random state untouched: the generator of python has moved": lambda t, q: (
        random.random()
    ),
    "global random state untouched: the generator of numpy, torch has": lambda t, q: (
        np.random.seed(0),
        torch.manual_seed(0),
    ),
}

WRONG = {
    "same call, same bits: values differs": explainer(
        lambda t, q: change(q) + torch.from_numpy(np.random.default_rng().random(q.x.shape)).float()
    ),
    "rows do not influence one another: values of a row changes by": explainer(
        lambda t, q: q.x / q.x.max()
    ),
    "rows do not influence one another: .*draw per row": explainer(
        lambda t, q: torch.randn(q.x.shape, generator=torch.Generator().manual_seed(t.seed))
    ),
    "declared residual: offers lacks Need.RESIDUAL and explain gave one": explainer(
        lambda t, q: Attribution(values=change(q), residual=torch.zeros(len(q.x)))
    ),
    "declared residual: offers names Need.RESIDUAL and explain gave none": explainer(
        lambda t, q: change(q), offers=frozenset({Need.RESIDUAL})
    ),
    "completeness: on table the sum of a row is off": explainer(
        lambda t, q: change(q), axioms=frozenset({Axiom.COMPLETENESS})
    ),
    "dummy: an entry of table that the network ignores has": explainer(
        lambda t, q: change(q), axioms=frozenset({Axiom.DUMMY})
    ),
    "works on tiny tasks: ZeroDivisionError on table: division by zero": explainer(
        lambda t, q: 1 / 0
    ),
    "declared kind: kind must be one of gradient, .* got 'magic'": explainer(
        lambda t, q: change(q), kind="magic"
    ),
    "declared reference: reference must be a key": explainer(lambda t, q: change(q), reference=""),
    "declared reference point: relative_to must be one of baseline, .* got 'black'": explainer(
        lambda t, q: change(q), relative_to="black"
    ),
    "declared type: explains must be": explainer(lambda t, q: change(q), explains=dict),
    "declared needs: needs must be": explainer(
        lambda t, q: change(q), needs=frozenset({"gradient"})
    ),
}


def refusal(message: str) -> str:
    """Turn 'promise: text' into the pattern of the message."""
    promise, _, text = message.partition(": ")
    return f"^broke the promise '{promise}': {text}"


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_explanations_are_refused(message):
    with pytest.raises(BrokenPromise, match=refusal(message)):
        check_explainer(MALFORMED[message])


@pytest.mark.parametrize("message", MEDDLING)
def test_meddling_explainers_are_refused(message):
    with pytest.raises(BrokenPromise, match=refusal(message)):
        check_explainer(explainer(and_then(MEDDLING[message])))


@pytest.mark.parametrize("message", WRONG)
def test_wrong_explainers_are_refused(message):
    with pytest.raises(BrokenPromise, match=refusal(message)):
        check_explainer(WRONG[message])


def test_an_honest_explainer_passes():
    check_explainer(explainer(lambda t, q: change(q)))
    check_explainer(explainer(rows_of(FIRST, FALLING), **OF_EXAMPLES))
    check_explainer(explainer(lambda t, q: Prototype(x=q.x[:2, None]), explains=Prototype))


def test_surrogates_are_guarded_too():
    meddle = and_then(lambda t, q: t.surrogate.alpha.zero_())
    with pytest.raises(BrokenPromise, match="'weights untouched': surrogate.alpha has changed"):
        check_explainer(explainer(meddle, surrogate="stand_in"))


def test_classes_without_settings_or_defaults_are_refused():
    class Bare(Explainer):
        reference, kind = "key", "control"
        relative_to = "nothing"

        def explain(self, task, query):
            return Attribution(values=query.x)

    with pytest.raises(BrokenPromise, match="'settings': Bare must be decorated with @settings"):
        check_explainer(Bare())
    with pytest.raises(BrokenPromise, match="'settings': Bare must be decorated with @settings"):
        checks.example(Bare)

    @settings
    class NoDefault(Bare):
        width: int

    with pytest.raises(
        BrokenPromise, match="'defaults': the setting 'width' of NoDefault needs a default value"
    ):
        checks.example(NoDefault)


def random_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("crash", [False, True])
def test_random_states_and_train_mode_are_put_back(crash):
    def meddle(task, query):
        task.model.train()
        np.random.seed(0), torch.manual_seed(0), random.seed(0)
        if crash:
            raise OSError("disk on fire")

    _, task, query = next(toys.tasks(toys.Smooth))
    before = random_states()
    with pytest.raises(OSError if crash else BrokenPromise):
        calls.explain(explainer(and_then(meddle)), task, query)
    assert random_states() == before
    assert not task.model.training


def test_explain_returns_the_explanation_of_an_honest_explainer():
    _, task, query = next(toys.tasks(toys.Smooth))
    assert torch.equal(
        calls.explain(explainer(lambda t, q: change(q)), task, query).values, change(query)
    )


# --- metrics --------------------------------------------------------------------------------------


def total(case):
    return case.explanation.values.flatten(1).sum(1)


def metric(score, **declared):
    declared = {
        "reference": "key",
        "measures": "faithfulness",
        "higher_is_better": True,
        "range": (-np.inf, np.inf),
        "chance": 0.0,
        "score": lambda self, case: score(case),
    } | declared
    return settings(type("Broken", (Metric,), declared))()


def noisy(act):
    def score(case):
        act(case)
        return total(case)

    return score


BAD_METRICS = {
    r"one number per row: got \(\) for 3 rows": metric(lambda c: total(c).mean()),
    r"one number per row: got \(3, 1\)": metric(lambda c: total(c)[:, None]),
    "one number per row: got list": metric(lambda c: total(c).tolist()),
    "dtype: scores must be floating point, got torch.int64": metric(lambda c: total(c).long()),
    r"finite scores: the scores of samples \[124, 125, 126\] are": metric(
        lambda c: total(c) * torch.nan
    ),
    r"declared range: scores must lie in \[0, 0.5\], got": metric(total, range=(0, 0.5)),
    r"declared range: \(0, 1\) with chance 2": metric(total, range=(0, 1), chance=2),
    "declared measure: measures must be one of faithfulness, .* got 'beauty'": metric(
        total, measures="beauty"
    ),
    "declared direction: lower is declared to be better": metric(total, higher_is_better=False),
    "declared direction: higher is declared to be better": metric(lambda c: -total(c)),
    "declared direction: higher is declared": metric(lambda c: total(c).abs()),
    "rows do not influence one another: a row scores": metric(
        lambda c: total(c) / total(c).abs().max()
    ),
    "same call, same bits: scores differ": metric(
        lambda c: total(c) + float(np.random.default_rng().random())
    ),
    "global random state untouched: the generator of torch": metric(noisy(lambda c: torch.rand(1))),
    "weights untouched: model.head.weight has": metric(
        noisy(lambda c: c.task.model.head.weight.data.zero_())
    ),
    "works on tiny tasks: KeyError on table": metric(lambda c: {}["score"]),
}


@pytest.mark.parametrize("message", BAD_METRICS)
def test_bad_metrics_are_refused(message):
    with pytest.raises(BrokenPromise, match=refusal(message)):
        check_metric(BAD_METRICS[message])


def test_an_honest_metric_passes():
    check_metric(metric(total))


@pytest.mark.parametrize(
    "name", ["srg", "deletion", "mass_accuracy", "class_purity", "max_sensitivity", "sparseness"]
)
def test_real_metrics_are_refused_when_their_direction_is_flipped(name):
    from gpex_bench.plugins.registry import plugins

    cls = plugins("metric")[name].cls
    flipped = settings(type("Flipped", (cls,), {"higher_is_better": not cls.higher_is_better}))()
    with pytest.raises(BrokenPromise, match="declared direction"):
        check_metric(flipped)


def test_the_exact_map_of_the_linear_task_is_exact():
    for _, task, query in toys.tasks(toys.Linear):
        values = toys.Known(how="exact").explain(task, query).values
        for entry in range(0, values[0].numel(), 7):
            x = query.x.clone().flatten(1)
            x[:, entry] = task.data.baseline.flatten()[entry]
            drop = (task.model(query.x) - task.model(x.view(query.x.shape))).gather(
                1, query.target[:, None]
            )[:, 0]
            torch.testing.assert_close(
                values.flatten(1)[:, entry], drop.detach(), atol=1e-5, rtol=1e-4
            )


def test_queries_are_rows_of_the_planted_test_split():
    for _, task, query in toys.tasks(toys.Linear):
        assert isinstance(query, Query)
        assert set(query.sample.tolist()) <= set(task.data.test.sample.tolist())
        assert (task.model(query.x).argmax(1) == query.target).all()
