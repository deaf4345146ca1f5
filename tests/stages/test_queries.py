"""What is explained: drawn by what the networks predict, and shared by all training seeds."""

import torch

from gpex_bench.stages.queries import predicted_by, queries
from gpex_bench.types import Dataset, Kind, Model, Split
from gpex_bench.types.strata import agreed, drawn

N = 1000


class Fixed(Model):
    """Says what stands in the first columns of its input: a logit for each class."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns
        self.head = torch.nn.Identity()

    def embed(self, x):
        return x[:, self.columns]

    def forward(self, x):
        return x[:, self.columns]


def of_classes(*predictions):
    """Return a dataset of ten classes, evenly spread, and networks with these predictions."""
    logits = torch.cat([torch.nn.functional.one_hot(each, 10) for each in predictions], 1)
    split = Split(x=logits.float(), y=torch.arange(N) % 10, sample=5000 + torch.arange(N))
    data = Dataset(
        name="toy",
        train=split,
        test=split,
        classes=tuple("abcdefghij"),
        features=tuple(f"f{column}" for column in range(logits.shape[1])),
        baseline=torch.zeros(logits.shape[1]),
    )
    models = [Fixed(slice(10 * seed, 10 * seed + 10)) for seed in range(len(predictions))]
    return data, models


def lopsided(seed):
    """Return predictions: nine of ten rows class 3, the others 4 or (1 %) 7; no other class."""
    place = torch.rand(N, generator=torch.Generator().manual_seed(seed)).argsort()
    predicted = torch.full((N,), 3)
    predicted[place[:90]] = 4
    predicted[place[90:100]] = 7
    return predicted


def test_classes_that_are_never_predicted_are_absent_and_rare_ones_are_there():
    predicted = lopsided(1)
    data, (model,) = of_classes(predicted)
    query = queries(model, data, 100)
    assert query.target.bincount(minlength=10).tolist() == [0, 0, 0, 90, 9, 0, 0, 1, 0, 0]

    # By the true classes every class would have been there ten times.
    by_truth = data.test.y[drawn(data.test, data.kind, 100)]
    assert by_truth.bincount().tolist() == [10] * 10


def test_any_prefix_is_stratified_too():
    data, (model,) = of_classes(torch.arange(N) % 5)
    for n in (5, 10, 50):
        counts = queries(model, data, n).target.bincount(minlength=10)
        assert counts.tolist() == [n // 5] * 5 + [0] * 5
    few, many = queries(model, data, 20), queries(model, data, 200)
    assert torch.equal(few.sample, many.sample[:20])


def test_training_seeds_share_their_samples():
    """Each explains its own prediction of the samples that most of them decide."""
    first, second = lopsided(1), lopsided(2)
    data, models = of_classes(first, first, second)
    predicted = predicted_by(models, data)
    assert torch.equal(predicted, first)

    asked = [queries(model, data, 50, predicted) for model in models]
    assert torch.equal(asked[0].sample, asked[2].sample)
    rows = asked[2].sample - 5000
    assert torch.equal(asked[2].target, second[rows])
    alone = queries(models[2], data, 50)
    assert not torch.equal(alone.sample, asked[2].sample)


def test_what_most_networks_predict():
    classes = [torch.tensor(row) for row in ([0, 1, 2], [0, 2, 1], [1, 2, 0])]
    assert agreed(classes, Kind.CLASSES).tolist() == [0, 2, 0]  # of three that differ, the first
    labels = [torch.tensor(row) for row in ([[1, 0]], [[1, 1]], [[0, 0]])]
    assert agreed(labels, Kind.LABELS).tolist() == [[1, 0]]
    numbers = [torch.tensor([1.0, 4.0]), torch.tensor([2.0, 0.0])]
    assert agreed(numbers, Kind.NUMBER).tolist() == [1.5, 2.0]


def test_numbers_are_drawn_by_tenths_of_the_prediction():
    values = torch.linspace(-1, 1, N)[torch.randperm(N, generator=torch.Generator().manual_seed(3))]
    split = Split(x=values[:, None], y=torch.zeros(N), sample=torch.arange(N))
    assert len(drawn(split, Kind.NUMBER, 20, values)) == 20
    chosen = values[drawn(split, Kind.NUMBER, 20, values)]
    tenth = ((chosen + 1) / 2 * 10).long().clamp(max=9)
    assert tenth.bincount(minlength=10).tolist() == [2] * 10
