"""Conservation error: by hand, for rules whose error has a closed form, and where there is nothing
to conserve.
"""

import pytest
import torch
from torch import nn

from gpex_bench.contract import calls
from gpex_bench.measurements.maps import SMALLEST
from gpex_bench.metrics.conservation_error import ConservationError
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Model, Need, Query, Split, Task
from tests.vocabulary import datasets

METHODS = {name: plugin.cls for name, plugin in plugins("method").items()}
ERROR = ConservationError()


class Maximum(Model):
    """The 2-3-1 ReLU network of max(x1, x2) on non-negative inputs (montavon2018methods), with a
    bias if asked.
    """

    def __init__(self, bias=0.0):
        super().__init__()
        layer = nn.Linear(2, 3)
        layer.weight.data = torch.tensor([[1.0, -1], [-1, 1], [1, 1]])
        layer.bias.data = torch.zeros(3)
        self.trunk, self.head = nn.Sequential(layer, nn.ReLU()), nn.Linear(3, 1)
        self.head.weight.data, self.head.bias.data = torch.full((1, 3), 0.5), torch.tensor([bias])

    def embed(self, x):
        return self.trunk(x)


def score(model, x, name, **parameters):
    split = Split(x=x, y=torch.zeros(len(x), dtype=torch.int64), sample=torch.arange(len(x)))
    data = datasets.dataset(split, classes=1)
    task = Task(model=model.eval(), data=data, surrogate=None, seed=0)
    query, explainer = Query(x=x, target=split.y, sample=split.sample), METHODS[name](**parameters)
    case = Case(
        task=task,
        query=query,
        explanation=calls.explain(explainer, task, query),
        explainer=explainer,
    )
    return calls.score(ERROR, case)


def test_by_hand(toy):
    case = toy.case(toy.exact / 4)
    torch.testing.assert_close(
        ERROR.score(case), torch.full((12,), 0.75, dtype=torch.float64), atol=1e-5, rtol=0
    )
    assert (ERROR.score(toy.case(toy.exact)) == 0).all()
    torch.testing.assert_close(
        ERROR.score(toy.case(-toy.exact)), 2 * torch.ones(12).double(), atol=1e-5, rtol=0
    )


def test_of_an_output_of_zero_it_is_finite(toy):
    case = toy.case(toy.exact)
    object.__setattr__(
        case,
        "explanation",
        Attribution(values=torch.ones(1, 1, 1, 2), residual=torch.tensor([-2.0])),
    )
    torch.testing.assert_close(ERROR.score(case), torch.tensor([1 / SMALLEST], dtype=torch.float64))


def test_units_of_the_output_do_not_count(toy):
    """The sums of a map and of what is promised are multiplied by the same factor."""
    expected = ERROR.score(toy.case(0.9 * toy.exact))
    for factor in (1e-9, 1e9):
        case = toy.case(factor * 0.9 * toy.exact)
        explanation = Attribution(
            values=case.explanation.values,
            residual=factor * (0.1 * toy.exact).flatten(1).sum(1),
        )
        object.__setattr__(case, "explanation", explanation)
        torch.testing.assert_close(ERROR.score(case), expected, rtol=1e-3, atol=0)


def test_rules_whose_error_has_a_closed_form():
    """Relevance of max(3, 1) = 3: z+ and epsilon keep it, alpha2beta1 without its fallback would
    pay out 10.
    """
    x = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    for name in ("deep_taylor", "lrp"):
        assert float(score(Maximum(), x, name).max()) < 1e-5
    kept = score(
        Maximum(bias=1.0), x, "deep_taylor"
    )  # the bias takes nothing: still all of the logit
    assert float(kept.max()) < 1e-5
    biased = score(
        Maximum(bias=1.0), x, "lrp", composite="epsilon", bias="absorbs"
    )  # the head's bias keeps its 1
    torch.testing.assert_close(
        biased, torch.tensor([1 / 4, 1 / 6], dtype=torch.float64), atol=1e-4, rtol=0
    )


def test_simple_taylor_at_the_baseline_misses_the_curvature():
    """At zero the slope of a squared unit is zero: all of the logit is missing."""

    class Square(Maximum):
        def embed(self, x):
            return self.trunk[0](x).square()

    torch.testing.assert_close(
        score(Square(), torch.tensor([[3.0, 1.0]]), "simple_taylor", root="baseline"),
        torch.ones(1).double(),
    )


def test_methods_without_a_residual_have_no_score(toy):
    case = toy.case(toy.exact)
    object.__setattr__(case, "explanation", Attribution(values=toy.exact))
    with pytest.raises(
        ValueError, match="GradientTimesInput gave no residual; score methods that offer one"
    ):
        ERROR.score(case)


def test_who_says_what_a_map_should_sum_to():
    says = {
        name for name, cls in METHODS.items() if not isinstance(cls.offers, property) and cls.offers
    }
    assert says == {"deep_taylor", "deeplift", "deeplift_shap", "lrp", "simple_taylor"}
    lrp = METHODS["lrp"]()
    assert METHODS["smoothed"](of=lrp).offers == {Need.RESIDUAL}  # keeps the sum
    assert METHODS["absolute"](of=lrp).offers == frozenset()
