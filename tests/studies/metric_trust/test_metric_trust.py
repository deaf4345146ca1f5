"""Perturbed networks and inputs, and what two metrics of which one knows the answer score under them."""

import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.plugins.registry import plugins
from gpex_bench.statistics.trust import meta_consistency
from gpex_bench.studies.metric_trust.measure import SIZES, kept, perturbed, trials
from gpex_bench.types import Metric, Query, settings

TASK, QUERY = next(
    (task, query) for kind, task, query in toys.tasks(toys.Smooth) if kind == "grey images"
)
METHODS = {
    name: plugins("method")[name].cls() for name in ("gradient_x_input", "saliency", "input_itself")
}


@pytest.mark.parametrize("strength", ["minor", "disruptive"])
def test_weights_are_multiplied_by_normal_numbers_around_one(strength):
    before = {name: tensor.clone() for name, tensor in TASK.model.state_dict().items()}
    there, query = perturbed(TASK, QUERY, "network", strength, 0)
    factors = torch.cat(
        [
            (b / a).flatten()
            for a, b in zip(TASK.model.parameters(), there.model.parameters(), strict=True)
        ]
    )
    size = SIZES["network", strength]
    assert query is QUERY
    assert abs(factors.mean() - 1) < 4 * size / len(factors) ** 0.5
    assert abs(factors.std() / size - 1) < 0.1
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in TASK.model.state_dict().items()
    )
    again, other = (
        perturbed(TASK, QUERY, "network", strength, number)[0].model for number in (0, 1)
    )
    assert torch.equal(again.head.weight, there.model.head.weight)
    assert not torch.equal(other.head.weight, there.model.head.weight)


@pytest.mark.parametrize("strength", ["minor", "disruptive"])
def test_inputs_get_noise_within_the_range_of_the_data(strength):
    task, query = perturbed(TASK, QUERY, "input", strength, 0)
    low, high = TASK.data.train.x.min(), TASK.data.train.x.max()
    moved = (query.x - QUERY.x.clamp(low, high)).abs()
    assert task is TASK and torch.equal(query.target, QUERY.target)
    assert query.x.min() >= low and query.x.max() <= high
    assert 0 < moved.max() <= SIZES["input", strength] + 1e-6
    alone = perturbed(
        TASK,
        QUERY.rows(slice(1, 2)),
        "input",
        strength,
        0,
    )
    assert torch.equal(alone[1].x, query.x[1:2])


def test_samples_count_where_the_network_says_what_it_should():
    with torch.no_grad():
        said = TASK.model(QUERY.x).argmax(1)
    mixed = Query(
        x=QUERY.x,
        target=torch.where(torch.arange(3) == 1, (said + 1) % 3, said),
        sample=QUERY.sample,
    )
    assert kept(TASK, mixed, "minor").tolist() == [True, False, True]
    assert kept(TASK, mixed, "disruptive").tolist() == [False, True, False]


@settings
class Deaf(Metric):
    """The same number whatever happens, another one for each method."""

    reference = "none"
    measures = "complexity"
    higher_is_better = True
    range = (0.0, float("inf"))
    chance = None

    def score(self, case):
        order = [type(explainer) for explainer in METHODS.values()]
        return torch.full(
            (len(case.query.x),), float(order.index(type(case.explainer))), dtype=torch.float64
        )


@settings
class Believer(Metric):
    """The probability of the target: it falls when, and only when, the network no longer believes in it."""

    reference = "none"
    measures = "faithfulness"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None

    def score(self, case):
        with torch.no_grad():
            return (
                case.task.model(case.query.x)
                .softmax(1)
                .gather(1, case.query.target[:, None])[:, 0]
                .double()
            )


def test_a_deaf_metric_is_resilient_and_does_not_react():
    with torch.no_grad():
        target = TASK.model(TASK.data.train.x).argmax(1)
    train = TASK.data.train
    about = TASK, Query(x=train.x, target=target, sample=train.sample)
    plain, others = trials({"deaf": Deaf(), "believer": Believer()}, METHODS, about, (2, 3))
    where = {"dataset": "toy", "model": "smooth"}
    for space, strengths in (("network", {"minor", "disruptive"}), ("input", {"minor"})):
        table = others[space]
        assert (
            set(table["strength"]) == strengths
        )  # no noise on its input makes this network change its mind
        assert set(table["perturbation"]) == {0, 1}
        found = meta_consistency(
            plain.assign(**where), table.assign(**where), {"deaf": True, "believer": True}
        )
        value = found.set_index(["metric", "property"])["value"]
        assert (
            value["deaf", "noise resilience (scores)"]
            == value["deaf", "noise resilience (ranks)"]
            == 1
        )
        if space == "network":
            assert (
                value["deaf", "adversary reactivity (scores)"]
                == value["deaf", "adversary reactivity (ranks)"]
                == 0
            )
            assert value["believer", "adversary reactivity (ranks)"] > 0.9


def test_only_attributions_are_judged():
    with pytest.raises(
        ValueError, match="methods must give attributions, RandomExamples gives Examples"
    ):
        trials(
            {"deaf": Deaf()},
            {"random_examples": plugins("method")["random_examples"].cls()},
            (TASK, QUERY),
            (1, 1),
        )
