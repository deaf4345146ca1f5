"""Faithfulness metrics against their definitions, written as loops over one sample, one position,
one removal.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from gpex_bench.contract.cost import counted
from gpex_bench.masking.fills import filler, stand_in
from gpex_bench.masking.inpainting import NOISE, inpainted, noise
from gpex_bench.masking.order import area, read_at
from gpex_bench.measurements import measured
from gpex_bench.measurements.chunks import Chunks
from gpex_bench.measurements.curves import Curves
from gpex_bench.measurements.erased import Erasures
from gpex_bench.measurements.jitter import Jitter
from gpex_bench.measurements.recomputed import Recomputed
from gpex_bench.measurements.subsets import draw
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Explainer, Query, Split, Task, settings
from tests.vocabulary import datasets
from tests.vocabulary.removals import Wrapped

METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}


def score(name, case, **settings):
    return METRICS[name](**settings).score(case)


def network(case, x, row, output="probability"):
    with torch.no_grad():
        logits = case.task.model(x[None]).double()[0]
    return (logits.softmax(0) if output == "probability" else logits)[case.query.target[row]].item()


def patches(x):
    """Return the 4 x 4 patches of an image as slices."""
    return [
        (slice(None), slice(i, i + 4), slice(j, j + 4))
        for i in range(0, x.shape[1], 4)
        for j in range(0, x.shape[2], 4)
    ]


@pytest.fixture
def noisy(toy):
    return toy.exact + torch.randn(toy.exact.shape, generator=torch.Generator().manual_seed(3)) / 8


@pytest.fixture
def table():
    """A network of softplus units on 20 columns, with maps that are near its slopes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(7, 20, generator=generator)
    weight = torch.randn(3, 20, generator=generator)
    split = Split(x=x, y=torch.arange(7) % 3, sample=torch.arange(7) + 5)
    data = datasets.dataset(split, baseline=0.5)
    model = torch.nn.Sequential(torch.nn.Linear(20, 3), torch.nn.Softplus())
    model[0].weight.data, model[0].bias.data = weight, torch.zeros(3)
    task = Task(model=Wrapped(model).eval(), data=data, surrogate=None, seed=1)
    values = weight[split.y] * (x - 0.5) + torch.randn(7, 20, generator=generator) / 8
    query = Query(x=x, target=split.y, sample=split.sample)
    return Case(task=task, query=query, explanation=Attribution(values=values), explainer=Fixed())


@settings
class Fixed(Explainer):
    """The map of the intact input, whatever it is asked about."""

    reference, kind = "none", "control"
    relative_to = "nothing"

    def explain(self, task, query):
        rows = {int(sample): row for row, sample in enumerate(task.data.test.sample)}
        weight = task.model.head.weight.detach()[query.target]
        x = task.data.test.x[[rows[int(sample)] for sample in query.sample]]
        return Attribution(values=weight.view_as(x) * (x - task.data.baseline))


@settings
class Quadratic(Explainer):
    """A map that changes its order with the input."""

    reference, kind = "none", "control"
    relative_to = "nothing"

    def explain(self, task, query):
        return Attribution(
            values=(query.x - 0.4) ** 2 - query.x.mean((1, 2, 3), keepdim=True) * query.x
        )


def with_measured(case, name, **settings):
    return measured(case, [METRICS[name](**settings)])


# --- curves ---------------------------------------------------------------------------------------


