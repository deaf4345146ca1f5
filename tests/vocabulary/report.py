"""A made-up run as the report takes it, and one larger than the default run."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench import report
from gpex_bench.statistics.outcomes import agreement_summary, cost_summary, outcome_table, summarise
from gpex_bench.tables.columns import PLACE, SKIPPED
from gpex_bench.tables.order import control_ids, groups
from gpex_bench.types import Role
from tests.vocabulary import frames as synthetic

METHODS = synthetic.methods()
METRICS = synthetic.metrics()
CONTROLS = control_ids(METHODS)
IS_HIGHER_BETTER = {record["metric"]: record["higher_is_better"] for record in METRICS}
BIBTEX = """@article{sundararajan2017axiomatic,
  author = {Sundararajan, Mukund and Yan, Qiqi},
  title = {Axiomatic},
  year = {2017}
}
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" role="img"><title>t</title><desc>d</desc></svg>'


@cache
def agreement() -> pd.DataFrame:
    """Return the agreement of every surrogate, one row a seed."""
    predictions = synthetic.predictions(60, 3, tuple(synthetic.SURROGATES))
    return synthetic.agreement(predictions)


@cache
def inputs() -> dict[str, pd.DataFrame]:
    """Return the frames of the made-up run; do not change them."""
    cells = synthetic.cells()
    summary = summarise(synthetic.scores(12), IS_HIGHER_BETTER, CONTROLS)
    outcomes = outcome_table(summary, cells, synthetic.skipped())
    return {
        "outcomes": outcomes,
        "cells": cells,
        "costs": synthetic.costs(),
        "agreement": agreement_summary(agreement()),
        "efficiency": cost_summary(cells, outcomes, "srg", True, CONTROLS),
    }


@cache
def conclusions() -> dict[str, pd.DataFrame]:
    """Return the tables of conclusions of the made-up run; do not change them."""
    return statistics_frames(inputs()["outcomes"], METHODS, METRICS)


def results(**changes: Any) -> report.Results:
    """Return everything that a report of the made-up run shows, with some fields changed."""
    picture = report.Picture(
        section="cost", dataset="shapes", title="A cost", svg=SVG, data="figures/x.csv"
    )
    fields = {
        **inputs(),
        "scores": synthetic.scores(12),
        "statistics": conclusions(),
        "bibliography": BIBTEX,
        "run": "smoke",
        "headline": "srg",
        "methods": METHODS,
        "metrics": METRICS,
        "surrogates": synthetic.surrogates(),
        "surrogate_costs": synthetic.surrogate_costs(),
        "pictures": [picture],
        "facts": [{"dataset": "shapes", "network": "thin_resnet", "train": 10}],
        "provenance": {
            "command": "snakemake",
            "versions": {"torch": "2"},
            "config": "run: x\nseeds: [1]",
        },
    }
    return report.Results(**{**fields, **changes})


def statistics_frames(
    outcomes: pd.DataFrame, methods: list[dict[str, Any]], metrics: list[dict[str, Any]]
) -> dict[str, pd.DataFrame]:
    """Return the tables of conclusions: plausible, not computed by the real rules."""
    ours = control_ids(methods)
    up = {record["metric"]: record["higher_is_better"] for record in metrics}
    ranking, pairs = [], []
    for key, part in groups(outcomes[outcomes["state"] == "ok"], PLACE):
        good = part.set_index("method")["mean"] * (1 if up[key[2]] else -1)
        rank = good.rank(ascending=False)
        best = min(
            (name for name in rank.index if name not in ours),
            key=lambda name: rank[name],
            default="",
        )
        for name, place in rank.items():
            low, high = max(1.0, place - 1.2), min(float(len(rank)), place + 1.2)
            tied = bool(best and place - rank[best] < 1.5 and name not in ours)
            ranking.append((*key, name, place, low, high, tied, 1e-9, 1.5, 48))
        for name, other in combinations(sorted(rank.index), 2):
            gap = good[name] - good[other]
            chance = float(np.clip(np.exp(-abs(rank[name] - rank[other])), 0, 1))
            verdict = "tied" if chance > 0.05 else "better" if gap > 0 else "worse"
            pairs.append((*key, name, other, gap, np.tanh(gap), chance / 2, chance, verdict))
    columns = [
        "mean_rank",
        "rank_low",
        "rank_high",
        "tied_with_best",
        "friedman_p",
        "critical_difference",
    ]
    found = {
        "ranking": pd.DataFrame(ranking, columns=[*PLACE, "method", *columns, "n_units"]),
        "pairs": pd.DataFrame(
            pairs,
            columns=[
                *PLACE,
                "method",
                "other",
                "median_difference",
                "effect_size",
                "p_value",
                "p_holm",
                "verdict",
            ],
        ),
    }
    found["overall"] = _overall(found["ranking"])
    return found | _of_metrics(outcomes, methods, metrics)


