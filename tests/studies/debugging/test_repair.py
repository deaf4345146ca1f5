"""What is shown, corrected and found: against chance and against planted answers."""

import pytest
import torch

from gpex_bench.studies.debugging.labels import choose_wrong, two_classes
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.studies.debugging.rankings import BY_NAME
from gpex_bench.studies.debugging.repair import choose, repair

PLAN = Debugging(classes=("left", "right"), per_round=5, rounds=4)


@pytest.fixture
def spoilt(made):
    data = two_classes(made.blobs(), PLAN.classes)
    return data, choose_wrong(data.train.y, 0.45, 0)


def run(spoilt, rank, train, plan=PLAN, seed=0):
    data, is_wrong = spoilt
    return repair(train, rank, data, is_wrong, plan=plan, seed=seed, progress=lambda line: None)


def test_shown_takes_each_rows_first_that_is_left():
    ranked = torch.tensor([[4, 1, 0, 2, 3], [4, 2, 1, 0, 3]])
    is_shown = torch.tensor([False, True, False, False, False])
    assert list(choose(ranked, is_shown, 4)) == [
        4,
        2,
        0,
        3,
    ]  # row 0: 4; row 1: 4 is gone, 2; row 0: 0; row 1: 3


def test_what_is_shown_is_corrected_and_nothing_else(spoilt, made):
    """Every training has the labels of the start, except where a sample was shown before."""
    data, is_wrong = spoilt
    seen, order = [], torch.randperm(len(data.train.y), generator=torch.Generator().manual_seed(1))

    def train(current):
        seen.append(current.train.y != data.train.y)
        return made.fixed([[1.0, 0.0], [-1.0, 0.0]])  # wrong nearly everywhere

    curve = run(spoilt, lambda question, k: order[:k].expand(len(question.x), k), train)
    for number, left in enumerate(seen):
        gone = torch.zeros_like(is_wrong)
        gone[order[: 5 * number]] = True
        assert torch.equal(left, is_wrong & ~gone)
        assert curve.found[number] == pytest.approx(
            (is_wrong & gone).sum().item() / is_wrong.sum().item()
        )
    assert curve.shown.tolist() == [0, 5, 10, 15, 20]
    assert (curve.found.diff().dropna() >= 0).all()


def test_only_misclassified_test_samples_are_asked_about(spoilt, made):
    data, _ = spoilt
    model = made.fixed([[1.0, 0.5], [-1.0, -0.5]])
    asked = []

    def rank(question, k):
        asked.append(question)
        return torch.arange(k).expand(len(question.x), k)

    curve = run(spoilt, rank, lambda current: model)
    rows = {
        tuple(row): label
        for row, label in zip(data.test.x.tolist(), data.test.y.tolist(), strict=True)
    }
    for question in asked:
        assert len(question.x) == min(PLAN.per_round, curve.misclassified[0])
        assert torch.equal(question.target, model(question.x).argmax(1))
        assert all(
            rows[tuple(row)] != label
            for row, label in zip(question.x.tolist(), question.target, strict=True)
        )
    accuracy = (model(data.test.x).argmax(1) == data.test.y).double().mean().item()
    assert curve.accuracy.tolist() == pytest.approx([accuracy] * 5)
    assert not torch.equal(asked[0].x, asked[1].x)  # another order in each round


def test_without_a_mistake_every_test_sample_is_asked_about(spoilt):
    data, _ = spoilt

    class Perfect(torch.nn.Module):
        def forward(self, x):
            (rows,) = (
                [(data.test.x == row).all(1).nonzero()[0] for row in x[:1]]
                if len(x) == 1
                else [None]
            )
            assert rows is None
            return torch.nn.functional.one_hot(data.test.y, 2).float()

    asked = []
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        run(
            spoilt,
            lambda q, k: asked.append(len(q.x)) or torch.arange(k).expand(len(q.x), k),
            lambda _: Perfect(),
        )
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert asked == [5] * 4


def test_random_finds_what_the_hypergeometric_law_expects(spoilt, made):
    """Showing n of N samples, K of them wrong, finds n K / N on average; 5 standard errors."""
    data, is_wrong = spoilt
    model = made.fixed([[1.0, 0.0], [-1.0, 0.0]])
    found = torch.tensor(
        [
            run(spoilt, BY_NAME["random"], lambda _: model, seed=seed).found.tolist()
            for seed in range(300)
        ]
    )
    n_train, n_wrong = len(is_wrong), int(is_wrong.sum())
    for turn in range(1, 5):
        n, share = 5 * turn, n_wrong / n_train
        deviation = (n * share * (1 - share) * (n_train - n) / (n_train - 1)) ** 0.5
        error = (found[:, turn] * n_wrong).mean() - n * share
        assert abs(error) < 5 * deviation / 300**0.5
        assert (found[:, turn] * n_wrong).std() == pytest.approx(deviation, rel=0.25)


def test_a_ranking_that_knows_finds_all_first_and_its_reverse_finds_none(spoilt, made):
    data, is_wrong = spoilt
    order = is_wrong.float().argsort(descending=True)
    plan = Debugging(classes=PLAN.classes, per_round=int(is_wrong.sum()) // 2, rounds=2)
    for ranked, expected in ((order, [0, 0.5, 1]), (order.flip(0), [0, 0, 0])):
        curve = run(
            spoilt,
            lambda question, k, ranked=ranked: ranked[:k].expand(len(question.x), k),
            lambda _: made.fixed([[1.0, 0.0], [-1.0, 0.0]]),
            plan,
        )
        assert curve.found.tolist() == expected


def test_messages(spoilt, made):
    data, is_wrong = spoilt
    train, rank = (lambda _: made.fixed([[1.0, 0.0], [-1.0, 0.0]])), BY_NAME["random"]
    with pytest.raises(
        ValueError, match="rounds x per_round must be at most the 40 training samples, got 9 x 5"
    ):
        run(spoilt, rank, train, Debugging(classes=PLAN.classes, per_round=5, rounds=9))
    with pytest.raises(
        ValueError, match="is_wrong must mark at least one training label, got none"
    ):
        run((data, torch.zeros_like(is_wrong)), rank, train)
    with pytest.raises(ValueError, match="ranked must .*, got 2 a row"):
        list(choose(torch.tensor([[0, 1]]), torch.zeros(4, dtype=torch.bool), 3))
