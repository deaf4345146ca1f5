"""The jobs of the experiment on interactions."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, load_model, write_cell_table
from gpex_bench.studies.answer import write
from gpex_bench.studies.interactions.plan import Interactions


@job
def decompose(this: Job) -> None:
    """Networks → shares of every seed, and the accuracies beside them, without and under attack."""
    from gpex_bench.studies.interactions.measure import decompose

    files = dict(zip(this.config.seeds, this.paths("models"), strict=True))
    models = {seed: this.model(path) for seed, path in files.items()}
    named = [
        network.model
        for network in this.config.networks
        if network.dataset == this.wildcards["dataset"]
    ]
    placed = zip(
        [name for name in named for _ in this.config.seeds], this.paths("every"), strict=True
    )
    every = (load_model(this.config, name, this.data, path) for name, path in placed)
    found = decompose(models, every, this.data, _plan(this), _radius(this))
    for path, (seed, table) in zip(this.paths("shares"), found, strict=True):
        _, accuracies = artefacts.read_tensors(files[seed])
        table["test_accuracy"] = float(accuracies["test_accuracy"])
        write_cell_table(this, path, table, seed, kind="interactions")


@job
def interactions(this: Job) -> None:
    """Shares of every network → tables, figures and sentences."""
    from gpex_bench.studies.interactions.answer import interactions

    shares = pd.concat(
        [artefacts.read_table(path) for path in this.paths("shares")], ignore_index=True
    )
    of_networks = ["test_accuracy", "attacked_accuracy", "attack_radius", "n_attacked"]
    accuracies = shares[["dataset", "model", "seed", *of_networks]].drop_duplicates()
    found = interactions(shares.drop(columns=of_networks), accuracies, _plan(this))
    write(this, found)


def _radius(this: Job) -> float:
    """Return how far the attack goes: the largest radius that a twin was trained with, 0 without one."""
    recipes = [getattr(this.config.model(own), "training", None) for own, _ in _plan(this).twins]
    return max((recipe.adversarial for recipe in recipes if recipe is not None), default=0.0)


def _plan(this: Job) -> Interactions:
    """Return the section `interactions`."""
    if not isinstance(this.config.study, Interactions):
        raise ValueError(
            "This config has no section `interactions`; add one, or do not ask for its files."
        )
    return this.config.study
