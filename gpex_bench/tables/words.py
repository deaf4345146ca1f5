"""How numbers, intervals and states are worded for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# The splits on which a surrogate is compared with its network, as readers know them.
SPLITS = {"test": "test", "mixed": "mixed", "ood": "out-of-distribution"}

# How well a network does (`types.performance`), as readers know it.
PERFORMANCE = {
    "accuracy": "accuracy",
    "label_accuracy": "accuracy per label",
    "macro_f1": "macro F1",
    "r2": "R²",
    "mae": "mean absolute error",
}

# What a metric can be used for on a network.
USABLE = "usable"
AMONG_FAITHFUL = "among faithful methods"
NOT_USABLE = "not usable"
USES = (USABLE, AMONG_FAITHFUL, NOT_USABLE)

# The states of a cell without a number. Any other state is a kind of failure.
STATES = {
    "failed": "failed",
    "not_applicable": "n/a",
    "missing": "missing",
    "unsound": "unsound",  # its values do not sum to what the method promises
}
# What is said of two methods. Better and worse: the difference is significant after the correction,
# and larger than the smallest one that matters. Equal: it is significantly smaller than that.
BETTER, WORSE, EQUAL, OPEN = "better", "worse", "equal", "not shown to differ"
# Over all fills and outputs of a score: some tell them apart, but not in a way that holds for all.
DEPENDS = "depends"
# What is said of one method among all: it is nowhere worse than another, no other one is better
# than it, or one is.
LEADS, UNBEATEN, BEATEN = "leads", "unbeaten", "beaten"
# How the reason of everything begins that was not made because its network cannot be used.
WITHOUT_NETWORK = "the network cannot be used"
# Why stored maps have no score of what asks a method about something else.
CANNOT_BE_ASKED = "cannot be asked again: its maps were made elsewhere"
# The states that are no failures.
FINE = ("ok", "not_applicable")


def reached(performance: Mapping[str, float]) -> str:
    """Say how well a network does: "accuracy 97.4 %", "R² 0.501, mean absolute error 44.6"."""
    texts = []
    for name, word in PERFORMANCE.items():
        if name in performance:
            is_share = name.endswith("accuracy")
            value = performance[name]
            texts.append(f"{word} {100 * value:.1f} %" if is_share else f"{word} {number(value)}")
    return ", ".join(texts)


def decimals(scale: float) -> int | None:
    """Return the decimals of a number of this size, or None where powers of ten read better."""
    if scale == 0:
        return 3
    if 0.02 <= scale < 1000:
        return max(0, min(3, 2 - math.floor(math.log10(scale))))
    return 4 if 0.001 <= scale < 0.02 else None


def number(value: float, scale: float | None = None) -> str:
    """Write a number with about three digits; numbers of one scale get the same decimals."""
    if not math.isfinite(value):
        return "not known"

    places = decimals(abs(value) if scale is None else scale)
    text = f"{value:.2e}" if places is None else f"{value:.{places}f}"

    is_rounded_to_zero = float(text) == 0
    return text.removeprefix("-") if is_rounded_to_zero else text


def below_one(value: float, places: int = 3) -> str:
    """Write a correlation or the like: up to 6 decimals, so that only 1 reads as 1."""
    if not math.isfinite(value):
        return "undefined"

    while places < 6 and value < 1 and float(f"{value:.{places}f}") == 1:
        places += 1
    return f"{value:.{places}f}"


def interval(mean: float, low: float, high: float) -> tuple[str, str]:
    """Write a mean and its interval with the same decimals: ("0.812", "[0.790, 0.831]")."""
    sizes = [abs(end) for end in (mean, low, high) if math.isfinite(end)]
    scale = max(sizes, default=0.0)
    middle = number(mean, scale)

    has_ends = math.isfinite(low) and math.isfinite(high)
    if not has_ends:
        return middle, "[too few samples]"
    return middle, f"[{number(low, scale)}, {number(high, scale)}]"


def listed(names: Sequence[Any], word: str = "and") -> str:
    """Write names as a list: "a", "a and b" or "a, b and c"; nothing without a name."""
    *others, last = [str(name) for name in names] or [""]
    return f"{', '.join(others)} {word} {last}" if others else last


def wording(status: str, reason: str) -> str:
    """Say why a cell has no number: "failed: ...", "failed (timeout): ...", "n/a: ..."."""
    if status == "ok":
        raise ValueError("status must not be 'ok': such a cell has a number; show that instead.")

    label = STATES.get(status, f"failed ({status})")
    return f"{label}: {reason}"


def partial(row: Mapping[Any, Any]) -> str:
    """Say how many training seeds are in a number, if not all: "2 of 3 seeds"."""
    if row["n_seeds"] < row["n_seeds_planned"]:
        return f"{row['n_seeds']:.0f} of {row['n_seeds_planned']:.0f} seeds"
    return ""
