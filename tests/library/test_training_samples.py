"""What looks at training samples says so: everything else gives the same without them."""

import dataclasses
import functools

import pytest
import torch

import gpex_bench as gb
from gpex_bench.contract.explainers import example
from gpex_bench.families.wrapper import Wrapper
from gpex_bench.library import asking
from gpex_bench.library.question import question
from gpex_bench.measurements import measured
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Explainer, Kind, Metric, Need
from tests.library.conftest import cnn, mlp, seeded

METHODS = {
    name: plugin.cls
    for name, plugin in plugins("method").items()
    if plugin.cls and plugin.cls.is_stored is not True and not issubclass(plugin.cls, Wrapper)
}
METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}
FORMS = ("images", "table")
# Rows that are quick and still enough for each method.
BUDGETS = {
    "elime": 100,
    "hsic": 64,
    "kernel_shap": 120,
    "lime": 80,
    "lime_fast": 80,
    "rise": 64,
    "shapley_sampling": 120,
}
# With some settings, or on one form of input, as the messages say.
SOMETIMES = {
    ("deep_taylor", "images"),  # the rule zB, which its domain `auto` takes for images
    ("lime", "table"),
    ("lime_fast", "table"),
}


@functools.cache
def asked(form, has_training):
    """Return a question about two inputs; with and without training samples."""
    shape = (3, 16, 16) if form == "images" else (6,)
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(14, *shape, generator=draw)
    y = torch.arange(14) % 3
    data = gb.arrays(x[:12], y[:12], x[12:], y[12:], baseline="zero")
    network = seeded(cnn if form == "images" else mlp)

    given = asking.inputs(x[12:])
    found = question(network, given, data, seed=1)
    if has_training:
        return found
    bare = dataclasses.replace(data, train=gb.Split(x=x[:0], y=y[:0], sample=y[:0]))
    return question(network, given, bare, seed=1)


def cases():
    """Return every method on every form that it takes."""
    for name, cls in METHODS.items():
        for form in FORMS:
            other = Need.TABLE if form == "images" else Need.IMAGE
            if other not in cls.needs and Need.TRUTH not in cls.needs and not cls.surrogate:
                yield name, form


@pytest.mark.parametrize(("name", "form"), list(cases()))
def test_maps_are_the_same_without_training_samples_or_need_them(name, form):
    budget = {"budget": BUDGETS[name]} if name in BUDGETS else {}
    method: Explainer = METHODS[name](**budget)

    def maps(has_training):
        here = asked(form, has_training)
        found = method.explain(here.task, here.query)
        return found.values if isinstance(found, Attribution) else found.index

    if Need.TRAINING in method.needs:
        assert maps(True) is not None
        with pytest.raises((RuntimeError, ValueError, IndexError)):
            maps(False)
    elif (name, form) in SOMETIMES:
        assert maps(True) is not None
        with pytest.raises(gb.Refused, match="needs training samples, and none were given"):
            maps(False)
    else:
        try:
            whole = maps(True)
        except gb.Refused:  # of this network, whatever the data
            with pytest.raises(gb.Refused):
                maps(False)
        else:
            assert whole.equal(maps(False))


def applies(metric: Metric, form: str) -> bool:
    offered = {Need.GRADIENT, Need.MODULES, Need.TRAINING, Need.RESIDUAL, *Kind.CLASSES.offers}
    offered.add(Need.IMAGE if form == "images" else Need.TABLE)
    return metric.scores is Attribution and metric.needs <= offered


@pytest.mark.parametrize(
    ("name", "form"),
    [(name, form) for name, cls in METRICS.items() for form in FORMS if applies(cls(), form)],
)
def test_scores_are_the_same_without_training_samples_or_need_them(name, form):
    metric = METRICS[name]()
    method = gb.method("gradient_x_input")

    def scores(has_training):
        here = asked(form, has_training)
        explanation = method.explain(here.task, here.query)
        residual = torch.zeros(len(here.query.x))
        case = Case(
            task=here.task,
            query=here.query,
            explanation=dataclasses.replace(explanation, residual=residual),
            explainer=method,
        )
        return metric.score(measured(case, [metric]))

    if Need.TRAINING in metric.needs:
        assert scores(True) is not None
        with pytest.raises(gb.Refused, match="needs training samples"):
            scores(False)
    else:
        try:
            whole = scores(True)
        except gb.Refused:
            with pytest.raises(gb.Refused):
                scores(False)
        else:
            assert whole.equal(scores(False))


def test_the_purity_of_examples_reads_their_labels(table, on_table):
    found = gb.explain(on_table, table.test.x[:2], "random_examples", data=table, k=3)
    scores = gb.score(on_table, table.test.x[:2], found, "class_purity")
    labels = table.train.y[found.index]
    assert scores["score"].tolist() == pytest.approx(
        (labels == found.target[:, None]).double().mean(1).tolist()
    )


def test_settings_that_look_at_training_samples_are_refused_without_them(on_images):
    x = torch.rand(1, 3, 16, 16)
    with pytest.raises(gb.Refused, match="the rule zB takes their range; other composites"):
        gb.explain(on_images, x, "lrp", composite="epsilon_gamma_box")
    with pytest.raises(gb.Refused, match="the rule zB takes their range"):
        gb.explain(on_images, x, "deep_taylor")
    assert gb.explain(on_images, x, "deep_taylor", domain="positive").values.shape == x.shape


def test_wrappers_need_what_the_other_method_needs():
    inner = gb.method("expected_gradients")
    assert Need.TRAINING in gb.method("squared", of=inner).needs
    assert Need.TRAINING not in example(plugins("method")["squared"].cls).needs
