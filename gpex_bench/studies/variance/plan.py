"""The settings of the study on variance: the section `variance` of a config.

The run is an ordinary one. Entries of `datasets` that differ in `seed` alone are data seeds of one
dataset. A method that wraps another one under another explainer seed (`methods/reseeded.py`) is a
draw of that method.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gpex_bench.types import Study, settings

ONLY_DRAW = 0  # the number of a method's own draw; wrappers count from 1


@settings
class Variance(Study):
    """What counts as a large part of the variance, and which standard error is aimed at."""

    question = "Where does the variance of a score come from?"
    reference = "searle1992variance"
    trains = True
    needs = frozenset({"methods", "metrics"})

    # share of a single score's variance from which on the explainer's seed matters
    matters: float = 0.1
    # standard error that is aimed at, as a share of the range of the methods' mean scores
    error: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        for name in ("matters", "error"):
            share = getattr(self, name)
            if not 0 < share < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share}.")

    def check(self, config: Any) -> None:
        """Check that data seeds, training seeds and samples are repeated.

        Raises:
            ValueError: names what is not.
        """
        if len(config.seeds) < 2:
            raise ValueError(f"seeds must be at least 2 to be compared, got {list(config.seeds)}.")
        if config.explain.samples < 2:
            raise ValueError(f"explain.samples must be at least 2, got {config.explain.samples}.")

        seeds = data_seeds(config)
        for place, networks in places(config).items():
            found = sorted({seeds[network.dataset][1] for network in networks})
            if len(found) < 2:
                raise ValueError(
                    f"datasets must hold at least 2 seeds of {place[0]} for {place[1]}, got "
                    f"{found}; add an entry with another `seed`, and a network on it."
                )


def places(config: Any) -> dict[tuple[str, str], list[Any]]:
    """Return the networks of all data seeds, by dataset (its first entry) and model."""
    seeds = data_seeds(config)
    found: dict[tuple[str, str], list[Any]] = {}
    for network in config.networks:
        dataset, _ = seeds[network.dataset]
        found.setdefault((dataset, network.model), []).append(network)
    return found


def data_seeds(config: Any) -> dict[str, tuple[str, int]]:
    """Return for each dataset its seed, after the first entry that is equal but for the seed."""
    sources = {name: config.dataset(name) for name in config.entries["dataset"]}
    alike = {name: _unseeded(source) for name, source in sources.items()}

    found = {}
    for name, source in sources.items():
        first = next(other for other in alike if alike[other] == alike[name])
        found[name] = (first, getattr(source, "seed", 0))
    return found


def _unseeded(source: Any) -> Any:
    """Return a dataset's settings with one and the same seed."""
    return dataclasses.replace(source, seed=0) if hasattr(source, "seed") else source


def draws(config: Any) -> dict[str, tuple[str, int]]:
    """Return for each method the run id that it is a draw of, and which draw."""
    explainers = {name: config.method(name) for name in config.entries["method"]}
    found = {}
    for name, explainer in explainers.items():
        # only a wrapper that changes nothing but the explainer's seed has this field
        if not hasattr(explainer, "draw"):
            found[name] = (name, ONLY_DRAW)
            continue
        wrapped = next(other for other in explainers if explainers[other] == explainer.of)
        found[name] = (wrapped, explainer.draw)
    return found
