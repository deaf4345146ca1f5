"""Small cases worked out by hand, degenerate maps and messages."""

from dataclasses import replace

import pytest
import torch

from gpex_bench.measurements.noisy import Noisy
from gpex_bench.measurements.planted import top_inside
from gpex_bench.measurements.similarity import pearson
from gpex_bench.measurements.subsets import Subsets, cells, draw
from gpex_bench.metrics.class_purity import ClassPurity
from gpex_bench.metrics.faithfulness_correlation import FaithfulnessCorrelation
from gpex_bench.metrics.group_purity import GroupPurity
from gpex_bench.metrics.infidelity import Infidelity, relative_error
from gpex_bench.metrics.mass_accuracy import MassAccuracy, mass_inside
from gpex_bench.metrics.max_sensitivity import MaxSensitivity
from gpex_bench.metrics.rank_accuracy import RankAccuracy
from gpex_bench.metrics.sparseness import Sparseness, gini
from gpex_bench.types import Query
from tests.vocabulary import datasets


def test_an_exact_map_of_a_linear_network_is_perfect(toy):
    case = toy.case(toy.exact)
    assert FaithfulnessCorrelation(patch=2).score(case).min() > 1 - 1e-5
    assert Infidelity(patch=2).score(case).max() < 1e-8
    effects = Subsets(n_subsets=10, share=0.3, patch=3).measure(case)
    torch.testing.assert_close(effects.relevance, effects.drop, rtol=1e-4, atol=1e-5)


def test_infidelity_does_not_forgive_a_flipped_sign(toy):
    assert (Infidelity().score(toy.case(-toy.exact)) > 0.9).all()


def test_infidelity_is_one_minus_the_squared_positive_cosine():
    generator = torch.Generator().manual_seed(0)
    a, d = torch.randn(2, 50, 7, generator=generator, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(a, d)
    torch.testing.assert_close(relative_error(a, d), 1 - cosine.clamp(min=0) ** 2)
    assert (relative_error(a, 0 * d) == 1).all() and (relative_error(0 * a, d) == 1).all()


def test_pearson_is_numpys_and_zero_for_a_constant():
    a, b = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(a, b, strict=True)]
    )
    torch.testing.assert_close(pearson(a, b), expected)
    assert (pearson(torch.full((4, 9), 0.1), b) == 0).all()
    rounded = torch.tensor(
        [[0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2]], dtype=torch.float64
    )  # constant but for rounding
    assert rounded.std() > 0 and pearson(rounded, torch.tensor([[0.0, 1, 0, 1]])).item() == 0


def test_correlation_of_a_constant_map_is_zero(toy):
    constant = torch.full_like(toy.exact, 0.1)
    assert (FaithfulnessCorrelation().score(toy.case(constant)) == 0).all()


def test_gini_of_textbook_rows():
    rows = torch.tensor([[0.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, -2], [1, 2, 3, 4]])
    torch.testing.assert_close(gini(rows), torch.tensor([0, 0, 0.75, 0.25], dtype=torch.float64))


def test_sparseness_takes_whole_pixels(toy):
    values = torch.zeros_like(toy.exact)
    values[:, 0], values[:, 1] = 1, -1  # cancels in every pixel
    assert (Sparseness().score(toy.case(values)) == 0).all()


def test_mass_and_rank_by_hand():
    values = torch.tensor([[3.0, 1, -4, 0], [-1, -1, -1, -1], [5, 5, 5, 1]])
    inside = torch.tensor(
        [[True, False, True, False], [True, False, False, False], [True, True, False, False]]
    )
    torch.testing.assert_close(
        mass_inside(values, inside), torch.tensor([0.75, 0, 10 / 16], dtype=torch.float64)
    )
    torch.testing.assert_close(
        top_inside(values, inside), torch.tensor([0.5, 0.25, 2 / 3], dtype=torch.float64)
    )


def test_rank_ties_are_the_mean_over_random_orders():
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(3, (1, 12), generator=generator).float()
    inside = torch.rand(1, 12, generator=generator) < 0.4
    broken = values + torch.rand(20000, 12, generator=generator) * 0.5
    expected = top_inside(broken, inside.expand(20000, 12)).mean()
    assert abs(top_inside(values, inside) - expected) < 0.01
    assert 0 < expected < 1


