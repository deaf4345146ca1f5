"""Robustness against loops as in the papers, and small cases worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.measurements import measured
from gpex_bench.measurements.noisy import Neighbours, Noisy, relative_changes
from gpex_bench.metrics.average_sensitivity import AverageSensitivity
from gpex_bench.metrics.continuity import Continuity
from gpex_bench.metrics.local_lipschitz import LocalLipschitz
from gpex_bench.metrics.max_sensitivity import MaxSensitivity
from gpex_bench.metrics.relative_input_stability import RelativeInputStability
from gpex_bench.metrics.relative_output_stability import RelativeOutputStability
from gpex_bench.metrics.relative_representation_stability import RelativeRepresentationStability
from gpex_bench.metrics.seed_consistency import SeedConsistency
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Case, Query

TASKS = {kind: (task, query) for kind, task, query in toys.tasks(toys.Smooth)}
METHOD = plugins("method")["gradient_x_input"].cls()


def case_of(kind, metric, explainer=METHOD):
    task, query = TASKS[kind]
    case = Case(
        task=task, query=query, explanation=explainer.explain(task, query), explainer=explainer
    )
    return measured(case, [metric])


def neighbours(kind, metric):
    """For each sample: the input, its map, and (input, map) of each neighbour, as flat arrays.

    In float64.
    """
    task, query = TASKS[kind]
    near = metric.measurements()[0].neighbours(task.seed, query)
    maps = [
        METHOD.explain(task, Query(x=x, target=query.target, sample=query.sample)).values
        for x in near
    ]
    own = METHOD.explain(task, query).values
    for row in range(len(query.x)):
        others = [(x[row].flatten().double().numpy(), values[row].flatten().double().numpy())
                  for x, values in zip(near, maps, strict=True)]  # fmt: skip
        yield query.x[row].flatten().double().numpy(), own[row].flatten().double().numpy(), others


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_sensitivities_and_lipschitz_are_the_loops_of_the_papers(kind):
    expected = {"max": [], "mean": [], "lipschitz": []}
    settings = {"n_draws": 5, "radius": 0.1}
    for x, a, others in neighbours(kind, MaxSensitivity(**settings)):
        change = [np.linalg.norm(b - a) / np.linalg.norm(a) for _, b in others]
        expected["max"].append(max(change))
        expected["mean"].append(np.mean(change))
        expected["lipschitz"].append(
            max(one / np.linalg.norm(z - x) for one, (z, _) in zip(change, others, strict=True))
        )
    for name, cls in (
        ("max", MaxSensitivity),
        ("mean", AverageSensitivity),
        ("lipschitz", LocalLipschitz),
    ):
        metric = cls(**settings)
        np.testing.assert_allclose(metric.score(case_of(kind, metric)), expected[name], rtol=1e-9)


@pytest.mark.parametrize("kind", sorted(TASKS))
@pytest.mark.parametrize(
    ("cls", "of"),
    [
        (RelativeInputStability, lambda model, x: x.flatten(1)),
        (RelativeOutputStability, lambda model, x: model(x)),
        (RelativeRepresentationStability, lambda model, x: model.embed(x)),
    ],
)
def test_relative_stability_is_the_loop_of_the_authors_code(kind, cls, of):
    task, _ = TASKS[kind]
    metric, expected = cls(n_draws=6, radius=0.8), []

    def follows(x):
        with torch.no_grad():
            return (
                of(task.model, torch.from_numpy(x).float().view(1, *toys.SHAPES[kind]))[0]
                .double()
                .numpy()
            )

    def predicted(x):
        with torch.no_grad():
            return int(task.model(torch.from_numpy(x).float().view(1, *toys.SHAPES[kind])).argmax())

    for x, a, others in neighbours(kind, metric):
        kept = [pair for pair in others if predicted(pair[0]) == predicted(x)] or others
        quotients = []
        for z, b in kept:
            moved = np.linalg.norm(follows(z) - follows(x)) / np.linalg.norm(follows(x))
            quotients.append(np.linalg.norm(b - a) / np.linalg.norm(a) / max(moved, 1e-5))
        expected.append(max(quotients))
    np.testing.assert_allclose(
        metric.score(case_of(kind, metric)), expected, rtol=1e-4
    )  # networks in float32


def test_only_neighbours_of_the_same_class_count_unless_there_are_none():
    blank = {
        "x": torch.zeros(3, 2, 1),
        "values": torch.zeros(3, 2, 1),
        "embeddings": torch.zeros(3, 2, 1),
    }
    near = Neighbours(
        **blank,
        logits=torch.tensor([[[2.0, 1], [1, 2]], [[2, 1], [2, 1]], [[1, 2], [1, 2]]]),
        own_embedding=torch.zeros(3, 1),
        own_logits=torch.tensor([[5.0, 0]] * 3),
    )
    assert near.keeps_class.tolist() == [[True, False], [True, True], [True, True]]


def test_black_pixels_do_not_decide_the_relative_change_of_an_image():
    x = torch.zeros(1, 100)
    x[:, :4] = 1.0
    near = x[:, None] + 0.01
    found = relative_changes(x, near)
    torch.testing.assert_close(found, torch.full((1, 1), 0.05, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["grey images", "colour images"])
def test_continuity_is_the_loop_of_the_paper(kind):
    metric, (task, query) = Continuity(n_steps=3), TASKS[kind]
    expected = []
    for row in range(len(query.x)):
        stops = [query.x[row]]
        for _ in range(3):
            moved = stops[-1].roll(1, dims=2)
            moved[:, :, 0] = task.data.baseline[:, :, 0]
            stops.append(moved)
        maps = [
            METHOD.explain(
                task, Query(x=x[None], target=query.target[row : row + 1], sample=torch.tensor([0]))
            )
            .values.double()
            .flatten()
            for x in stops
        ]
        quotients = [
            ((b - a).abs().sum() / (z - x).double().norm()).item()
            for a, b, x, z in zip(maps, maps[1:], stops, stops[1:], strict=False)
        ]
        expected.append(max(quotients) / maps[0].abs().sum().item())
    np.testing.assert_allclose(metric.score(case_of(kind, metric)), expected, rtol=1e-4)


def test_continuity_of_an_image_that_is_all_baseline_is_zero():
    task, query = TASKS["grey images"]
    empty = Query(
        x=task.data.baseline.expand_as(query.x).clone(), target=query.target, sample=query.sample
    )
    explainer = plugins("method")["saliency"].cls()
    case = Case(
        task=task, query=empty, explanation=explainer.explain(task, empty), explainer=explainer
    )
    assert Continuity().score(measured(case, [Continuity()])).tolist() == [0, 0, 0]


def test_continuity_needs_room_to_slide():
    metric = Continuity(n_steps=12)
    with pytest.raises(
        ValueError,
        match=r"n_steps must be smaller than the width of an image, got 12 for \(1, 12, 12\)",
    ):
        case_of("grey images", metric)


def test_an_explainer_without_random_numbers_is_consistent_and_a_random_one_is_not():
    metric = SeedConsistency(n_draws=3)
    assert metric.score(case_of("grey images", metric)).tolist() == [
        1,
        1,
        1,
    ]  # exactly, or ties would be broken
    noise = metric.score(case_of("grey images", metric, plugins("method")["random_map"].cls()))
    assert noise.abs().max() < 0.3  # 144 positions, 3 draws: standard deviation 0.05
    assert noise.std() > 0


def test_other_seeds_are_other_seeds():
    task, query = TASKS["grey images"]
    explainer = plugins("method")["random_map"].cls()
    case = Case(
        task=task, query=query, explanation=explainer.explain(task, query), explainer=explainer
    )
    metric = SeedConsistency(n_draws=2)
    maps = [
        case.explanation.values,
        *measured(case, [metric]).read(metric.measurements()[0]).values.unbind(1),
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(maps) for b in maps[:i])
    other = replace(case, task=replace(task, seed=task.seed + 1))
    again = measured(other, [metric]).read(metric.measurements()[0]).values
    assert not torch.equal(again[:, 0], maps[1])


def test_all_metrics_of_noise_share_one_measurement():
    every = [plugin.cls() for plugin in plugins("metric").values()]
    shared = {part for metric in every for part in metric.measurements() if isinstance(part, Noisy)}
    assert shared == {Noisy()}


@pytest.mark.parametrize(
    ("cls", "setting", "message"),
    [
        (LocalLipschitz, {"n_draws": 0}, "n_draws must be at least 1, got 0"),
        (SeedConsistency, {"n_draws": 0}, "n_draws must be at least 1, got 0"),
        (Continuity, {"n_steps": 0}, "n_steps must be at least 1, got 0"),
    ],
)
def test_settings_are_checked(cls, setting, message):
    with pytest.raises(ValueError, match=message):
        cls(**setting)
