"""Which columns each table has: one constant a table, with the columns in their order.

Every frame that travels between two rooms of the package is described here. A table that one module
makes and reads is described in that module.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

# The keys of all tables, in the order in which they are written and sorted by.
KEYS = (
    "dataset",
    "model",
    "seed",
    "surrogate",
    "method",
    "metric",
    "split",
    "head",
    "sample",
    "target",
)
NETWORK = ("dataset", "model")
PLACE = (*NETWORK, "metric")  # where methods are compared

# What columns of tests and intervals mean: `low` and `high` are the ends of an interval with this
# confidence, and a p value is significant below this level.
CONFIDENCE = 0.95
LEVEL = 0.05

# What the cells of a run write.
SCORES = (*NETWORK, "seed", "method", "metric", "sample", "score")
VARIANT = ("fill", "output")
VARIANT_SCORES = (*NETWORK, "seed", "method", "metric", *VARIANT, "sample", "score", "change")
CELLS = (
    *NETWORK,
    "seed",
    "method",
    "status",
    "reason",
    "n_samples",
    "forward_rows",
    "backward_rows",
)
SKIPPED = (*NETWORK, "method", "metric", "status", "reason")
COSTS = (*NETWORK, "seed", "method", "wall_seconds", "peak_bytes")

# Surrogates: status and cost of each fit, and how well it agrees with its network.
SURROGATES = (*NETWORK, "seed", "surrogate", "status", "reason")
SURROGATE_COSTS = (*NETWORK, "seed", "surrogate", "wall_seconds", "peak_bytes")
AGREEMENT = (*NETWORK, "seed", "surrogate", "split", "head", "statistic", "value")
PREDICTIONS = (
    *NETWORK,
    "seed",
    "surrogate",
    "split",
    "sample",
    "head",
    "row",  # of a head that is a place of a map, from 1; missing where heads are something else
    "column",
    "network",
    "mean",
)

# The fills of a run on each network, and the one that stands for all that show the same.
FILLS = (*NETWORK, "fill", "shows")

# Mean removal curves, and the kind that the scores are made of.
CURVE_KIND = ("unit", "fill", "n_steps", "output", "order")
CURVE_MEANS = (*NETWORK, "method", *CURVE_KIND, "fraction", "mean", "low", "high")
DRAWN_CURVES = (*NETWORK, "method", "output", "order", "fraction", "mean", "low", "high")
MAIN_CURVE = {"unit": "position", "fill": "baseline", "n_steps": 28}

# Means of the methods, and how they compare with the best one.
INTERVALS = ("method", "mean", "low", "high", "seed_sd", "n_samples", "n_seeds")
SUMMARY = (*NETWORK, "method", "metric", *INTERVALS[1:])
# `difference`: how much worse than the best method, with its 95 % interval. `p_value`, `verdict`:
# of that difference (`tables.words`). `is_best_group`: the best, and what is not worse.
MARKS = (
    "difference",
    "diff_low",
    "diff_high",
    "p_value",
    "verdict",
    "is_best",
    "is_best_group",
)
OUTCOMES = (*SUMMARY, *MARKS, "mark", "state", "reason", "n_seeds_planned")

# What can be concluded from the scores.
RANKING = (*PLACE, "method", "place", "n_methods", "is_control")
# The headline metric on one network. `score`: the mean over its variants, with its 95 % interval;
# `place`: by that score; `place_best`, `place_worst`: over the variants. `answer`: leads, unbeaten
# or beaten (`tables.words`); empty for controls.
HEADLINE = (
    *PLACE,
    "method",
    "score",
    "low",
    "high",
    "place",
    "place_best",
    "place_worst",
    "n_variants",
    "is_control",
    "answer",
    "beaten_by",
)
HEADLINE_VARIANTS = (
    *PLACE,
    *VARIANT,
    "method",
    "mean",
    "low",
    "high",
    "place",
    "leads",
    "is_control",
)
HEADLINE_PAIRS = (
    *PLACE,
    "method",
    "other",
    "verdict",
    "better_under",
    "worse_under",
    "is_control",
)
# Over networks. `mean`, its interval and `answer` are missing with fewer than six networks;
# `networks` and `places` have one entry a network, with commas between them.
OVERALL = (
    "scope",
    "metric",
    "method",
    "mean",
    "low",
    "high",
    "n_networks",
    "n_datasets",
    "networks",
    "places",
    "is_control",
    "answer",
    "beaten_by",
)
# `n_better`, `n_worse`: on how many networks `method` is better, and worse, than `other`.
OVERALL_PAIRS = (
    "scope",
    "metric",
    "method",
    "other",
    "mean_difference",
    "low",
    "high",
    "margin",
    "p_value",
    "p_holm",
    "p_equal",
    "verdict",
    "n_networks",
    "n_datasets",
    "n_better",
    "n_worse",
    "is_control",
)
PAIRS = (
    *PLACE,
    "method",
    "other",
    "mean_difference",
    "low",
    "high",
    "margin",  # the smallest difference that matters
    "p_value",
    "p_holm",
    "p_equal",  # of "they differ by the margin or more", after Holm's correction
    "verdict",
    "is_control",
    "relation",
    "n_units",
    "seeds_agreeing",
)
# Families of comparisons whose p values are corrected together, their tests, and how many families
# are expected to hold a false "better" if no two methods differ.
FAMILIES = (*PLACE, "n_families", "n_tests", "expected_false")
INFORMATIVE = (*PLACE, "is_informative", "use", "reason", "effect", "low", "high")
FAITHFUL = (*NETWORK, "method", "is_faithful", "n_better", "n_metrics")
PLANTED = (
    *NETWORK,
    "method",
    "mean",
    "low",
    "high",
    "edge_difference",
    "p_holm",
    "beats_edge_detector",
)
TRUTH_AGREEMENT = (
    *PLACE,
    "truth",  # the metric of planted truth
    "tau",
    "low",
    "high",
    "share_alike",  # of the pairs that the truth tells apart
    "n_decided",  # how many pairs these are
    "n_methods",
    "overrated",
    "overrated_place",
    "overrated_true_place",
    "underrated",
    "underrated_place",
    "underrated_true_place",
)
VARIANCE = (*PLACE, "component", "share", "variance", "dof")
POWER = (
    *PLACE,
    "first",
    "second",
    "third",
    "n_used",
    "n_samples",  # that would do for a verdict on each two of them; NaN: more than the limit
    "smallest_difference",  # that this many samples are likely to show between methods like these
    "sentence",
)
TRUST = ("metric", *NETWORK, "property", "value", "low", "high")
VARIANTS = (*NETWORK, "method", "metric", "fill", "output", "mean", "low", "high")
FILL_AGREEMENT = (
    *PLACE,
    "fill",
    "output",
    "other_fill",
    "other_output",
    "tau",
    "n_methods",
    "tau_with_controls",
    "n_with_controls",
)


def require(frame: pd.DataFrame, columns: Iterable[str], name: str) -> pd.DataFrame:
    """Return the frame if it has these columns.

    Raises:
        ValueError: names the frame and the columns that it lacks.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}; it has {list(frame.columns)}.")

    return frame