def test_insertion_from_the_baseline_is_the_removal_of_the_least_relevant_backwards(toy, noisy):
    case = toy.case(noisy)
    found = Curves().measure(case).of("probability")
    for row in range(3):
        order = noisy[row].double().sum(0).flatten().argsort(descending=True)
        shown, curve = toy.task.data.baseline.clone(), []
        for k in range(65):
            if k:
                pixel = int(order[k - 1])
                shown[:, pixel // 8, pixel % 8] = toy.query.x[row][:, pixel // 8, pixel % 8]
            curve.append(network(case, shown, row))
        at = (64 * (1 - found.fraction)).round().long()
        np.testing.assert_allclose(found.least_first[row], np.array(curve)[at], atol=1e-6)
    torch.testing.assert_close(score("insertion", case), area(found.least_first, found.fraction))


def patch_curve(case, values, row, output):
    x, curve = case.query.x[row].clone(), [network(case, case.query.x[row], row, output)]
    for place in sorted(patches(x), key=lambda place: -values[row][place].double().sum()):
        x[place] = case.task.data.baseline[place]
        curve.append(network(case, x, row, output))
    return np.array(curve)


def test_aopc_and_selectivity_are_loops_over_patches(toy, noisy):
    case = toy.case(noisy)
    aopc = [
        (curve[0] - curve).mean()
        for curve in (patch_curve(case, noisy, i, "probability") for i in range(12))
    ]
    np.testing.assert_allclose(score("aopc", case), aopc, atol=1e-6)
    area = [np.trapezoid(patch_curve(case, noisy, i, "logit"), dx=1 / 4) for i in range(12)]
    np.testing.assert_allclose(score("selectivity", case), area, atol=1e-5)
    pixels = Curves().measure(case).of("probability").most_first.double()
    torch.testing.assert_close(
        score("aopc", case, unit="position"), (pixels[:, :1] - pixels).mean(1)
    )


def test_many_patches_go_in_fourteen_steps(toy):
    """Seven by seven patches: the same loop, read at every third or fourth patch."""
    generator = torch.Generator().manual_seed(0)
    x, values = torch.rand(2, 3, 1, 28, 28, generator=generator)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 3))
    model[1].weight.data = torch.randn(3, 784, generator=generator) / 28
    data = replace(toy.task.data, baseline=torch.full((1, 28, 28), 0.25), truth=None)
    query = Query(x=x, target=torch.arange(3), sample=torch.arange(3))
    task = replace(toy.task, model=Wrapped(model).eval(), data=data)
    case = Case(task=task, query=query, explanation=Attribution(values=values), explainer=Fixed())
    curves = {
        output: [patch_curve(case, values, i, output) for i in range(3)]
        for output in ("probability", "logit")
    }
    at = -(-np.arange(15) * 49 // 14)
    aopc = [(curve[0] - curve[at]).mean() for curve in curves["probability"]]
    np.testing.assert_allclose(score("aopc", with_measured(case, "aopc")), aopc, atol=1e-6)
    area = [np.trapezoid(curve[at], at / 49) for curve in curves["logit"]]
    np.testing.assert_allclose(
        score("selectivity", with_measured(case, "selectivity")), area, atol=1e-5
    )
    with counted(model) as rows:
        with_measured(case, "aopc")
    assert rows.forward == 3 * 28


def test_selectivity_recomputed_follows_each_new_map(toy):
    case = toy.case(Quadratic().explain(toy.task, toy.query).values, explainer=Quadratic())
    found = Recomputed(n_steps=4).measure(case)
    assert found.fraction.tolist() == [0, 0.25, 0.5, 0.75, 1]
    differs = 0
    for row in range(12):
        x, left, curve = toy.query.x[row].clone(), patches(toy.query.x[row]), []
        first = None
        while True:
            curve.append(network(case, x, row, "logit"))
            if not left:
                break
            query = Query(
                x=x[None], target=toy.query.target[row, None], sample=toy.query.sample[row, None]
            )
            values = Quadratic().explain(toy.task, query).values[0].double()
            first = values if first is None else first
            place = max(left, key=lambda place: values[place].sum())
            differs += place is not max(left, key=lambda place: first[place].sum())
            left.remove(place)
            x[place] = toy.task.data.baseline[place]
        np.testing.assert_allclose(found.outputs[1, row], curve, atol=1e-5)
    assert differs > 0
    np.testing.assert_allclose(
        score("selectivity_recomputed", case, n_steps=4),
        area(found.outputs[1], found.fraction),
        atol=0,
    )


def test_selectivity_recomputed_of_a_map_that_stays_is_selectivity(toy):
    case = toy.case(toy.exact, explainer=Fixed())
    torch.testing.assert_close(
        score("selectivity_recomputed", case, n_steps=4),
        score("selectivity", case),
        rtol=1e-5,
        atol=1e-6,
    )


def test_recomputation_costs_what_the_page_says(toy):
    asked = []

    class Counting(Quadratic):
        def explain(self, task, query):
            asked.append(len(query.x))
            return super().explain(task, query)

    case = toy.case(toy.exact, explainer=Counting())
    with counted(toy.task.model) as rows:
        Recomputed(n_steps=2).measure(case)
    assert asked == [12] and rows.forward == 12 * 3


def test_irof_on_columns_is_a_loop(table):
    values = table.explanation.values
    for i, found in enumerate(score("irof", with_measured(table, "irof"))):
        x, fill = table.query.x[i].clone(), table.task.data.train.x.mean(0)
        first, curve = network(table, x, i), [1.0]
        for column in values[i].argsort(descending=True):
            x[column] = fill[column]
            curve.append(network(table, x, i) / first)
        at = np.ceil(20 * np.arange(17) / 16 - 1e-9).astype(int)
        assert found.item() == pytest.approx(
            1 - np.trapezoid(np.array(curve)[at], dx=1 / 16), abs=1e-5, rel=1e-5
        )


def test_the_best_subset_of_columns_is_found_by_a_loop(table):
    values = table.explanation.values
    at = {int(n) for n in np.ceil(20 * np.arange(16) / 16 - 1e-9)}
    for i, found in enumerate(score("best_subset", with_measured(table, "best_subset"))):
        x, fill = table.query.x[i].clone(), table.task.data.baseline
        kept = [network(table, x, i)]
        for n_gone, column in enumerate(values[i].argsort(), start=1):
            x[column] = fill[column]
            if n_gone in at:
                kept.append(network(table, x, i))
        assert found.item() == pytest.approx(max(kept), abs=1e-6)


def test_segments_go_by_their_mean_relevance(toy, noisy):
    from gpex_bench.masking.regions import slic

    case = toy.case(noisy)
    found = Curves(unit="segment").measure(case).of("probability")
    segment = slic(toy.query.x[0].double().numpy(), 50).flatten()
    mean = [
        noisy[0].double().sum(0).flatten()[segment == s].mean().item()
        for s in range(segment.max() + 1)
    ]
    x, order = toy.query.x[0].flatten(1).clone(), np.argsort(mean)[::-1]
    n_gone = int(np.ceil(len(mean) / 2))
    gone = np.isin(segment, order[:n_gone])
    x[:, gone] = toy.task.data.baseline.flatten(1)[:, gone]
    assert found.most_first[0, 8].item() == pytest.approx(
        network(case, x.view(2, 8, 8), 0), abs=1e-6
    )


def test_an_image_of_one_segment_has_a_curve(toy):
    case = toy.case(toy.exact)
    toy.query.x[:] = 0.7
    assert torch.isfinite(score("irof", toy.case(toy.exact, torch.arange(3)))).all()
    assert Curves(unit="segment").measure(case).of("logit").most_first.shape == (12, 17)


def test_equal_segments_fall_in_an_order_of_their_own(toy):
    """A map of zeros: the order of a sample must not depend on how many segments its neighbours
    have.
    """
    key, zeros = Curves(unit="segment"), torch.zeros_like(toy.exact)
    whole = key.measure(toy.case(zeros)).most_first
    for row in range(12):
        alone = key.measure(toy.case(zeros, torch.tensor([row]))).most_first
        torch.testing.assert_close(alone[:, 0], whole[:, row], rtol=1e-5, atol=1e-6)


def test_comprehensiveness_and_sufficiency_are_exact_at_each_share(table):
    case = with_measured(table, "comprehensiveness")
    values = table.explanation.values
    for i in range(7):
        order = values[i].argsort(descending=True)

        def without(columns, i=i):
            x = table.query.x[i].clone()
            x[columns] = 0.5
            return network(table, x, i)

        counts = (1, 1, 2, 4, 10)  # of 20 columns; 1 % is rounded up to one
        gone = without([]) - np.mean([without(order[:k]) for k in counts])
        kept = without([]) - np.mean([without(order[k:]) for k in counts])
        assert score("comprehensiveness", case)[i].item() == pytest.approx(gone, abs=1e-6)
        assert score("sufficiency", case)[i].item() == pytest.approx(kept, abs=1e-6)


def test_shares_of_positions_are_rounded_up_and_no_further():
    assert Erasures().counts(784).tolist() == [8, 40, 79, 157, 392]
    assert Erasures().counts(100).tolist() == [1, 5, 10, 20, 50]


def test_comprehensiveness_and_sufficiency_cost_eleven_rows_together(toy):
    case = toy.case(toy.exact)
    with counted(case.task.model) as rows:
        Erasures().measure(case)
    assert rows.forward == 11 * len(case.query.x)


def test_a_win_is_counted_by_hand(toy, noisy):
    case = toy.case(noisy)
    metric = METRICS["win_rate"](n_rivals=5, share=0.25)
    found = metric.score(case)

    choices = draw(7, case.query.sample, 64, n_subsets=5, share=0.25)
    baseline = toy.task.data.baseline.flatten(1)
    for i in range(len(noisy)):
        x = toy.query.x[i].flatten(1)

        def left(is_gone, i=i, x=x):
            return network(case, torch.where(is_gone, baseline, x).view(2, 8, 8), i)

        own = torch.zeros(64, dtype=torch.bool)
        own[noisy[i].double().sum(0).flatten().argsort(descending=True)[:16]] = True
        wins = [left(own) < left(rival) for rival in choices[i]]
        wins += [left(~own) > left(~rival) for rival in choices[i]]
        assert found[i].item() == pytest.approx(np.mean(wins))


def test_win_rates_of_planted_maps(toy):
    assert score("win_rate", toy.case(toy.exact)).mean() > 0.95
    assert score("win_rate", toy.case(-toy.exact)).mean() < 0.05
    constant = score("win_rate", toy.case(torch.ones_like(toy.exact)), n_rivals=40)
    assert abs(constant.mean() - 0.5) < 0.15


def test_effective_complexity_is_the_smallest_share_that_keeps_the_output(table):
    case = with_measured(table, "effective_complexity")
    for i in range(7):
        order = table.explanation.values[i].argsort(descending=True)

        def kept(k, i=i, order=order):
            x = table.query.x[i].clone()
            x[order[k:]] = 0.5
            return network(table, x, i)

        whole = max(kept(20) - kept(0), 0)
        enough = [k for k in range(21) if kept(20) - kept(k) <= 0.1 * whole]
        assert score("effective_complexity", case)[i].item() == pytest.approx(min(enough) / 20)


def test_read_at():
    curve, fraction = torch.tensor([[0.0, 1, 3]]), torch.tensor([0.0, 0.25, 1.0])
    assert read_at(curve, fraction, (0.0, 0.125, 0.25, 0.625, 1.0)).tolist() == [[0, 0.5, 1, 2, 3]]


def test_monotonicity_of_arya_adds_the_least_relevant_first(table):
    case, values = with_measured(table, "monotonicity_arya"), table.explanation.values
    shares, every = [], []
    for i in range(7):
        x, curve = torch.full((20,), 0.5), []
        for column in [None, *values[i].argsort()]:
            if column is not None:
                x[column] = table.query.x[i, column]
            curve.append(network(table, x, i))
        shares.append((np.diff(curve) >= 0).mean())
        every.append(float((np.diff(curve) >= 0).all()))
    np.testing.assert_allclose(score("monotonicity_arya", case), shares)
    np.testing.assert_allclose(score("monotonicity_arya", case, every=True), every)
    assert 0 < np.mean(shares) < 1


# --- in-painting ----------------------------------------------------------------------------------


def dense(x, gone):
    """Each missing pixel equals the weighted mean of its neighbours inside the image: one equation
    per pixel.
    """
    channels, height, width = x.shape
    matrix, right = np.eye(height * width), x.reshape(channels, -1).T.copy()
    for i, j in zip(*np.nonzero(gone), strict=True):
        row = np.zeros((height, width))
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                if (di or dj) and 0 <= i + di < height and 0 <= j + dj < width:
                    row[i + di, j + dj] = -1 / 12 if di and dj else -1 / 6
        row[i, j] = -row.sum()
        matrix[i * width + j], right[i * width + j] = row.flatten(), 0
    return np.linalg.solve(matrix, right).T.reshape(x.shape)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 5, 9), (2, 9, 4)])
