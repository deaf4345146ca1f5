"""Values that other libraries (Quantus, captum) gave for one recipe.

See the fixture for the recipe.
"""

import numpy as np
import pytest
import torch

from gpex_bench.masking.order import area, per_position
from gpex_bench.measurements import measured
from gpex_bench.measurements.curves import Curves
from gpex_bench.measurements.planted import top_inside
from gpex_bench.measurements.similarity import pearson
from gpex_bench.measurements.subsets import squared_error
from gpex_bench.metrics.complexity import entropy
from gpex_bench.metrics.faithfulness_estimate import FaithfulnessEstimate
from gpex_bench.metrics.infidelity import best_scale
from gpex_bench.metrics.localisation_auc import roc_area
from gpex_bench.metrics.mass_accuracy import mass_inside
from gpex_bench.metrics.relevant_positions import n_above
from gpex_bench.metrics.sparseness import gini
from gpex_bench.types import Query
from tests.vocabulary import removals

TOLERANCE = 1e-6  # the golden values have six digits


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, atol=TOLERANCE, rtol=0)


def single(golden, values, i, baseline):
    """Return the case of one image."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3, bias=False))
    model[1].weight.data = torch.from_numpy(golden.weight)
    rows = slice(i, i + 1)
    x, target = torch.from_numpy(golden.x[rows]), torch.from_numpy(golden.target[rows])
    query = Query(x=x, target=target, sample=torch.tensor([i]))
    return removals.case(model, query, values[rows], baseline)


def curves(golden, values):
    """Fill with the least value of each image, which differs from image to image."""
    found = []
    for i in range(4):
        baseline = torch.full((1, 8, 8), float(golden.x[i].min()))
        case = single(golden, torch.from_numpy(values).float(), i, baseline)
        found.append(Curves(n_steps=8).measure(case).of("probability"))
    return found


@pytest.mark.parametrize(
    ("map_name", "expected"),
    [
        ("exact", [0.163119, 0.177808, 0.174069, 0.158422]),
        ("noisy", [0.163121, 0.180707, 0.174801, 0.158959]),
    ],
)
def test_pixel_flipping_leaves_out_the_start_and_has_unit_steps(golden, map_name, expected):
    found = curves(golden, getattr(golden, map_name))
    close([torch.trapezoid(curve.most_first[0, 1:].double()).item() for curve in found], expected)


@pytest.mark.parametrize(
    ("map_name", "mif", "lif", "srg"),
    [("exact", 0.036904, 0.890194, 0.853290), ("noisy", 0.037067, 0.826178, 0.789110)],
)
def test_areas_of_both_curves(golden, map_name, mif, lif, srg):
    found = curves(golden, getattr(golden, map_name))
    most = np.mean([area(curve.most_first, curve.fraction).item() for curve in found])
    least = np.mean([area(curve.least_first, curve.fraction).item() for curve in found])
    close([most, least, least - most], [mif, lif, srg])


@pytest.mark.parametrize(
    ("map_name", "expected"),
    [
        ("exact", [0.999999, 0.999968, 0.999961, 0.999990]),
        ("noisy", [0.861163, 0.884538, 0.791803, 0.786168]),
    ],
)
def test_faithfulness_correlation_with_numpy_draws(golden, map_name, expected):
    x, values = golden.x.reshape(4, 64), getattr(golden, map_name).reshape(4, 64)
    draws = np.random.RandomState(1)
    relevance, drop = np.zeros((4, 100)), np.zeros((4, 100))
    for run in range(100):
        subsets = [draws.choice(64, 16, replace=False) for _ in range(4)]
        draws.uniform(size=4)  # discarded by the recipe
        for i, subset in enumerate(subsets):
            perturbed = x[i].copy()
            perturbed[subset] = x[i].min()
            relevance[i, run] = values[i, subset].sum()
            drop[i, run] = (golden.weight[golden.target[i]] @ (x[i] - perturbed)).item()
    close(pearson(torch.from_numpy(relevance), torch.from_numpy(drop)), expected)


@pytest.mark.parametrize(
    ("map_name", "expected"),
    [
        ("exact", [0.999999, 0.999988, 0.999985, 0.999996]),
        ("noisy", [0.990469, 0.974666, 0.946104, 0.966235]),
    ],
)
def test_faithfulness_estimate_of_logits_in_chunks_of_eight(golden, map_name, expected):
    """Fill with the least value of each image."""
    values = torch.from_numpy(getattr(golden, map_name)).float()
    found = []
    for i in range(4):
        case = single(golden, values, i, torch.full((1, 8, 8), float(golden.x[i].min())))
        found.append(
            FaithfulnessEstimate(n_chunks=8)
            .score(measured(case, [FaithfulnessEstimate(n_chunks=8)]))
            .item()
        )
    close(found, expected)


def test_sparseness(golden):
    close(
        gini(per_position(torch.from_numpy(golden.exact))), [0.567563, 0.526513, 0.458890, 0.554866]
    )


def test_complexity(golden):
    values = per_position(torch.from_numpy(golden.exact))
    close(entropy(values), [3.578986, 3.690112, 3.812340, 3.616297])
    # Quantus divides by the largest relevance of all samples: the same counts as for one row with
    # that threshold.
    largest = values.abs().amax(1)
    found = [
        float(n_above(row[None], 0.1 * float(largest.max() / row.abs().max()))) for row in values
    ]
    close(found, [27, 26, 30, 29])


def test_localisation_on_the_top_left_quadrant(golden):
    inside = torch.zeros(4, 8, 8, dtype=torch.bool)
    inside[:, :4, :4] = True
    values, inside = per_position(torch.from_numpy(golden.exact)), inside.flatten(1)
    close(mass_inside(values, inside, signed=True), [0.187106, -0.188238, 1.423141, 0.270944])
    close(top_inside(values, inside), [0.1875, 0.25, 0.25, 0.1875])
    close(roc_area(values, inside), [0.454427, 0.506510, 0.450521, 0.442708])


def test_infidelity_with_one_entry_zeroed_at_a_time(golden):
    x, values = golden.x.reshape(4, 64), golden.noisy.reshape(4, 64)
    relevance = torch.from_numpy(
        values * x
    ).double()  # the recipe takes the map as local: I.a with I = x
    drop = torch.from_numpy(golden.weight[golden.target] * x).double()
    plain = squared_error(relevance, drop, torch.ones(4))
    scaled = squared_error(relevance, drop, best_scale(relevance, drop))
    close(plain, [0.117180, 0.118186, 0.123625, 0.139501])
    close(scaled, [0.105047, 0.104383, 0.117167, 0.139382])
