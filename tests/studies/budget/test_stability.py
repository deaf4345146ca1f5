"""Agreement between runs: by sets and by scipy, and what chance gives."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from gpex_bench.studies.budget import convergence, overlap, stability
from gpex_bench.types import Query


def query(x):
    return Query(x=x, target=torch.zeros(len(x), dtype=torch.int64), sample=torch.arange(len(x)))


def test_it_is_the_mean_over_pairs_of_sets_and_of_scipys_correlation():
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, 5, 4, generator=generator) for _ in range(4)]
    found = overlap.agreement(maps, query(maps[0]), 0.2)
    for i in range(2):
        flat = [one[i].double().sum(0).flatten().numpy() for one in maps]
        tops = [set(np.argsort(-one)[:4].tolist()) for one in flat]
        pairs = list(combinations(range(4), 2))
        expected = np.mean([len(tops[a] & tops[b]) / len(tops[a] | tops[b]) for a, b in pairs])
        assert found.loc[i, "jaccard"] == pytest.approx(expected)
        ranks = np.mean([stats.spearmanr(flat[a], flat[b]).statistic for a, b in pairs])
        assert found.loc[i, "spearman"] == pytest.approx(ranks)
    assert (found["n_seeds"] == 4).all()


def test_equal_relevances_share_their_rank():
    steps = torch.tensor([[0.0, 0.0, 1.0, 1.0, 2.0]])
    others = torch.tensor([[0.0, 1.0, 1.0, 2.0, 2.0]])
    found = overlap.agreement([steps, others], query(steps), 0.2)
    assert found.loc[0, "spearman"] == pytest.approx(stats.spearmanr(steps[0], others[0]).statistic)


def test_the_same_map_agrees_and_a_constant_one_has_no_order():
    x = torch.randn(1, 40, generator=torch.Generator().manual_seed(1))
    same = overlap.agreement([x, x, x], query(x), 0.1).iloc[0]
    assert (same["jaccard"], same["spearman"]) == (1, pytest.approx(1))
    flat = overlap.agreement([torch.zeros(1, 40)] * 2, query(x), 0.1).iloc[0]
    assert flat["spearman"] == 0


def test_random_maps_agree_as_chance_says():
    maps = [torch.randn(3, 4000, generator=torch.Generator().manual_seed(i)) for i in range(8)]
    found = overlap.agreement(maps, query(maps[0]), 0.1)
    assert found["jaccard"].mean() == pytest.approx(0.1 / 1.9, abs=0.005)
    assert abs(found["spearman"].mean()) < 0.01


def test_one_run_cannot_be_compared():
    x = torch.zeros(1, 4)
    with pytest.raises(ValueError, match="maps must hold at least 2 runs to compare, got 1"):
        overlap.agreement([x], query(x), 0.5)


def test_the_summary_is_over_samples_and_names_failures():
    key = {"dataset": "d", "model": "m", "budget": 9, "n_seeds": 3, "reason": ""}
    rows = [
        key
        | {"method": "a", "status": "ok", "sample": i, "jaccard": 0.5 + 0.01 * i, "spearman": 0.8}
        for i in range(8)
    ]
    rows.append(
        key
        | {
            "method": "b",
            "status": "failed",
            "reason": "too small",
            "sample": -1,
            "jaccard": np.nan,
            "spearman": np.nan,
        }
    )
    found = stability.summary(pd.DataFrame(rows)).set_index("method")
    assert found.loc["a", "jaccard"] == pytest.approx(0.535)
    assert found.loc["a", "jaccard_low"] < 0.535 < found.loc["a", "jaccard_high"]
    assert found.loc["a", "spearman_low"] == found.loc["a", "spearman_high"] == pytest.approx(0.8)
    assert found.loc["b", "reason"] == "too small" and np.isnan(found.loc["b", "jaccard"])


def test_convergence_averages_seeds_then_samples_and_finds_the_rows():
    rows = [
        {"dataset": "d", "model": "m", "method": "e", "seed": seed, "budget": 40, "sample": sample}
        | {
            "generation": g,
            "rows": 10 * (g + 1),
            "best": 0.1 * sample + [0, 0.6, 0.9, 1][g] + 0.2 * seed,
            "whole": 0.5,
        }
        for seed in (1, 2)
        for sample in range(6)
        for g in range(4)
    ]
    found = convergence.summary(pd.DataFrame(rows))
    assert found["best"].tolist() == pytest.approx([0.55, 1.15, 1.45, 1.55])
    assert found["progress"].tolist() == pytest.approx([0, 0.6, 0.9, 1])
    assert (found["low"] < found["best"]).all() and (found["n_seeds"] == 2).all()
    assert [convergence.rows_for(found, share) for share in (0.5, 0.7, 1.0)] == [20, 30, 40]
    still = convergence.summary(pd.DataFrame([row | {"best": 1.0} for row in rows]))
    assert np.isnan(convergence.rows_for(still, 0.5))
