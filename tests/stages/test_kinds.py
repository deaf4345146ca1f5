"""One logit, labels and a number through the stages: train, fit, agree, explain, score, draw."""

import dataclasses

import pandas as pd
import pytest
import torch
from sklearn import metrics

from gpex_bench.measurements import measured
from gpex_bench.models.mlp import Mlp, MlpTraining
from gpex_bench.plugins.registry import plugins
from gpex_bench.report import match_tables
from gpex_bench.stages.agree import agree
from gpex_bench.stages.draw.galleries import draw_explanations
from gpex_bench.stages.draw.shown import Shown, named
from gpex_bench.stages.queries import queries
from gpex_bench.stages.report import facts
from gpex_bench.stages.train import train
from gpex_bench.statistics.outcomes import agreement_summary
from gpex_bench.surrogates.last_layer import LastLayer
from gpex_bench.tables.columns import SURROGATE_COSTS
from gpex_bench.types import Case, Kind, Progress, Task
from tests.vocabulary import datasets

NAMES = {
    Kind.CLASSES: ("no", "yes"),
    Kind.LABELS: ("red", "round", "ripe"),
    Kind.NUMBER: ("weight",),
}
TARGETS = {
    Kind.CLASSES: lambda x: (x[:, 0] + x[:, 1] > 0).long(),
    Kind.LABELS: lambda x: (x[:, :3] > 0.3).long(),
    Kind.NUMBER: lambda x: 40 * x[:, 0] - 20 * x[:, 1] + 150,
}
METHODS = {"gradient_x_input": {}, "lime_fast": {"budget": 60}, "kernel_shap": {"budget": 30}}
RECORDS = [
    {"method": name, "kind": "gradient", "class": name, "role": "method", "is_blind": False}
    for name in (*METHODS, "near")
]


def made(kind):
    """Return a table of 160 rows with targets of this kind."""
    x = torch.randn(160, 5, generator=torch.Generator().manual_seed(0))
    y = TARGETS[kind](x)
    train_part = datasets.split(x[:120], y[:120])
    data = datasets.dataset(train_part, datasets.split(x[120:], y[120:], first=120))
    unit = "kg" if kind is Kind.NUMBER else ""
    return dataclasses.replace(data, kind=kind, classes=NAMES[kind], unit=unit)


@pytest.fixture(scope="module", params=list(Kind), ids=lambda kind: kind.value)
def trained(request):
    data = made(request.param)
    how = MlpTraining(epochs=15, batch_size=16, learning_rate=0.01, occluded=0.0)
    architecture = Mlp(wide=24, training=how, one_logit=data.kind is Kind.CLASSES)
    model, reached = train(architecture, data, 1, lambda _: None)
    surrogate = LastLayer().fit(model, data, 1, Progress())
    return data, model, reached, surrogate


def test_networks_learn(trained):
    _, _, reached, _ = trained
    first = next(number for name, number in reached.items() if name.startswith("test"))
    assert first > 0.85


def test_surrogates_are_compared_in_the_words_of_the_kind(trained):
    data, model, _, surrogate = trained
    table, points = agree(model, surrogate, data, 1)
    found = set(table.loc[table["head"] == "all", "statistic"])
    per_head = set(table.loc[table["head"] != "all", "head"])
    test = table[(table["split"] == "test") & (table["head"] == "all")]
    values = test.set_index("statistic")["value"]
    with torch.no_grad():
        outputs = model(data.test.x).double()

    if data.kind is Kind.CLASSES:
        assert per_head == {"yes"}
        assert {"argmax_agreement", "kl", "boundary_r2", "accuracy_network"} <= found
        same = metrics.accuracy_score(data.test.y, outputs[:, 0] > 0)
        assert values["accuracy_network"] == pytest.approx(same)
        # the last layer is the network's own: the same class everywhere, not by construction of one
        assert values["argmax_agreement"] == 1
    elif data.kind is Kind.LABELS:
        assert per_head == set(data.classes)
        assert {"label_agreement", "label_accuracy_network", "macro_f1_surrogate"} <= found
        assert not {"argmax_agreement", "kl", "accuracy_network"} & found
    else:
        assert per_head == {"weight"}
        assert not {"argmax_agreement", "kl", "accuracy_network", "boundary_r2"} & found
        r2 = metrics.r2_score(data.test.y.double(), outputs[:, 0])
        assert values["r2_network"] == pytest.approx(r2)
    assert len(points) and points["head"].isin(data.classes).all()


