"""Maps that say nothing: values that are not finite are refused, zeros and constants score what the
files say.
"""

import math
import re
import sys

import pytest
import torch

from gpex_bench.measurements import measured
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Explainer, settings
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets, networks

METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}
OF_MAPS = sorted(name for name, metric in METRICS.items() if metric.scores is Attribution)


@settings
class Constant(Explainer):
    """The same number everywhere."""

    reference = "none"
    kind = "control"
    relative_to = "nothing"

    number: float = 0.0

    def explain(self, task, query):
        return Attribution(values=torch.full_like(query.x, self.number))


@pytest.mark.parametrize("name", OF_MAPS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_map_with_values_that_are_not_finite_is_refused(toy, name, broken):
    values = toy.exact.clone()
    values[3, 1, 2, 2] = broken
    with pytest.raises(
        ValueError, match=r"values must be finite, but rows \[3\] hold NaN or infinity"
    ):
        METRICS[name]().score(toy.case(values))


@pytest.mark.parametrize("name", [name for name in OF_MAPS if METRICS[name]().re_explains])
def test_a_broken_map_met_while_explaining_again_is_refused(toy, name):
    explainer = Constant(number=float("nan"))
    with pytest.raises(ValueError, match="values must be finite"):
        METRICS[name]().score(toy.case(toy.exact, None, explainer))


OF_ZEROS = {  # what a map of zeros scores, as the files say; a quarter of the input is evidence
    "average_sensitivity": 0,
    "completeness_error": 1,
    "complexity": math.log(64),
    "conservation_error": 1,
    "continuity": 0,
    "dummy_error": 0,
    "relevant_positions": 64,
    "faithfulness_correlation": 0,
    "implementation_error": 0,
    "infidelity": 1,
    "linearity_error": 0,
    "local_lipschitz": 0,
    "localisation_auc": 0.5,
    "mass_accuracy": 0,
    "max_sensitivity": 0,
    "mprt": 1,
    "mprt_entropy": 0,
    "mprt_full": 1,
    "mprt_smooth": 1,
    "pointing_game": 0.25,
    "random_logit": 1,
    "rank_accuracy": 0.25,
    "relative_input_stability": 0,
    "relative_output_stability": 0,
    "relative_representation_stability": 0,
    "seed_consistency": 1,
    "sparseness": 0,
    "symmetry_error": 0,
    "top_iou": 0.25 / 1.75,
}
SUMS = {
    "completeness_error",
    "conservation_error",
    "infidelity",
}  # depend on what the constant sums to
OF_CONSTANTS = {
    "mass_accuracy": 0.25,
    "dummy_error": 0.25,
    "linearity_error": 0.5,
}  # where it differs


@pytest.mark.parametrize(
    "number, name",
    [(n, name) for n in (0.0, 0.1) for name in sorted(OF_ZEROS) if not n or name not in SUMS],
)
def test_a_degenerate_map_scores_what_the_file_says(toy, name, number):
    explainer = Constant(number=number)
    found = METRICS[name]().score(
        toy.case(explainer.explain(toy.task, toy.query).values, None, explainer)
    )
    expected = OF_ZEROS[name] if number == 0 else OF_CONSTANTS.get(name, OF_ZEROS[name])
    torch.testing.assert_close(found, torch.full((12,), float(expected), dtype=torch.float64))
    words = f"{sys.modules[METRICS[name].__module__].__doc__} {METRICS[name].__doc__}"
    assert re.search(r"zero|constant|without positive relevance|egenerate\s+maps as in", words), (
        "what does a map of zeros score?"
    )


@pytest.mark.parametrize("shape", [(1,), (1, 4, 4)])
@pytest.mark.parametrize("name", ["sensitivity_n", "faithfulness_correlation", "infidelity"])
def test_subsets_of_a_single_cell_are_refused(name, shape):
    """All subsets are then the same one: a correlation over them says nothing, and is not 0."""
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    model = networks.Linear(torch.ones(2, x[0].numel()))
    metric = plugins("metric")[name].cls()
    explanation = Attribution(values=x)
    case = Case(
        task=datasets.task(model, x),
        query=datasets.query(x),
        explanation=explanation,
        explainer=Constant(),
    )
    with pytest.raises(Refused, match="need at least 2 cells"):
        measured(case, [metric])


@pytest.mark.parametrize("name", ["sensitivity_n", "faithfulness_estimate", "infidelity", "srg"])
def test_metrics_refuse_outputs_that_single_precision_does_not_resolve(name):
    """An effect of at most .5 beside 1e7, in steps of 1; beside 1e4 the score is the usual one."""
    x = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
    weight = torch.linspace(-1, 1, 8)
    metric = plugins("metric")[name].cls()
    scores = []
    for shift in (0.0, 1e4, 1e7):
        model = networks.Formula(
            lambda x, shift=shift: torch.stack([x @ weight + shift, 0 * x[:, 0] + shift], 1), 2
        )
        case = Case(
            task=datasets.task(model, x),
            query=datasets.query(x),
            explanation=Attribution(values=weight * x),
            explainer=Constant(),
        )
        if shift == 1e7:
            with pytest.raises(Refused, match="differ by less than the network's precision"):
                measured(case, [metric])
        else:
            scores.append(metric.score(measured(case, [metric])))
    torch.testing.assert_close(scores[1], scores[0], atol=0.01, rtol=0.01)