def _overall(ranking: pd.DataFrame) -> pd.DataFrame:
    rows = ranking.groupby(["metric", "method"]).agg(
        mean_rank=("mean_rank", "mean"),
        n_networks=("dataset", "size"),
        n_methods=("mean_rank", "max"),
    )
    rows = rows.reset_index()
    rows["rank_low"], rows["rank_high"] = (
        (rows["mean_rank"] - 1).clip(lower=1),
        rows["mean_rank"] + 1,
    )
    rows["tied_with_best"] = (
        rows["mean_rank"] - rows.groupby("metric")["mean_rank"].transform("min") < 1.5
    )
    rows["friedman_p"], rows["critical_difference"] = 0.001, 3.0
    order = [
        "metric",
        "method",
        "mean_rank",
        "rank_low",
        "rank_high",
        "n_networks",
        "tied_with_best",
        "friedman_p",
    ]
    return rows[[*order, "critical_difference"]]


def _of_metrics(
    outcomes: pd.DataFrame, methods: list[dict[str, Any]], metrics: list[dict[str, Any]]
) -> dict[str, pd.DataFrame]:
    places = [key for key, _ in groups(outcomes[outcomes["state"] == "ok"], PLACE)]
    bad = {place for place in places if place[0] == "shapes" and place[2] == "infidelity"}
    reason = "the best method is not significantly better than the random control (p = 0.41)"
    informative = [(*place, place not in bad, reason if place in bad else "") for place in places]
    parts = ["sample", "training seed", "method x sample", "explainer seed"]
    variance = [
        (*place, part, share)
        for place in places
        for part, share in zip(parts, (0.6, 0.1, 0.25, 0.05), strict=True)
    ]
    power = []
    for place, part in groups(outcomes[outcomes["state"] == "ok"], PLACE):
        top = part.sort_values("mean", ascending=False)["method"].head(3).tolist()
        if len(top) == 3:
            sentence = f"{', '.join(top)}: about 210 samples are needed to separate them."
            power.append((*place, *top, 210, sentence))
    networks = sorted({place[:2] for place in places})
    scored = sorted(set(outcomes.loc[outcomes["state"] == "ok", "method"]))
    planted = [
        (
            "shapes",
            model,
            name,
            0.3 + 0.01 * at,
            0.25,
            0.45,
            0.02 * at - 0.1,
            0.01 if at > 8 else 0.6,
            at > 8,
        )
        for dataset, model in networks
        if dataset == "shapes"
        for at, name in enumerate(scored)
    ]
    names = ["noise resilience", "adversary reactivity", "planted order"]
    trust = [
        (metric, dataset, model, name, 0.5 + 0.1 * at, 0.4 + 0.1 * at, 0.6 + 0.1 * at)
        for dataset, model, metric in places
        for at, name in enumerate(names)
    ]
    removal = [place for place in places if place[2] in ("srg", "deletion", "insertion")]
    fills, outputs = ("train_mean", "blur", "noise"), ("probability", "logit")
    kinds = [(fill, output) for fill in fills for output in outputs]
    variants = [
        (dataset, model, method, metric, fill, output, 0.5, 0.4, 0.6)
        for dataset, model, metric in removal
        for method in scored[:4]
        for fill, output in kinds
    ]
    fill_agreement = [
        (*place, *one, *other, round(0.9 - 0.1 * abs(at), 2), len(scored))
        for place in removal
        for at, (one, other) in enumerate(combinations(kinds, 2))
    ]
    network = ["dataset", "model"]
    return {
        "informative": pd.DataFrame(informative, columns=[*PLACE, "is_informative", "reason"]),
        "variance": pd.DataFrame(variance, columns=[*PLACE, "component", "share"]),
        "power": pd.DataFrame(
            power, columns=[*PLACE, "first", "second", "third", "n_images", "sentence"]
        ),
        "planted": pd.DataFrame(
            planted,
            columns=[
                *network,
                "method",
                "mean",
                "low",
                "high",
                "edge_difference",
                "p_holm",
                "beats_edge_detector",
            ],
        ),
        "trust": pd.DataFrame(
            trust, columns=["metric", *network, "property", "value", "low", "high"]
        ),
        "variants": pd.DataFrame(
            variants,
            columns=[*network, "method", "metric", "fill", "output", "mean", "low", "high"],
        ),
        "fill_agreement": pd.DataFrame(
            fill_agreement,
            columns=[*PLACE, "fill", "output", "other_fill", "other_output", "tau", "n_methods"],
        ),
    }


KINDS = ["gradient", "propagation", "perturbation", "surrogate", "cam"]
NETWORKS = [
    ("breast_cancer", "mlp"),
    ("mnist5k", "attention"),
    ("mnist5k", "cnn"),
    ("shapes", "resnet"),
]
MEASURES = {
    "faithfulness": 12,
    "truth": 4,
    "robustness": 6,
    "randomisation": 5,
    "complexity": 3,
    "axiom": 3,
}


