"""Runs whose methods are random maps, each with another seed: nothing may be claimed."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from gpex_bench.measurements.curves import Curves
from gpex_bench.metrics.srg import SRG
from gpex_bench.plugins.cards import metric_card
from gpex_bench.plugins.registry import plugins
from gpex_bench.stages.curves import Recorded, summarise_curves
from gpex_bench.statistics import conclude
from gpex_bench.tables.words import BETTER, LEADS, WORSE
from gpex_bench.types import Case, Query, Task
from tests.vocabulary import scores

FILLS = ("baseline", "noise", "middle", "uniform")
N_METHODS, N_SAMPLES = 6, 30


@pytest.fixture(scope="module")
def trained() -> tuple[Task, Query]:
    data = plugins("dataset")["breast_cancer"].cls().load()
    architecture = plugins("model")["mlp"].cls()
    architecture = replace(architecture, training=replace(architecture.training, epochs=5))
    model = architecture.train(data, 1, lambda text: None)
    x = data.test.x[:N_SAMPLES]
    with torch.no_grad():
        target = model(x).argmax(1)
    query = Query(x=x, target=target, sample=data.test.sample[:N_SAMPLES])
    return Task(model=model, data=data, surrogate=None, seed=1), query


def recorded(task: Task, query: Query, name: str, seed: int) -> Recorded:
    """Return the removal curves of a random map under every fill."""
    explainer = plugins("method")["random_map"].cls()
    maps = explainer.explain(replace(task, seed=seed), query)
    case = Case(task=task, query=query, explanation=maps, explainer=explainer)
    curves = {key: key.measure(case) for key in (Curves(fill=fill) for fill in FILLS)}
    key = {"dataset": "breast_cancer", "model": "mlp", "seed": 1, "method": name}
    return Recorded(key, curves, query.sample)


def claims(trained: tuple[Task, Query], run: int, controls: tuple[str, ...]) -> list[str]:
    """Return what a run claims: leaders, metrics that are informative, and better methods."""
    names = [f"m{at}" for at in range(N_METHODS)] + list(controls)
    cells = [recorded(*trained, name, 1000 * run + at) for at, name in enumerate(names)]
    found = summarise_curves({"srg": SRG()}, cells, "srg")
    cards = [metric_card("srg", SRG())]
    tables = conclude(found.scores, found.variants, scores.methods(names), cards, "srg")

    headline, judged = tables["headline"], tables["informative"]
    leaders = headline[headline["answer"] == LEADS]["method"]
    # Without a control nothing is tested, and a metric counts as informative.
    is_informative = judged["is_informative"].astype(bool)
    informative = judged[is_informative]["metric"] if controls else []
    said = pd.concat([tables[name] for name in ("pairs", "headline_pairs")])
    better = said[said["verdict"].isin([BETTER, WORSE])]["method"]
    return [*leaders, *informative, *better]


@pytest.mark.parametrize("run", range(1))
def test_random_maps_have_no_leader_and_none_is_better(trained, run: int) -> None:
    assert not claims(trained, run, ("random",))
    assert not claims(trained, run, ())


@pytest.mark.slow
@pytest.mark.parametrize("run", range(1, 20))
def test_no_random_run_claims_anything(trained, run: int) -> None:
    assert not claims(trained, run, ("random",))
