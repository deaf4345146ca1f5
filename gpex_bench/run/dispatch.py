"""Runs the job of a rule: the function that is registered under the name of the rule."""

from __future__ import annotations

import importlib
import logging
import random
import sys
from collections.abc import Callable
from typing import Any

import torch

from gpex_bench.run.job import Job, log
from gpex_bench.run.orders import Order

TWIN = "_given"  # ends the name of a rule for networks that were not trained
JOBS: dict[str, Callable[[Job], None]] = {}


def job(function: Callable[[Job], None]) -> Callable[[Job], None]:
    """Register a function as the job of the rule of the same name."""
    JOBS[function.__name__] = function
    return function


def run(snakemake: Any) -> None:
    """Run the job of a rule, with its progress on the screen and in the log file of the rule."""
    torch.set_num_threads(snakemake.threads)
    set_up_logging(snakemake.log)
    carry_out(Order.of(snakemake))


def carry_out(order: Order) -> None:
    """Run a job in this process, whose threads and logging are set up."""
    # No result may depend on the global random states; they are set so that a fault which does
    # depend on them is seen in every run.
    torch.manual_seed(0)
    random.seed(0)

    this = Job(order)
    _register_jobs(this.config.study_name)
    try:
        JOBS[order.rule.removesuffix(TWIN)](this)
    except Exception as error:
        log.error("%s failed: %s: %s", this.name, type(error).__name__, error)
        raise


def set_up_logging(files: Any) -> None:
    """Log to the screen and to the rule's log file, if it has one; warnings go to neither."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if files:
        handlers.append(logging.FileHandler(files[0], mode="w"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)

    logging.captureWarnings(True)
    logging.getLogger("py.warnings").propagate = False


def _register_jobs(study: str | None) -> None:
    """Import the modules that hold jobs: those of every run, and those of the config's study."""
    for name in ("aggregate", "cells", "pages"):
        importlib.import_module(f"gpex_bench.run.{name}")
    if study is not None:
        importlib.import_module(f"gpex_bench.studies.{study}.jobs")
