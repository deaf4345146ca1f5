"""A made-up run as the report takes it, and one larger than the default run."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench import report
from gpex_bench.statistics.outcomes import agreement_summary, cost_summary, outcome_table, summarise
from gpex_bench.tables.columns import (
    INFORMATIVE,
    PLACE,
    PLANTED,
    POWER,
    SKIPPED,
    TRUST,
    TRUTH_AGREEMENT,
    VARIANTS,
)
from gpex_bench.tables.order import control_ids, groups
from gpex_bench.tables.words import NOT_USABLE, USABLE
from gpex_bench.types import Role
from tests.vocabulary import frames as synthetic
from tests.vocabulary import headline

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
DATASETS = [
    {"dataset": name, "description": name, "hyperparameters": {}, "offers": [kind]}
    for name, kind in (("breast_cancer", "table"), ("mnist5k", "image"), ("shapes", "image"))
]
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
        "datasets": DATASETS,
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
    scored = outcomes[outcomes["state"] == "ok"]
    is_higher_better = {record["metric"]: record["higher_is_better"] for record in metrics}

    return {
        **headline.frames(outcomes, methods, "srg"),
        "pairs": _pairs(scored, control_ids(methods), is_higher_better),
        "overall": _overall(scored),
        **_of_metrics(scored),
        **_of_fills(scored),
        "planted": _planted(scored),
        "truth_agreement": _truth_agreement(scored),
    }


def _pairs(
    scored: pd.DataFrame, controls: frozenset[str], is_higher_better: dict[str, bool]
) -> pd.DataFrame:
    """Return the comparison of every two methods, and of each method with each control."""
    rows = []
    for key, part in groups(scored, PLACE):
        good = part.set_index("method")["mean"] * (1 if is_higher_better[key[2]] else -1)
        size = good.std() / 4 or 1.0
        for pair in combinations(sorted(good.index), 2):
            name, other = sorted(pair, key=lambda one: one in controls)
            gap = good[name] - good[other]
            is_far = abs(gap) > size
            verdict = ("better" if gap > 0 else "worse") if is_far else "not shown to differ"
            if name not in controls:
                rows.append((*key, name, other, verdict, other in controls))
    return pd.DataFrame(rows, columns=[*PLACE, "method", "other", "verdict", "is_control"])


def _overall(scored: pd.DataFrame) -> pd.DataFrame:
    """Return means over networks: of so few that there are no intervals."""
    by_method = scored.groupby(["metric", "method"])
    rows = by_method.agg(mean=("mean", "mean"), n_networks=("dataset", "size")).reset_index()
    return rows.assign(scope="all", low=float("nan"), high=float("nan"))


def _truth_agreement(scored: pd.DataFrame) -> pd.DataFrame:
    """Return how two metrics of faithfulness agree with planted truth."""
    rows = []
    for model in sorted(set(scored.loc[scored["dataset"] == "shapes", "model"])):
        for metric, tau in (("srg", 0.27), ("deletion", 0.52)):
            ends = (tau - 0.1, tau + 0.1)
            over = ("lime", 2, 7)
            under = ("sensitivity", 8, 1)
            place = ("shapes", model, metric, "mass_accuracy")
            rows.append((*place, tau, *ends, 0.7, 20, 9, *over, *under))
    return pd.DataFrame(rows, columns=list(TRUTH_AGREEMENT))


def _of_metrics(scored: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what is known of the metrics: one of them is not informative on one network."""
    places = [key for key, _ in groups(scored, PLACE)]
    reason = "the best method is not significantly better than the random control (p = 0.41)"
    shares = {
        "sample": 0.6,
        "training seed": 0.1,
        "method x sample": 0.25,
        "explainer seed": 0.05,
    }
    properties = ["noise resilience", "adversary reactivity", "planted order"]

    informative = []
    variance = []
    trust = []
    for dataset, model, metric in places:
        is_blank = dataset == "shapes" and metric == "infidelity"
        use = NOT_USABLE if is_blank else USABLE
        numbers = (0.1, -0.2, 0.4) if is_blank else (1.5, 1.1, 1.9)
        why = reason if is_blank else ""
        informative.append((dataset, model, metric, not is_blank, use, why, *numbers))
        for part, share in shares.items():
            variance.append((dataset, model, metric, part, share))
        for at, name in enumerate(properties):
            mean = 0.5 + 0.1 * at
            trust.append((metric, dataset, model, name, mean, 0.4 + 0.1 * at, 0.6 + 0.1 * at))

    power = []
    for place, part in groups(scored, PLACE):
        top = part.sort_values("mean", ascending=False)["method"].head(3).tolist()
        if len(top) == 3:
            sentence = f"{', '.join(top)}: about 210 samples are needed for a verdict on each two."
            power.append((*place, *top, 48, 210, 0.12, sentence))

    return {
        "informative": pd.DataFrame(informative, columns=list(INFORMATIVE)),
        "families": pd.DataFrame(places, columns=list(PLACE)).assign(
            n_families=3, expected_false=0.15
        ),
        "variance": pd.DataFrame(variance, columns=[*PLACE, "component", "share"]),
        "trust": pd.DataFrame(trust, columns=list(TRUST)),
        "power": pd.DataFrame(power, columns=list(POWER)),
    }


def _of_fills(scored: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return scores under each fill and output, and how alike they rank the methods."""
    methods = sorted(set(scored["method"]))
    fills = ("train_mean", "blur", "noise")
    kinds = [(fill, output) for fill in fills for output in ("probability", "logit")]

    variants = []
    agreements = []
    for place, _ in groups(scored, PLACE):
        dataset, model, metric = place
        if metric not in ("srg", "deletion", "insertion"):
            continue
        for method in methods[:4]:
            for kind in kinds:
                variants.append((dataset, model, method, metric, *kind, 0.5, 0.4, 0.6))
        for at, (one, other) in enumerate(combinations(kinds, 2)):
            tau = round(0.9 - 0.1 * at, 2)
            agreements.append((*place, *one, *other, tau, len(methods)))

    pair = ("fill", "output", "other_fill", "other_output")
    return {
        "variants": pd.DataFrame(variants, columns=list(VARIANTS)),
        "fill_agreement": pd.DataFrame(agreements, columns=[*PLACE, *pair, "tau", "n_methods"]),
    }


def _planted(scored: pd.DataFrame) -> pd.DataFrame:
    """Return how much relevance is on the planted truth; from the tenth method on it is more."""
    models = sorted(set(scored.loc[scored["dataset"] == "shapes", "model"]))
    rows = []
    for model in models:
        for at, name in enumerate(sorted(set(scored["method"]))):
            is_better = at > 8
            p_value = 0.01 if is_better else 0.6
            mean = 0.3 + 0.01 * at
            rows.append(
                ("shapes", model, name, mean, 0.25, 0.45, 0.02 * at - 0.1, p_value, is_better)
            )
    return pd.DataFrame(rows, columns=list(PLANTED))


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
    rows = rows.reset_index()
    rows = rows.assign(p_value=0.01, diff_low=0.0, diff_high=0.0, verdict="")
    good = rows["mean"] * rows["metric"].map(up)
    groups = [rows["dataset"], rows["model"], rows["metric"]]
    best = good.where(~rows["method"].isin(ours)).groupby(groups).transform("max")
    rows = rows.assign(
        difference=best - good,
        is_best=best == good,
        is_best_group=best - good < 0.02,
    )
    return outcome_table(rows, parts["cells"], parts["skipped"])