def large_methods() -> list[dict[str, Any]]:
    """Return cards of 45 methods, six of them controls."""
    controls = [
        ("random_map", Role.RANDOM),
        ("edge_detector", Role.EDGES),
        ("oracle", Role.ORACLE),
        ("inverted_oracle", Role.INVERTED),
        ("input_itself", Role.INPUT),
        ("blurred_self", Role.CONTROL),
    ]
    common = {
        "reference": "bach2015pixel",
        "hyperparameters": {"budget": "50"},
        "class": "Method",
        "of": "",
        "needs": [],
        "surrogate": None,
        "explains": "Attribution",
    }
    named = [(f"{KINDS[at % 5]}_method_{at}", Role.METHOD, KINDS[at % 5]) for at in range(39)]
    named += [(name, role, "control") for name, role in controls]
    words = "Says in one line what the method does to the network, and with what."
    return [
        {
            "method": name,
            "kind": kind,
            "role": role.value,
            "is_blind": role.is_blind,
            "description": words,
            **common,
        }
        for name, role, kind in named
    ]


def large_metrics() -> list[dict[str, Any]]:
    """Return cards of 33 metrics, the headline first."""
    named = [(f"{kind}_{at}", kind) for kind, count in MEASURES.items() for at in range(count)]
    return [
        {
            "metric": "srg" if place == 0 else name,
            "class": "Metric",
            "measures": kind,
            "reference": "bluecher2024decoupling",
            "description": "Defines the metric in one line.",
            "higher_is_better": place % 3 != 1,
            "range": (-1.0, 1.0),
            "chance": 0.0 if place % 2 else None,
            "hyperparameters": {},
        }
        for place, (name, kind) in enumerate(named)
    ]


def large(n_samples: int = 24, seeds: int = 3) -> dict[str, pd.DataFrame]:
    """Return scores, cells and skipped of 45 methods and 33 metrics on 4 networks."""
    rng = np.random.default_rng(0)
    methods, metrics = large_methods(), large_metrics()
    scores, cells, skipped = [], [], []
    for dataset, model in NETWORKS:
        hard = rng.normal(0, 0.1, n_samples)
        for at, record in enumerate(methods):
            name = record["method"]
            quality = {"random_map": 0.0, "inverted_oracle": -0.5, "edge_detector": 0.2}.get(
                name, rng.uniform(0.1, 0.9)
            )
            failed = at == 7 and dataset == "shapes"
            for seed in range(1, seeds + 1):
                state = ("timeout", "took longer than 900 s") if failed else ("ok", "")
                rows = 10 ** rng.uniform(0, 3.3)
                done = 0 if failed else n_samples
                cells.append(
                    (
                        dataset,
                        model,
                        seed,
                        name,
                        *state,
                        done,
                        int(rows * done),
                        int(at % 2 * done),
                        0,
                    )
                )
            for metric in metrics:
                if metric["measures"] == "truth" and dataset != "shapes":
                    skipped.append(
                        (dataset, model, name, metric["metric"], "not_applicable", "needs truth")
                    )
                    continue
                if failed:
                    continue
                noise = rng.normal(0, 0.1, (seeds, n_samples)) + hard
                value = quality + noise if metric["higher_is_better"] else 1 - quality - noise
                key = {
                    "dataset": dataset,
                    "model": model,
                    "method": name,
                    "metric": metric["metric"],
                }
                seed, sample = (index.ravel() for index in np.indices(value.shape))
                columns = {"seed": seed + 1, "sample": sample, "target": 0, "score": value.ravel()}
                scores.append(pd.DataFrame({**key, **columns}))
    names = ["status", "reason", "n_samples", "forward_rows", "backward_rows", "surrogate_rows"]
    return {
        "scores": pd.concat(scores, ignore_index=True),
        "cells": pd.DataFrame(cells, columns=["dataset", "model", "seed", "method", *names]),
        "skipped": pd.DataFrame(skipped, columns=list(SKIPPED)),
    }


def large_outcomes(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the outcomes of the large run.

    Intervals are two standard errors wide: a bootstrap would take minutes.
    """
    up = {record["metric"]: 1 if record["higher_is_better"] else -1 for record in large_metrics()}
    ours = list(control_ids(large_methods()))
    place = ["dataset", "model", "method", "metric"]
    per_seed = (
        parts["scores"]
        .groupby([*place, "seed"])["score"]
        .mean()
        .groupby(place)
        .agg(["std", "size"])
    )
    found = (
        parts["scores"]
        .groupby([*place, "sample"])["score"]
        .mean()
        .groupby(place)
        .agg(["mean", "sem", "size"])
    )
    rows = found.assign(low=found["mean"] - 2 * found["sem"], high=found["mean"] + 2 * found["sem"])
    rows = (
        rows.rename(columns={"size": "n_samples"})
        .drop(columns="sem")
        .assign(seed_sd=per_seed["std"], n_seeds=per_seed["size"])
    )
    rows = rows.reset_index().assign(p_value=0.01)
    good = rows["mean"] * rows["metric"].map(up)
    groups = [rows["dataset"], rows["model"], rows["metric"]]
    best = good.where(~rows["method"].isin(ours)).groupby(groups).transform("max")
    rows = rows.assign(
        difference=best - good, is_best=best == good, is_best_group=best - good < 0.02
    )
    return outcome_table(rows, parts["cells"], parts["skipped"])
