"""Runs in which nothing may be claimed: equal methods over networks and fills, and random maps."""

from dataclasses import replace

import numpy as np
import pandas as pd
import real_scores

from gpex_bench.statistics import conclude, headline, overall, pairs
from gpex_bench.statistics.overall import OnNetwork
from gpex_bench.statistics.units import Scale, Units
from gpex_bench.tables.words import BETTER, EQUAL, LEADS, WORSE
from gpex_bench.types import Role

SRG = Scale(higher_is_better=True, margin=0.04, width=2.0)
N_METHODS = 12
N_RUNS = 400
N_SAMPLES = (50, 100)
# Between networks: the standard deviation of a method's true mean.
SPREADS = (0.02, 0.1)
GRADIENTS = ("saliency", "gradient_x_input", "integrated_gradients", "expected_gradients")
OTHERS = ("smoothgrad", "lrp", "deeplift", "guided_backprop", "deep_taylor", "random_map")
METHODS = {
    "digits": (*GRADIENTS, *OTHERS, "occlusion", "edge_detector"),
    "table": (*GRADIENTS, *OTHERS, "feature_ablation"),
}
N_REAL = 200  # samples, or all there are


def block(scores, scale=SRG):
    """Return scores [method, sample] of different methods, ready to be compared."""
    names = tuple(f"m{at:02}" for at in range(len(scores)))
    cube = np.ascontiguousarray(scores[:, :, None])
    return Units(
        place=("d", "m", "srg"),
        scale=scale,
        methods=names,
        is_control=np.zeros(len(names), dtype=bool),
        scores=cube,
        measured=cube,
        group=np.arange(len(names)),
    )


def percent(flags):
    """Return the percentage of runs with a flag."""
    return 100 * float(np.mean(flags))


# --- over networks --------------------------------------------------------------------------------


def over_networks():
    """Return how often equal methods are told apart over networks."""
    rows = []
    for n_networks, n_datasets in ((6, 6), (10, 5), (20, 20)):
        for name, draw in DRAWS.items():
            for spread in SPREADS:
                rng = np.random.default_rng(3)
                dataset = np.arange(n_networks) % n_datasets
                found = [
                    _over(draw(rng, (n_networks, N_METHODS)) * spread, dataset, rng)
                    for _ in range(N_RUNS)
                ]
                better, leader, equal = map(percent, zip(*found, strict=True))
                row = {"networks": n_networks, "datasets": n_datasets, "spread": name}
                row |= {"sd of a method": f"{spread:g}", "some method better": better}
                row |= {"better than all others": leader, "some pair equal": equal}
                rows.append(row)
    return pd.DataFrame(rows)


DRAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewness 2": lambda rng, shape: rng.exponential(size=shape) - 1,
}


def _over(means, dataset, rng):
    """Return whether some method is better, one better than all, and some pair equal."""
    means = means + rng.uniform(0.005, 0.02, (len(means), 1)) * rng.normal(size=means.shape)
    networks = [_network(one, number) for one, number in zip(means, dataset, strict=True)]
    stacked = overall.stacked(networks, networks[0].block.methods)
    found = overall.compare(networks, stacked)
    words = headline.answer(stacked, [found.comparison], ()).words
    is_better = words == BETTER
    is_first = (is_better.sum(1) == len(words) - 1).any()
    pair = np.triu_indices(len(words), 1)
    return is_better.any(), is_first, (words[pair] == EQUAL).any()


def _network(means, dataset):
    """Return a network that is known by the means of its methods."""
    gaps = means[:, None] - means[None]
    nothing = np.zeros_like(gaps)
    comparison = pairs.Comparison(
        estimate=gaps,
        low=gaps,
        high=gaps,
        margin=np.full_like(gaps, SRG.margin),
        p_value=nothing,
        p_equal=nothing,
        p_worse=nothing,
        n_units=nothing,
        seeds=nothing,
    )
    here = block(means[:, None])
    place = (f"d{dataset}", "m", "srg")
    words = np.full(gaps.shape, "", dtype=object)
    here = replace(here, place=place)
    return OnNetwork(block=here, comparison=comparison, words=words, kind="")


# --- over fills and outputs -----------------------------------------------------------------------