def test_inpainting_is_the_dense_solution(share, shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, *shape, generator=generator).double()
    gone = torch.rand(6, shape[1] * shape[2], generator=generator) < share
    gone[0, 0] = gone[1, -1] = True  # corners
    gone[:, 5] = False
    found = inpainted(x, gone, torch.zeros_like(x))
    for one, missing, image in zip(found, gone, x, strict=True):
        np.testing.assert_allclose(
            one, dense(image.numpy(), missing.view(shape[1:]).numpy()), atol=1e-10
        )


def test_inpainting_of_nothing_and_of_everything(toy):
    x, nothing = toy.query.x[:3], torch.full((3, 2, 8, 8), 0.3)
    none, every = torch.zeros(3, 64, dtype=torch.bool), torch.ones(3, 64, dtype=torch.bool)
    assert torch.equal(inpainted(x, none, nothing), x)
    assert torch.equal(inpainted(x, every, nothing), nothing)
    fill = filler(toy.case(toy.exact), "inpaint")
    torch.testing.assert_close(
        fill(torch.arange(3), every), toy.task.data.baseline.expand(3, -1, -1, -1)
    )


def test_inpainting_keeps_a_gradient_inside_and_adds_noise_only_there(toy):
    slope = torch.linspace(0, 1, 8).expand(12, 2, 8, 8)
    query = Query(x=slope, target=toy.query.target, sample=toy.query.sample)
    case = Case(
        task=toy.task, query=query, explanation=Attribution(values=slope), explainer=Fixed()
    )
    gone = torch.zeros(12, 8, 8, dtype=torch.bool)
    gone[:, 2:6, 3:6] = True  # does not touch the border, where slopes bend
    found = filler(case, "inpaint")(torch.arange(12), gone.flatten(1)) - slope
    assert (found[(~gone)[:, None].expand_as(found)] == 0).all()
    inside = found[gone[:, None].expand_as(found)]
    assert inside.std().item() == pytest.approx(NOISE, rel=0.2) and inside.abs().max() < 6 * NOISE
    torch.testing.assert_close(
        inside, noise(query)[gone[:, None].expand_as(found)], atol=1e-6, rtol=0
    )