def test_tables_of_surrogates_have_columns_that_mean_something(trained):
    data, model, _, surrogate = trained
    table, _ = agree(model, surrogate, data, 1)
    place = {"dataset": "d", "model": "m", "seed": 1, "surrogate": "last_layer"}
    summary = agreement_summary(table.assign(**place))
    match, doubt = match_tables.tables(summary, pd.DataFrame(columns=list(SURROGATE_COSTS)))
    titles = {head["title"] for head in match["heads"]}
    words = {
        Kind.CLASSES: ({"same arg-max", "accuracy"}, "accuracy 9"),
        Kind.LABELS: ({"same labels", "accuracy per label", "macro F1"}, "accuracy per label 9"),
        Kind.NUMBER: ({"R² of the target", "mean absolute error"}, "R² 0.9"),
    }
    expected, text = words[data.kind]
    assert expected <= titles and match["reached"].startswith(text)
    if data.kind is not Kind.CLASSES:
        assert not {"same arg-max", "accuracy", "KL (nats)"} & titles


def test_explanations_are_scored_and_drawn(trained):
    data, model, _, surrogate = trained
    task = Task(model=model, data=data, surrogate=surrogate, seed=1)
    query = queries(model, data, 16)
    explanations, rows = {}, []
    for name, parameters in METHODS.items():
        explainer = plugins("method")[name].cls(**parameters)
        explanations[name] = explainer.explain(task, query)
        case = Case(task=task, query=query, explanation=explanations[name], explainer=explainer)
        metric = plugins("metric")["srg"].cls(output="logit")
        for sample, score in zip(
            query.sample.tolist(), metric.score(measured(case, [metric])).tolist(), strict=True
        ):
            rows.append({"metric": "srg", "method": name, "sample": sample, "score": score})
    explanations["near"] = surrogate.neighbours(query.x, query.target, 4)
    shown = Shown(
        dataset="d",
        model_name="m",
        data=data,
        model=model,
        query=query,
        explanations=explanations,
        surrogates={"near": surrogate},
    )
    drawn = {
        stem: drawing
        for stem, _, _, drawing in draw_explanations(shown, pd.DataFrame(rows), RECORDS, "srg")
    }
    assert set(drawn) == {"gallery_d_m", "neighbours_d_m_near", "neighbours_d_m_near_beside"}

    panels = drawn["gallery_d_m"].figure.axes
    titles = " ".join(axes.get_title() for axes in panels)
    legend = " ".join(axes.get_xlabel() for axes in panels)
    near = drawn["neighbours_d_m_near"]
    if data.kind is Kind.NUMBER:
        assert " kg" in titles and "weight" not in titles
        row, way = shown.first_wrong(len(query.x))
        rows_of_test = [data.test.sample.tolist().index(one) for one in query.sample.tolist()]
        with torch.no_grad():
            errors = (model(query.x)[:, 0] - data.test.y[rows_of_test]).abs()
        assert (row, way) == (int(errors.argmax()), "largest error")
        assert "red: evidence for a larger weight" in legend
        assert "class" not in near.alt and not near.figure.legends[0].get_texts()
    elif data.kind is Kind.LABELS:
        assert "explained: " in titles and "red: evidence for the explained label" in legend
        assert near.data["class"].isin({named(data, y) for y in data.train.y}).all()
    else:
        assert "red: evidence for yes, whichever is predicted" in legend
        assert set(near.data["predicted"]) <= {"yes", "no"}


def test_predictions_in_words():
    data = made(Kind.NUMBER)
    assert named(data, torch.tensor(151.234)) == "151.2 kg"
    labels = made(Kind.LABELS)
    assert named(labels, torch.tensor([1, 0, 1])) == "red, ripe"
    assert named(labels, torch.tensor([0, 0, 0])) == "none"


def test_facts_name_what_is_reached():
    networks = pd.DataFrame(
        [
            {"dataset": "a", "model": "m", "test_accuracy": 0.9},
            {"dataset": "a", "model": "m", "test_accuracy": 0.95},
            {"dataset": "b", "model": "m", "test_r2": 0.5, "test_mae": 44.0},
        ]
    ).assign(
        status="ok", withdrawn="", rewriting="", regime="trained", is_given=False, seed=[1, 2, 1]
    )
    cells = pd.DataFrame({"dataset": ["a", "b"], "model": "m", "n_samples": 4})
    rows = facts({"networks": networks, "cells": cells})
    assert [row["on test samples"] for row in rows] == [
        "accuracy 92.5 % (90.0 to 95.0)",
        "R² 0.500, mean absolute error 44.0",
    ]
    assert [row["weights"] for row in rows] == ["trained", "trained"]
    (_, of_number) = facts({"networks": networks, "cells": cells}, {"a": "", "b": "kg"})
    assert of_number["on test samples"].endswith("mean absolute error 44.0 kg")
    rows = facts({"networks": networks[:2], "cells": cells})
    assert rows[0]["test accuracy"] == "92.5 % (90.0 to 95.0)"