def over_variants(networks):
    """Return how often methods of equal means are told apart on some networks, each on its own.

    Real scores, each less its method's mean, and samples drawn with replacement. "turned": half of
    the methods are better than the others under all fills but one, and worse by exactly the margin
    under that one, so that none is better.
    """
    rows = []
    for name in networks:
        cube = _real(name)
        for n_samples in N_SAMPLES:
            for kind in ("equal means", "turned"):
                rng = np.random.default_rng(4)
                found = [_variants(cube, n_samples, kind, rng) for _ in range(N_RUNS)]
                better, leader = map(percent, zip(*found, strict=True))
                row = {"network": name, "samples": n_samples, "truth": kind}
                rows.append(row | {"some method better": better, "a leader": leader})
    return pd.DataFrame(rows)


def _real(name):
    """Return real scores [variant, method, sample] less the mean of each method."""
    of = real_scores.task(name)
    names = METHODS[name]
    asked = real_scores.query(of, min(N_REAL, len(of.data.test.x)))
    rows = real_scores.variant_scores(of, asked, real_scores.methods(names))
    rows = headline.in_shares(rows)
    wide = rows.pivot(index=["fill", "output"], columns=["method", "sample"], values="score")
    cube = wide.to_numpy().reshape(len(wide), len(names), -1)
    return cube - cube.mean(2, keepdims=True)


def _variants(cube, n_samples, kind, rng):
    """Return whether some method is wrongly better, and one leads."""
    drawn = cube[:, :, rng.integers(0, cube.shape[2], n_samples)]
    half = drawn.shape[1] // 2
    if kind == "turned":
        drawn[2:, :half] += 0.2
        drawn[:2, :half] -= SRG.margin
    comparisons = [pairs.compare(block(one)) for one in drawn]
    said = headline.answer(block(drawn.mean(0)), comparisons, ())
    is_better = said.words == BETTER
    return is_better.any(), said.leads.any()


# --- random maps ----------------------------------------------------------------------------------

N_RANDOM_RUNS = 20
RANDOM_SAMPLES = 40


def random_runs(networks):
    """Return what is concluded from runs whose methods are random maps, with another seed each."""
    rows = []
    for name in networks:
        of = real_scores.task(name)
        asked = real_scores.query(of, RANDOM_SAMPLES)
        found = []
        for run in range(N_RANDOM_RUNS):
            maps = real_scores.random_maps(N_METHODS + 1, first=100 * run)
            found.append(_random(real_scores.variant_scores(of, asked, maps)))
        leader, informative, better = (sum(flags) for flags in zip(*found, strict=True))
        row = {"network": name, "runs": N_RANDOM_RUNS, "with a leader": leader}
        rows.append(row | {"metric informative": informative, "some method better": better})
    return pd.DataFrame(rows)


def _random(scores):
    """Return whether a run names a leader, an informative metric, and a better method.

    The last of the maps is the control; without it, no metric has to be informative.
    """
    control = max(scores["method"])
    main = (scores["fill"] == real_scores.FILLS[0]) & (scores["output"] == "probability")
    plain = scores[main].drop(columns=["fill", "output", "change"])
    flags = []
    for left_out in ((), (control,)):
        names = [name for name in sorted(set(scores["method"])) if name not in left_out]
        found = conclude(
            plain[plain["method"].isin(names)],
            scores[scores["method"].isin(names)],
            [_record(name, name == control) for name in names],
            METRICS,
            "srg",
        )
        leads = (found["headline"]["answer"] == LEADS).any()
        is_informative = bool(control in names and found["informative"]["is_informative"].any())
        said = pd.concat([found["pairs"]["verdict"], found["headline_pairs"]["verdict"]])
        flags.append((leads, is_informative, said.isin([BETTER, WORSE]).any()))
    return [any(pair) for pair in zip(*flags, strict=True)]


METRICS = [
    {
        "metric": "srg",
        "measures": "faithfulness",
        "higher_is_better": True,
        "chance": 0.0,
        "range": (-1.0, 1.0),
        "margin": SRG.margin,
        "resolution": 0.0,
        "is_share_of_truth": False,
        "blind_can_be_perfect": False,
    }
]


def _record(name, is_control):
    """Return the record of a method, or of the random control."""
    role = Role.RANDOM if is_control else Role.METHOD
    kind = "control" if is_control else "gradient"
    return {"method": name, "kind": kind, "role": role, "of": "", "is_blind": is_control}