def test_noise_is_normal_and_a_samples_own(toy):
    drawn = noise(toy.query).double().flatten() / NOISE
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    other = toy.query.rows(slice(3, 4))
    assert torch.equal(noise(other)[0], noise(toy.query)[3])


def test_road_is_the_share_of_right_answers(toy, noisy):
    case = toy.case(noisy)
    fill, right, gaps = (
        filler(case, "inpaint"),
        torch.zeros(12, dtype=torch.float64),
        torch.zeros(12).double(),
    )
    order = noisy.double().sum(1).flatten(1).argsort(descending=True)
    for tenth in range(1, 10):
        k, answers = -(-64 * tenth // 10), []
        for removed in (order[:, :k], order.flip(1)[:, :k]):
            gone = torch.zeros(12, 64, dtype=torch.bool).scatter_(1, removed, True)
            with torch.no_grad():
                answers.append(toy.task.model(fill(torch.arange(12), gone)).double())
        right += (answers[0].argmax(1) == toy.query.target).double() / 9
        most, least = (a.softmax(1).gather(1, toy.query.target[:, None])[:, 0] for a in answers)
        gaps += (least - most) / 18
    torch.testing.assert_close(score("road", case), right)
    # The least relevant: tenths of 64 pixels are rounded up from either end.
    torch.testing.assert_close(score("road_combined", case), gaps, atol=0.02, rtol=0)
    assert 0 < right.mean() < 1


# --- single removals ------------------------------------------------------------------------------


def test_faithfulness_estimate_removes_each_chunk_alone(toy, noisy):
    case = toy.case(noisy)
    for i, found in enumerate(score("faithfulness_estimate", case, n_chunks=8)):
        order = noisy[i].double().sum(0).flatten().argsort(descending=True)
        worth, drop = [], []
        for chunk in order.view(8, 8):
            x = toy.query.x[i].flatten(1).clone()
            x[:, chunk] = toy.task.data.baseline.flatten(1)[:, chunk]
            worth.append(noisy[i].double().flatten(1)[:, chunk].sum().item())
            drop.append(
                network(case, toy.query.x[i], i, "logit")
                - network(case, x.view(2, 8, 8), i, "logit")
            )
        assert found.item() == pytest.approx(stats.pearsonr(worth, drop).statistic, abs=1e-5)


def test_an_exact_map_of_a_linear_network_has_perfect_single_removals(toy):
    case = toy.case(toy.exact)
    assert score("faithfulness_estimate", case).min() > 1 - 1e-5
    assert score("sensitivity_n", case, patch=2).min() > 1 - 1e-5
    assert score("infidelity_raw", case).max() < 1e-8
    assert (score("infidelity_raw", toy.case(2 * toy.exact)) > 0.01).all()  # its units count


def test_sensitivity_n_is_the_mean_of_faithfulness_correlations(toy, noisy):
    case = toy.case(noisy)
    each = [score("faithfulness_correlation", case, share=share) for share in (0.1, 0.25, 0.5)]
    torch.testing.assert_close(score("sensitivity_n", case), torch.stack(each).mean(0))


def test_monotonicity_of_nguyen_is_a_rank_correlation(toy, noisy):
    case = toy.case(noisy)
    others = [stand_in(case, "noise", draw) for draw in range(2)]
    for i, found in enumerate(score("monotonicity_nguyen", case, n_chunks=8)):
        size = noisy[i].double().sum(0).flatten().abs()
        worth, change = [], []
        for chunk in size.argsort(descending=True).view(8, 8):
            squares = []
            for other in others:
                x = toy.query.x[i].flatten(1).clone()
                x[:, chunk] = other[i].flatten(1)[:, chunk]
                squares.append(
                    (network(case, x.view(2, 8, 8), i) - network(case, toy.query.x[i], i)) ** 2
                )
            worth.append(size[chunk].sum())
            change.append(np.mean(squares))
        assert found.item() == pytest.approx(stats.spearmanr(worth, change).statistic, abs=1e-9)
    assert not torch.equal(others[0], others[1])


def test_gaps_are_those_of_noise_on_the_strongest(toy, noisy):
    """With noise so small that the probability is linear, a gap is |slope .

    Noise| over the noisy part.
    """
    case, sigma = toy.case(noisy), 1e-3
    found = Jitter(shares=(0.25,), n_draws=200, sigma=sigma).measure(case)
    x = toy.query.x.double().requires_grad_()
    probability = (x.flatten(1) @ toy.task.model.head.weight.detach().double().T).softmax(1)
    (slope,) = torch.autograd.grad(probability.gather(1, toy.query.target[:, None]).sum(), x)
    strongest = noisy.double().sum(1).flatten(1).abs().argsort(descending=True)[:, :16]
    top = torch.zeros(12, 64, dtype=torch.bool).scatter_(1, strongest, True)[:, None]
    for gap, part in ((found.important, top), (found.unimportant, ~top)):
        expected = (slope.flatten(2) * part).flatten(1).norm(dim=1) * sigma * (2 / torch.pi) ** 0.5
        torch.testing.assert_close(gap, expected, rtol=0.25, atol=1e-7)
    assert score("pgi", case).mean() > 0 and score("pgu", case).mean() > 0


def test_average_drop_and_increase_by_hand(toy):
    values = torch.zeros_like(toy.exact)
    values[:, 0, :4], values[:, 0, 4:] = 2.0, -1.0  # the upper half stays, the lower half goes
    values[:, 0, 0] = 1.0  # but the first row stays by half
    case = toy.case(values)
    drops, rises = [], []
    for i in range(12):
        x, baseline = toy.query.x[i].clone(), toy.task.data.baseline
        x[:, 4:] = baseline[:, 4:]
        x[:, 0] = (x[:, 0] + baseline[:, 0]) / 2
        before, after = network(case, toy.query.x[i], i), network(case, x, i)
        drops.append(max(0, before - after) / before)
        rises.append(float(after > before))
    np.testing.assert_allclose(score("average_drop", case), drops, atol=1e-6)
    assert score("average_increase", case).tolist() == rises and 0 < np.mean(rises) < 1
    assert (score("average_drop", toy.case(torch.ones_like(values))) == 0).all()
    hidden = score("average_drop", toy.case(-torch.ones_like(values)))
    torch.testing.assert_close(score("average_drop", toy.case(0 * values)), hidden)


# --- cost and messages ----------------------------------------------------------------------------

SINGLE = (
    *(
        "average_drop",
        "average_increase",
        "faithfulness_correlation",
        "faithfulness_estimate",
        "infidelity",
    ),
    *("infidelity_raw", "monotonicity_nguyen", "pgi", "pgu", "sensitivity_n"),
)


def test_all_single_removals_together_cost_less_than_120_rows(toy):
    case = toy.case(toy.exact)
    bare = Case(
        task=case.task, query=case.query, explanation=case.explanation, explainer=case.explainer
    )
    with counted(toy.task.model) as rows:
        measured(bare, [METRICS[name]() for name in SINGLE])
    assert rows.forward == 12 * (3 * 25 + 13 + 17 + 9 + 2) and rows.forward < 12 * 120


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Chunks(n_chunks=1), "n_chunks must be at least 2, got 1"),
        (
            lambda: Chunks(fill="inpaint"),
            "fill must be one of baseline, zero, train_mean, blur, middle, noise, uniform, "
            "got 'inpaint'",
        ),
        (
            lambda: Chunks(n_draws=2),
            "n_draws must be 1, or more for the fill 'noise'; got 2 for 'baseline'",
        ),
        (lambda: Jitter(shares=()), r"shares must lie between 0 and 1, both excluded, got \(\)"),
        (lambda: Jitter(n_draws=0), "n_draws must be at least 1, got 0"),
        (lambda: Jitter(sigma=-1.0), "sigma must be positive and finite, got -1.0"),
        (lambda: Recomputed(n_steps=0), "n_steps must be at least 1, got 0"),
        (
            lambda: METRICS["sensitivity_n"](shares=()),
            "shares must name at least one size, got none",
        ),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()
