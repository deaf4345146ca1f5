"""Checks of the promises that plug-ins keep, one for each kind of plug-in."""

from __future__ import annotations

from collections.abc import Callable

from gpex_bench.contract import offers
from gpex_bench.contract.datasets import check_dataset
from gpex_bench.contract.explainers import check_explainer, example
from gpex_bench.contract.metrics import check_metric
from gpex_bench.contract.models import check_model
from gpex_bench.contract.promises import BrokenPromise, with_defaults
from gpex_bench.contract.stored import check_stored
from gpex_bench.contract.surrogates import check_surrogate
from gpex_bench.types import Explainer

__all__ = [
    "CHECKS",
    "OFFERS",
    "BrokenPromise",
    "check_dataset",
    "check_explainer",
    "check_method",
    "check_metric",
    "check_model",
    "check_surrogate",
    "example",
]


def check_method(cls: type[Explainer]) -> None:
    """Check a class of explainers: with its default settings, or on files of maps made for it."""
    if cls.is_stored is True:
        check_stored(cls)
    else:
        check_explainer(example(cls))


# What plug-ins of a kind offer and why not, as lines for people; of methods and metrics
# `gpex-bench list` says it.
OFFERS: dict[str, Callable[[type], list[str]]] = {
    "dataset": lambda cls: offers.of_dataset(with_defaults(cls)),
    "model": lambda cls: offers.of_network(with_defaults(cls)),
}
# By kind of plug-in: tries a class with its default settings, and raises BrokenPromise at the first
# promise it breaks.
CHECKS: dict[str, Callable[[type], None]] = {
    "dataset": lambda cls: check_dataset(with_defaults(cls)),
    "model": lambda cls: check_model(with_defaults(cls)),
    "surrogate": lambda cls: check_surrogate(with_defaults(cls)),
    "method": check_method,
    "metric": lambda cls: check_metric(with_defaults(cls)),
}
