"""Stability over networks that were trained again, against loops over maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from gpex_bench.measurements import first
from gpex_bench.measurements.randomised import OtherTarget
from gpex_bench.metrics.mean_generalisability import MeanGeneralisability
from gpex_bench.metrics.relative_consistency import RelativeConsistency
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Retrained
from gpex_bench.types.demands import Refused


def noise(toy, seed):
    return torch.randn(toy.exact.shape, generator=torch.Generator().manual_seed(seed)) / 8


def with_maps(toy, *others, targets=None):
    """Return the case of exact maps, with these maps on the other networks."""
    targets = targets or [toy.query.target] * len(others)
    retrained = tuple(
        Retrained(sample=toy.query.sample, target=target, explanation=Attribution(values=values))
        for values, target in zip(others, targets, strict=True)
    )
    return replace(toy.case(toy.exact), retrained=retrained)


def rho(a, b):
    first, second = (values.double().sum(0).flatten().numpy() for values in (a, b))
    return stats.spearmanr(first, second).statistic


def test_mean_generalisability_is_a_loop_over_pairs_that_agree(toy):
    others = [toy.exact + noise(toy, 1), noise(toy, 2), -toy.exact]
    target = toy.query.target
    targets = [target, (target + 1) % 3, target]
    case = with_maps(toy, *others, targets=targets)

    found = MeanGeneralisability().score(case)
    for i in range(len(target)):
        apart = [
            np.sqrt(1 - abs(rho(toy.exact[i], maps[i])))
            for maps, theirs in zip(others, targets, strict=True)
            if theirs[i] == target[i]
        ]
        assert found[i].item() == pytest.approx(1 / (1 + np.mean(apart)), abs=1e-6)


def test_a_sample_on_which_no_network_agrees_is_compared_with_all(toy):
    elsewhere = (toy.query.target + 1) % 3
    maps = noise(toy, 1)
    alone = MeanGeneralisability().score(with_maps(toy, maps, targets=[elsewhere]))
    torch.testing.assert_close(alone, MeanGeneralisability().score(with_maps(toy, maps)))


def test_steadier_maps_generalise_better(toy):
    score = MeanGeneralisability().score
    same = score(with_maps(toy, toy.exact))
    near = score(with_maps(toy, toy.exact + noise(toy, 1) / 8))
    unrelated = score(with_maps(toy, noise(toy, 1)))
    assert (same == 1).all() and (near < 1).all() and (near > unrelated).all()

    flipped = with_maps(toy, -toy.exact)
    assert (score(flipped) == 1).all()
    assert (MeanGeneralisability(absolute=False).score(flipped) < 0.51).all()


def test_relative_consistency_counts_networks_nearer_than_another_class(toy):
    others = [toy.exact + noise(toy, seed) * seed for seed in (1, 3, 20)]
    case = with_maps(toy, *others)
    metric = RelativeConsistency()
    of_class = OtherTarget().measure(case).values[:, 0]

    found = metric.score(case)
    for i in range(len(found)):
        own = [np.sqrt((1 - rho(toy.exact[i], maps[i])) / 2) for maps in others]
        limit = np.sqrt((1 - rho(toy.exact[i], of_class[i])) / 2)
        assert found[i].item() == pytest.approx(np.mean(np.array(own) < limit))
    assert found.mean() > 0.5


def test_a_map_that_is_the_same_everywhere_ties(toy):
    flat = torch.ones_like(toy.exact)
    case = toy.case(flat, explainer=plugins("method")["constant"].cls())
    assert (RelativeConsistency().score(case) == 0.5).all()


def test_without_another_training_seed_there_is_no_score(toy):
    alone = replace(toy.case(toy.exact), retrained=())
    other_samples = with_maps(toy, toy.exact)
    (one,) = other_samples.retrained
    moved = replace(other_samples, retrained=(replace(one, sample=one.sample + 1),))
    for case in (alone, moved):
        with pytest.raises(Refused, match="at least two training seeds"):
            MeanGeneralisability().score(case)


def test_the_first_samples_keep_their_other_maps(toy):
    case = with_maps(toy, toy.exact + noise(toy, 1))
    plain = Case(
        task=case.task,
        query=case.query,
        explanation=case.explanation,
        explainer=case.explainer,
        retrained=case.retrained,
    )
    few = first(plain, 5)
    assert len(few.retrained[0].sample) == 5
    whole = MeanGeneralisability().score(case)
    torch.testing.assert_close(MeanGeneralisability().score(few), whole[:5])
