"""Stages: the recorded curves are those behind the scores, whatever the number of positions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from gpex_bench.contract.toys import Smooth, tasks
from gpex_bench.measurements import measured
from gpex_bench.measurements.curves import Curves, Removals
from gpex_bench.metrics.faithfulness_estimate import FaithfulnessEstimate
from gpex_bench.metrics.irof import IROF
from gpex_bench.metrics.max_sensitivity import MaxSensitivity
from gpex_bench.metrics.seed_consistency import SeedConsistency
from gpex_bench.metrics.sparseness import Sparseness
from gpex_bench.metrics.srg import SRG
from gpex_bench.plots import removal
from gpex_bench.stages.curves import Recorded, summarise_curves
from gpex_bench.stages.draw.galleries import draw_explanations
from gpex_bench.stages.draw.neighbours import chosen
from gpex_bench.stages.draw.scores import between_metrics
from gpex_bench.stages.draw.shown import Shown
from gpex_bench.stages.score import Limits, score
from gpex_bench.tables.order import main_curves
from gpex_bench.tables.words import number
from gpex_bench.types import (
    Attribution,
    Case,
    Examples,
    Explainer,
    Query,
    Split,
    Task,
    settings,
)
from tests.vocabulary import datasets


@settings
class Fixed(Explainer):
    """Says where the map of this test comes from; nobody calls it."""

    reference = "none"
    kind = "gradient"
    relative_to = "nothing"

    def explain(self, task, query):
        raise NotImplementedError


def table_case(n_columns: int) -> Case:
    x = torch.randn(4, n_columns, generator=torch.Generator().manual_seed(n_columns))
    split = Split(x=x, y=torch.zeros(4, dtype=torch.long), sample=torch.arange(4))
    data = datasets.dataset(split, classes=2)
    task = Task(model=Smooth((n_columns,)).eval(), data=data, surrogate=None, seed=1)
    query = Query(x=x, target=torch.zeros(4, dtype=torch.long), sample=split.sample)
    return Case(
        task=task, query=query, explanation=Attribution(values=x.abs() + x), explainer=Fixed()
    )


@pytest.mark.parametrize("n_columns", [30, 61])
def test_the_stored_curves_give_the_score_and_enclose_it(n_columns: int) -> None:
    case, srg = table_case(n_columns), SRG()
    own = srg.measurements()
    variants = [own[0].under(fill) for fill in ("zero", "noise", "middle")]
    found = score({}, own, case, Limits(4, 60.0), variants)
    assert not found.unscored and not found.lost_curves
    # The baseline of the toy is zero.
    assert found.fills == {"baseline": ["zero"], "noise": [], "middle": []}
    assert found.scores.empty and len(found.curves) == 3
    steps = found.curves[srg.measurements()[0]].fraction.numpy() * n_columns
    assert steps == pytest.approx(steps.round(), abs=1e-9)  # whole columns are gone at every point
    key = {"dataset": "d", "model": "m", "seed": 1, "method": "f"}
    recorded = [Recorded(key, found.curves, case.query.sample, found.fills)]
    whole = summarise_curves({"srg": srg}, recorded, "srg")
    expected = srg.score(measured(case, [srg]))
    assert whole.scores["score"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-12)
    assert removal.area(main_curves(whole.means)) == pytest.approx(expected.mean().item(), abs=1e-6)
    main = whole.variants.query("fill == 'baseline' and output == 'probability'")
    assert main["score"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-12)
    curve = found.curves[srg.measurements()[0]].of("probability").least_first
    moved = (curve[:, 0] - curve[:, -1]).abs().numpy()
    assert main["change"].to_numpy() == pytest.approx(moved) and (moved > 0).all()
    assert set(map(tuple, whole.variants[["fill", "output"]].to_numpy())) == {
        (fill, output)
        for fill in ("baseline", "noise", "middle")
        for output in ("probability", "logit")
    }
    assert whole.fills[["fill", "shows"]].to_numpy().tolist() == [
        ["baseline", "baseline"],
        ["zero", "baseline"],
        ["noise", "noise"],
        ["middle", "middle"],
    ]

    # Of a metric that is not the headline, means with intervals are kept.
    other = summarise_curves({"srg": srg}, recorded)
    assert other.variants.empty
    means = other.variant_means.set_index(["fill", "output"])["mean"]
    by_sample = whole.variants.groupby(["fill", "output"])["score"].mean()
    assert means.sort_index().to_numpy() == pytest.approx(by_sample.to_numpy(), abs=1e-12)


@settings
class Narrow(Explainer):
    """Knows the samples of the test and fails near them."""

    reference = "none"
    kind = "gradient"
    relative_to = "nothing"

    def explain(self, task, query):
        if not torch.isin(query.x, task.data.test.x).all():
            raise ValueError("never seen")
        return Attribution(values=query.x + task.seed)


def test_a_measurement_that_fails_takes_only_its_own_metrics_along() -> None:
    case = replace(table_case(30), explainer=Narrow())
    metrics = {"near": MaxSensitivity(), "seeds": SeedConsistency(), "plain": Sparseness()}
    found = score(metrics, [], case, Limits(2, 60.0))
    assert found.unscored == {"near": ("failed", "ValueError: never seen")}
    assert found.scores.groupby("metric").size().to_dict() == {"plain": 4, "seeds": 2}


def test_metrics_that_change_inputs_in_their_own_way_see_the_first_samples_alone() -> None:
    case, srg, irof = table_case(30), SRG(), IROF()
    metrics = {"of_rows": FaithfulnessEstimate(), "of_maps": Sparseness()}
    curves = [*srg.measurements(), *irof.measurements()]
    found = score(metrics, curves, case, Limits(1, 60.0, removal_samples=2))
    assert found.scores.groupby("metric").size().to_dict() == {"of_maps": 4, "of_rows": 2}
    first = case.query.sample[:2].tolist()
    assert found.scores.query("metric == 'of_rows'")["sample"].tolist() == first

    key = {"dataset": "d", "model": "m", "seed": 1, "method": "f"}
    recorded = [Recorded(key, found.curves, case.query.sample, found.fills)]
    scores = summarise_curves({"srg": srg, "irof": irof}, recorded, "srg").scores
    assert scores.groupby("metric").size().to_dict() == {"irof": 2, "srg": 4}
    assert scores.query("metric == 'irof'")["sample"].tolist() == first


def test_means_of_curves_by_hand() -> None:
    row = torch.tensor([0.2, 0.4, 0.9])[:, None].expand(-1, 2)
    curves = Removals(
        fraction=torch.tensor([0.0, 1]).double(),
        most_first=row.repeat(3, 1, 1),
        least_first=row.repeat(3, 1, 1),
    )
    key = {"dataset": "d", "model": "m", "seed": 1, "method": "f"}
    means = summarise_curves({}, [Recorded(key, {Curves(): curves}, torch.arange(3))]).means
    low, high = stats.t.interval(0.95, 2, 0.5, stats.sem([0.2, 0.4, 0.9]))
    found = means[["mean", "low", "high"]].to_numpy()
    assert found == pytest.approx(np.array([[0.5, low, high]] * len(means)), abs=1e-6)


@pytest.mark.parametrize("rank", ["similarity", "contribution"])
def test_a_sheet_shows_similarities_whatever_the_examples_are_ranked_by(rank: str) -> None:
    surrogate_tasks = {
        kind: (task, query) for kind, task, query in tasks(Smooth, has_surrogate=True)
    }
    task, query = surrogate_tasks["table"]
    weight, index = getattr(task.surrogate, rank)(query.x, query.target).sort(
        dim=1, descending=True
    )
    examples = Examples(index=index[:, :3], weight=weight[:, :3])
    shown = Shown(
        dataset="d",
        model_name="m",
        data=task.data,
        model=task.model,
        query=query,
        explanations={"near": examples},
        surrogates={"near": task.surrogate},
    )
    methods = [{"method": "near", "kind": "examples", "class": "Near"}]
    empty = pd.DataFrame(columns=["metric", "method", "sample", "score"])
    (_, _, _, drawing), (_, _, _, beside) = draw_explanations(shown, empty, methods, "srg")
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    mean, prior = task.surrogate.posterior(query.x).mean, task.surrogate.offset(query.target)
    reasons = chosen(shown, task.surrogate)
    rows = list(reasons)
    total, first = (
        number(mean[rows[0], query.target[rows[0]]].item()),
        number(prior[rows[0]].item()),
    )
    assert any(
        text.startswith(reasons[rows[0]]) and f"GP mean {total}, prior mean {first}" in text
        for text in texts
    )
    assert len(beside.data) == 2 * len(drawing.data)
    for name in ("similarity", "contribution"):
        expected = getattr(task.surrogate, name)(query.x, query.target)
        assert drawing.data[name].tolist() == pytest.approx(
            expected[rows].gather(1, index[rows, :3]).flatten().tolist(), abs=1e-6
        )


def test_metrics_without_any_score_are_alike_in_nothing() -> None:
    """A run whose networks cannot be used is drawn too."""
    columns = ["dataset", "model", "method", "metric", "mean", "state"]
    rows = [("d", "m", "a", metric, float("nan"), "failed") for metric in ("srg", "other")]
    outcomes = pd.DataFrame(rows, columns=columns)
    metrics = [
        {"metric": name, "higher_is_better": True, "measures": "faithfulness"}
        for name in ("srg", "other")
    ]
    methods = [{"method": "a", "kind": "gradient", "role": "method"}]
    assert between_metrics(outcomes, methods, metrics, "srg").empty