def test_oracle_has_all_its_mass_and_rank_inside(toy):
    mask = toy.task.data.truth.mask
    for metric in (MassAccuracy(), RankAccuracy()):
        assert (metric.score(toy.case(mask.float())) == 1).all()
        assert (metric.score(toy.case(-mask.float())) == 0).all()


def test_truth_is_looked_up_by_sample_and_not_by_row(toy):
    toy.task.data.truth.mask[3] = False
    toy.task.data.truth.mask[3, :, 0, 0] = True
    values = toy.task.data.truth.mask.float()
    rows = torch.tensor([3, 7])
    assert (MassAccuracy().score(toy.case(values, rows)) == 1).all()


def test_truth_errors_name_the_cause(toy):
    case = toy.case(toy.exact)
    no_truth = replace(case, task=replace(toy.task, data=replace(toy.task.data, truth=None)))
    with pytest.raises(ValueError, match="'toy' has no planted truth"):
        MassAccuracy().score(no_truth)
    query = Query(x=toy.query.x, target=toy.query.target, sample=torch.arange(12))
    with pytest.raises(
        ValueError, match=r"Samples \[0, 1, 2, 3, 4\] of 'toy' are not in its test split"
    ):
        RankAccuracy().score(replace(case, query=query))
    toy.task.data.truth.mask[2] = False
    with pytest.raises(ValueError, match=r"masks of samples \[109\] of 'toy' are empty"):
        MassAccuracy().score(case)


def test_purity_by_hand(toy):
    # Query 0 has target 0 and group 0; training sample i has label i % 3 and group i % 6.
    index = torch.tensor([0, 3, 6, 1]).repeat(12, 1)
    assert ClassPurity().score(toy.examples(index)).tolist() == [0.75, 0.25, 0] * 4
    assert GroupPurity().score(toy.examples(index)).tolist() == [0.5, 0.25, 0, 0.25, 0, 0] * 2
    weight = torch.tensor([4.0, 3, 1, -1]).repeat(12, 1)
    assert ClassPurity(weighted=True).score(toy.examples(index, weight))[0] == 1
    assert GroupPurity(weighted=True).score(toy.examples(index, weight))[0] == 5 / 8


def test_max_sensitivity_sees_the_ball_and_nothing_else(toy):
    metric = Noisy(n_draws=50, radius=0.1)
    noise = metric.neighbours(7, toy.query) - toy.query.x
    assert noise.abs().max() <= 0.1 + 1e-6 and noise.min() < -0.099 and noise.max() > 0.099
    assert abs(noise.mean()) < 1e-3
    assert not torch.equal(metric.neighbours(8, toy.query) - toy.query.x, noise)
    more = MaxSensitivity(n_draws=8).score(toy.case(toy.exact))
    assert (more >= MaxSensitivity(n_draws=1).score(toy.case(toy.exact))).all()


def test_cells_of_an_image_and_of_a_table():
    expected = torch.tensor([[0, 0, 1], [0, 0, 1], [2, 2, 3]])
    assert torch.equal(cells(datasets.dataset(torch.zeros(2, 5, 3, 3)), 2), expected.flatten())
    assert torch.equal(cells(datasets.dataset(torch.zeros(2, 4)), 2), torch.arange(4))


def test_subsets_have_one_size_and_no_favourite():
    drawn = draw(0, torch.arange(200), 20, n_subsets=50, share=0.25)
    assert (drawn.sum(2) == 5).all()
    share = drawn.double().mean((0, 1))
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 10000) ** 0.5
    # never all cells, which would be one subset
    assert draw(0, torch.arange(3), 2, n_subsets=4, share=0.9).sum() == 12


@pytest.mark.parametrize("metric", [FaithfulnessCorrelation, Infidelity])
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_subsets": 1}, "n_subsets must be at least 2, got 1"),
        ({"share": 1.0}, "share must lie between 0 and 1, both excluded, got 1.0"),
        ({"patch": 0}, "patch must be at least 1 pixel, got 0"),
    ],
)
def test_subset_settings_are_checked(metric, setting, message):
    with pytest.raises(ValueError, match=message):
        metric(**setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"n_draws": 0}, "n_draws must be at least 1"), ({"radius": 0.0}, "radius must be positive")],
)
def test_max_sensitivity_settings_are_checked(setting, message):
    with pytest.raises(ValueError, match=message):
        MaxSensitivity(**setting)
