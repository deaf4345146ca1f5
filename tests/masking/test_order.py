import itertools

import numpy as np
import pytest
import torch

from gpex_bench.contract.cost import counted
from gpex_bench.masking.fills import remove_positions
from gpex_bench.masking.order import area, per_position, step_sizes, ties_broken
from gpex_bench.measurements import answers
from gpex_bench.types import Query
from tests.vocabulary.removals import removal_curves


@pytest.fixture
def network():
    generator = torch.Generator().manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 9, 3)
    )
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return network


@pytest.fixture
def query():
    x = torch.rand(6, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    return Query(x=x, target=torch.arange(6) % 3, sample=torch.arange(6) + 40)


BASELINE = torch.tensor([0.3, -0.2]).view(2, 1, 1).expand(2, 5, 5).contiguous()


def normal(query, seed=2):
    return torch.randn(query.x.shape, generator=torch.Generator().manual_seed(seed))


def test_curves_are_those_of_a_loop_over_images_and_pixels(network, query):
    values = normal(query)
    found = removal_curves(network, query, values, BASELINE, 25)
    for i in range(6):
        best_first = np.argsort(-values[i].double().sum(0).flatten().numpy())
        for curve, order in ((found.most_first, best_first), (found.least_first, best_first[::-1])):
            x, expected = query.x[i].clone(), []
            for pixel in [None, *order]:
                if pixel is not None:
                    x[:, pixel // 5, pixel % 5] = BASELINE[:, 0, 0]
                with torch.no_grad():
                    expected.append(network(x[None]).softmax(1)[0, query.target[i]])
            torch.testing.assert_close(curve[i], torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_coarse_curves_are_points_of_the_fine_one(network, query):
    fine = removal_curves(network, query, normal(query), BASELINE, 25)
    coarse = removal_curves(network, query, normal(query), BASELINE, 4)
    at = step_sizes(25, 4)
    assert at.tolist() == [0, 7, 13, 19, 25]
    torch.testing.assert_close(coarse.most_first, fine.most_first[:, at], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(coarse.least_first, fine.least_first[:, at], rtol=1e-5, atol=1e-6)


def test_curves_share_both_ends(network, query):
    found = removal_curves(network, query, normal(query), BASELINE, 5)
    with torch.no_grad():
        start = network(query.x).softmax(1).gather(1, query.target[:, None])[:, 0]
        end = (
            network(BASELINE.expand(6, -1, -1, -1))
            .softmax(1)
            .gather(1, query.target[:, None])[:, 0]
        )
    for curve in (found.most_first, found.least_first):
        torch.testing.assert_close(curve[:, 0], start, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(curve[:, -1], end, rtol=1e-5, atol=1e-6)


def test_inverting_the_map_swaps_the_curves(network, query):
    there, back = (
        removal_curves(network, query, sign * normal(query), BASELINE, 25) for sign in (1, -1)
    )
    torch.testing.assert_close(there.most_first, back.least_first, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(there.most_first, there.least_first)


def test_passes_are_shared_and_bounded(network, query, monkeypatch):
    sizes = []
    network.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    whole = removal_curves(network, query, normal(query), BASELINE, 8)
    monkeypatch.setattr(answers, "CHANGED_ROWS", 10)
    with counted(network) as rows:
        chunked = removal_curves(network, query, normal(query), BASELINE, 8)
    assert rows.forward == 6 * 2 * 8
    assert max(sizes[1:]) == 10
    torch.testing.assert_close(whole.most_first, chunked.most_first, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.least_first, chunked.least_first, rtol=1e-5, atol=1e-6)


def test_equal_relevance_is_ordered_by_chance_and_not_by_place():
    values, sample = torch.zeros(400, 1, 6, 6), torch.arange(400)
    rank = ties_broken(per_position(values), sample).double()
    assert (rank.sort(1).values == torch.arange(36)).all()
    # Each pixel's mean rank is near the middle, and rank does not follow the position within an
    # image.
    assert (rank.mean(0) - 17.5).abs().max() < 5 * rank.std() / 20
    position = torch.arange(36.0, dtype=torch.float64)
    following = torch.stack([torch.corrcoef(torch.stack([row, position]))[0, 1] for row in rank])
    assert abs(following.mean()) < 5 * following.std() / 20


def test_order_depends_on_the_sample_alone():
    values = torch.randint(3, (8, 1, 6, 6), generator=torch.Generator().manual_seed(0)).float()
    values, sample = values[:1].repeat(8, 1, 1, 1), torch.tensor([4, 4, 5, 6, 7, 8, 9, 10])
    rank = ties_broken(per_position(values), sample)
    assert torch.equal(rank[0], rank[1])
    assert all(not torch.equal(rank[a], rank[b]) for a, b in itertools.combinations(range(1, 8), 2))
    assert torch.equal(ties_broken(per_position(values[3:4]), sample[3:4])[0], rank[3])
    ordered = per_position(values).gather(1, rank.argsort(1))
    assert (ordered.diff(dim=1) <= 0).all()  # ties are shuffled, the rest is not


def test_whole_pixels_move(query):
    removed = torch.zeros(6, 25, dtype=torch.bool)
    removed[:, 7] = True
    changed = remove_positions(query.x, BASELINE[None], removed) != query.x
    assert changed.flatten(2).sum(2).tolist() == [[1, 1]] * 6
    assert changed[:, :, 1, 2].all()


def test_tables_move_by_column():
    network = torch.nn.Linear(3, 2)
    query = Query(
        x=torch.rand(4, 3), target=torch.zeros(4, dtype=torch.long), sample=torch.arange(4)
    )
    found = removal_curves(network, query, torch.rand(4, 3), torch.zeros(3), 28)
    assert found.most_first.shape == (4, 4)  # no more steps than columns


def test_area_is_the_mean_of_the_trapezoids():
    curve, even = (
        torch.tensor([[1.0, 0.5, 0.0], [1, 1, 1]]),
        torch.tensor([0, 0.5, 1], dtype=torch.float64),
    )
    assert area(curve, even).tolist() == [0.5, 1.0]
    assert area(curve, even).tolist() == pytest.approx(np.trapezoid(curve.numpy(), dx=0.5).tolist())
    uneven = torch.tensor([0, 0.2, 1], dtype=torch.float64)
    assert area(curve, uneven).tolist() == pytest.approx(
        np.trapezoid(curve.numpy(), uneven.numpy()).tolist()
    )


def test_area_stays_in_the_range_of_the_curve():
    for n in range(1, 200):
        fraction = torch.arange(n + 1, dtype=torch.float64) / n
        assert area(torch.ones(1, n + 1), fraction).item() == 1


class Share(torch.nn.Module):
    """A network whose first probability is the mean of its input: it falls linearly as ones become
    zeros.
    """

    def forward(self, x):
        mean = x.double().flatten(1).mean(1).clamp(1e-9, 1 - 1e-9)
        return torch.stack([mean.log(), (1 - mean).log()], 1)


@pytest.mark.parametrize(
    ("n_positions", "n_steps"), [(30, 28), (1024, 28), (61, 28), (5, 28), (9, 2), (1, 3)]
)
def test_the_area_of_a_linear_decay_is_half_whatever_the_steps(n_positions, n_steps):
    query = Query(
        x=torch.ones(2, n_positions),
        target=torch.zeros(2, dtype=torch.long),
        sample=torch.arange(2),
    )
    found = removal_curves(
        Share(), query, torch.rand(2, n_positions), torch.zeros(n_positions), n_steps
    )
    for curve in (found.most_first, found.least_first):
        torch.testing.assert_close(
            curve.double(), (1 - found.fraction).expand(2, -1), rtol=0, atol=1e-6
        )
        assert area(curve, found.fraction).tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("n_positions", "n_steps"), [(784, 28), (1024, 28), (56, 28), (61, 28), (7, 1)]
)
def test_steps_are_even_and_end_with_everything(n_positions, n_steps):
    sizes = step_sizes(n_positions, n_steps)
    gaps = sizes.diff()
    assert sizes[0] == 0 and sizes[-1] == n_positions and len(gaps) == n_steps
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(("n_positions", "n_steps"), [(30, 28), (5, 28), (55, 28), (1, 1)])
def test_few_positions_go_one_by_one(n_positions, n_steps):
    assert step_sizes(n_positions, n_steps).tolist() == list(range(n_positions + 1))


def test_messages(network, query):
    values = normal(query)
    values[4, 0, 0, 0] = float("nan")
    with pytest.raises(
        ValueError, match=r"values must be finite, but rows \[4\] hold NaN or infinity"
    ):
        removal_curves(network, query, values, BASELINE)
    with pytest.raises(ValueError, match="n_steps must be at least 1, got 0"):
        removal_curves(network, query, normal(query), BASELINE, 0)
