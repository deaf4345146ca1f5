"""On images with planted evidence, each metric must rank the truth over chance over the inverted
truth.

Scores are paired over images: a margin is the mean difference between two explanations divided by
its standard error.
"""

import math

import pytest
import torch

from gpex_bench.data.shapes import Shapes
from gpex_bench.measurements import measured
from gpex_bench.models.resnet import Resnet
from gpex_bench.models.training.loop import ZooTraining
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Examples, Explainer, Query, Task

pytestmark = pytest.mark.slow

METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}
OF_TRUTH = sorted(
    name
    for name, metric in METRICS.items()
    if metric.measures in ("faithfulness", "truth")
    and metric.scores is Attribution
    and metric.caveat is None
)  # the pages of the others say why the order need not show
OF_EXAMPLES = sorted(name for name, metric in METRICS.items() if metric.scores is Examples)
ENOUGH = 3.0  # standard errors
N_IMAGES, N_EXAMPLES = 128, 10


def margin(better, worse, higher_is_better):
    """Return by how many standard errors the first is better, paired over images."""
    gain = (better - worse).double() * (1 if higher_is_better else -1)
    error = gain.std() / math.sqrt(len(gain))
    return (gain.mean() / error).item() if error > 0 else math.copysign(math.inf, gain.mean())


def check(name, oracle, chance, inverted, higher_is_better):
    """Raise AssertionError, showing the means and margins, unless oracle beats chance beats
    inverted.
    """
    margins = margin(oracle, chance, higher_is_better), margin(chance, inverted, higher_is_better)
    means = [f"{part} {scores.mean():.3f}" for part, scores in
             (("oracle", oracle), ("random", chance), ("inverted", inverted))]  # fmt: skip
    found = f"margins {margins[0]:.1f} and {margins[1]:.1f}, wanted > {ENOUGH}"
    message = f"{name}: {', '.join(means)}; {found}"
    assert min(margins) > ENOUGH, message
    return message


class Planted(Explainer):
    """Gives the same map of a sample again, whatever the input has become."""

    def __init__(self, values, sample):
        self.values = dict(zip(sample.tolist(), values, strict=True))

    def explain(self, task, query):
        return Attribution(
            values=torch.stack([self.values[sample] for sample in query.sample.tolist()])
        )


@pytest.fixture(scope="session")
def trained():
    """A ResNet on shapes, as in the default run but thinner: about 40 s of training on one core."""
    data = Shapes(n_train=4000, n_test=300).load()
    architecture = Resnet(width=4, wide=64, training=ZooTraining(epochs=15))
    model = architecture.train(data, 0, lambda message: None)
    with torch.no_grad():
        right = model(data.test.x).argmax(1) == data.test.y
    assert right.double().mean() > 0.9, right.double().mean()
    rows = right.nonzero()[
        :N_IMAGES, 0
    ]  # evidence for the label is evidence for what the network says
    query = Query(x=data.test.x[rows], target=data.test.y[rows], sample=data.test.sample[rows])
    return Task(model=model, data=data, surrogate=None, seed=0), query, rows


@pytest.fixture(scope="session")
def maps(trained):
    """Cases of the planted mask, of a random map and of the negative mask."""
    task, query, rows = trained
    oracle = task.data.truth.mask[rows].float()
    chance = torch.randn(oracle.shape, generator=torch.Generator().manual_seed(0))
    return [
        measured(
            Case(
                task=task,
                query=query,
                explanation=Attribution(values=values),
                explainer=Planted(values, query.sample),
            ),
            [METRICS[name]() for name in OF_TRUTH],
        )
        for values in (oracle, chance, -oracle)
    ]


@pytest.fixture(scope="session")
def examples(trained):
    """Cases of training samples of the same group, of any, and of another class."""
    task, query, rows = trained
    generator = torch.Generator().manual_seed(0)
    own = task.data.truth.train_group == task.data.truth.test_group[rows][:, None]
    other = task.data.train.y != query.target[:, None]
    weight = torch.ones(len(rows), N_EXAMPLES)
    drawn = [
        torch.multinomial(choice.double(), N_EXAMPLES, generator=generator)
        for choice in (own, torch.ones_like(own), other)
    ]
    return [
        Case(
            task=task,
            query=query,
            explanation=Examples(index=index, weight=weight),
            explainer=Planted([], query.sample[:0]),
        )
        for index in drawn
    ]


@pytest.mark.parametrize("name", OF_TRUTH + OF_EXAMPLES)
def test_oracle_beats_random_beats_inverted(maps, examples, name):
    metric = METRICS[name]()
    scores = [metric.score(case) for case in (examples if metric.scores is Examples else maps)]
    print(check(name, *scores, metric.higher_is_better))
    with pytest.raises(
        AssertionError, match="margins -"
    ):  # the check fails when the direction is flipped
        check(name, *scores, not metric.higher_is_better)


@pytest.mark.parametrize("name", [name for name in OF_TRUTH if METRICS[name].chance is not None])
def test_random_is_at_chance(maps, name):
    found = METRICS[name]().score(maps[1])
    error = (found.std() / math.sqrt(len(found))).item()
    assert abs(found.mean().item() - METRICS[name].chance) < 4 * error, (name, found.mean(), error)


def test_the_check_wants_more_than_luck():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 100, generator=generator)
    with pytest.raises(AssertionError, match="oracle .*; margins .*, wanted > 3.0"):
        check("luck", *noise, True)
    assert "margins" in check("clear", *(noise + torch.tensor([[4.0], [2.0], [0.0]])), True)
