"""The jobs of the interactions study."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, load_model, write_cell_table
from gpex_bench.studies.answer import write
from gpex_bench.studies.interactions.plan import Interactions
from gpex_bench.types import Model

# columns that hold one number for each network
OF_NETWORKS = ["test_accuracy", "attacked_accuracy", "attack_radius", "n_attacked"]


@job
def decompose(this: Job) -> None:
    """Networks → shares of every seed, and the networks' accuracies, without and under attack."""
    from gpex_bench.studies.interactions.measure import decompose

    files = dict(zip(this.config.seeds, this.paths("models"), strict=True))
    tables = decompose(
        {seed: this.model(path) for seed, path in files.items()},
        _every_model(this),
        this.data,
        this.study(Interactions),
        _radius(this),
    )

    # one table at a time: `decompose` yields them in the order of the seeds
    for path, (seed, table) in zip(this.paths("shares"), tables, strict=True):
        _, accuracies = artefacts.read_tensors(files[seed])
        table["test_accuracy"] = float(accuracies["test_accuracy"])
        write_cell_table(this, path, table, seed, kind="interactions")


@job
def interactions(this: Job) -> None:
    """Shares of every network → tables, figures and the page."""
    from gpex_bench.studies.interactions.answer import answer

    tables = [artefacts.read_table(path) for path in this.paths("shares")]
    joined = pd.concat(tables, ignore_index=True)
    shares = joined.drop(columns=OF_NETWORKS)
    columns = ["dataset", "model", "seed", *OF_NETWORKS]
    accuracies = joined[columns].drop_duplicates()

    plan = this.study(Interactions)
    write(this, answer(shares, accuracies, plan))


def _every_model(this: Job) -> Iterator[Model]:
    """Yield the networks of all architectures and seeds, in the order of the input `every`."""
    dataset = this.wildcards["dataset"]
    paths = iter(this.paths("every"))
    for network in this.config.networks:
        if network.dataset != dataset:
            continue
        for _ in this.config.seeds:
            yield load_model(this.config, network.model, this.data, next(paths))


def _radius(this: Job) -> float:
    """Return the radius of the attack: the largest one of a twin's training, 0 without one."""
    radii = [0.0]
    for robust, _ in this.study(Interactions).twins:
        training = getattr(this.config.model(robust), "training", None)
        if training is not None:
            radii.append(training.adversarial)
    return max(radii)
