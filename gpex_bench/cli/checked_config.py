"""A config held to its files: data, networks and what applies to them, as the run would see them.

Nothing is trained. A network that the run trains is checked with random weights; a given one is
checked as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import typer

from gpex_bench import config as configs
from gpex_bench.cli import planned
from gpex_bench.config import Config
from gpex_bench.config.schema import Network
from gpex_bench.contract import checks, offers
from gpex_bench.contract.calls import explain
from gpex_bench.contract.isolation import failure
from gpex_bench.contract.networks import check_network
from gpex_bench.plugins.registry import KINDS
from gpex_bench.run.job import SeedTask
from gpex_bench.stages.prepare import prepare
from gpex_bench.stages.queries import queries
from gpex_bench.stages.train import check_trained, offered
from gpex_bench.tables.words import reached
from gpex_bench.types import Architecture, Dataset, Explainer, Model, Need, Task
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.outputs import n_outputs
from gpex_bench.types.performance import performance

SECONDS = 5.0  # that a given network is measured for
ROWS = 64  # that are measured at once
N_TRIED = 2  # rows that methods are tried on
# What holds the settings of a plug-in of the user's own to the contract, by kind. Datasets and
# networks are checked on the files of the config.
OWN: dict[str, Callable] = {
    "surrogate": checks.check_surrogate,
    "method": checks.check_explainer,
    "metric": checks.check_metric,
}


def run_ids(path: Path) -> list[str]:
    """Return the run ids of a config; raises ValueError if it cannot be used."""
    entries = configs.load(path).entries
    return sorted({run_id for of_kind in entries.values() for run_id in of_kind})


def check_config(path: Path, name: str | None) -> bool:
    """Print what fits and what does not; return whether everything does.

    Args:
        path: of the config.
        name: a run id, which restricts what is checked; None checks everything.

    Raises:
        ValueError: the config cannot be used.
    """
    config = configs.load(path)
    fits = [_check_plugins(config, name)]
    # maps that were made elsewhere are held to the samples and the networks that they explain
    is_whole = name is None or _is_stored(config, name)
    data = {}
    for run_id in config.entries["dataset"]:
        networks = [one for one in config.networks if one.dataset == run_id]
        if is_whole or name == run_id or any(name == one.model for one in networks):
            data[run_id] = _check_data(config, run_id)
            fits.append(data[run_id] is not None)

    refused: dict[Network, dict[str, str]] = {}
    for network in config.networks:
        found = data.get(network.dataset)
        if found is not None and (is_whole or name in (network.dataset, network.model)):
            why = _check_network(config, network, found)
            fits.append(why is not None)
            if why is not None:
                refused[network] = why
                fits += [not _is_stored(config, method) for method in why]

    for line in planned.applying(config, refused) if is_whole else []:
        typer.echo(line)
    if not all(fits):
        typer.echo(f"{path} does not fit yet: mend what is named above.", err=True)
    elif is_whole:
        for line in planned.work(config):
            typer.echo(line)
    return all(fits)


def _is_stored(config: Config, run_id: str) -> bool:
    """Return whether a run id is that of maps which were made elsewhere."""
    entry = config.entries["method"].get(run_id)
    return entry is not None and entry.settings is not None and entry.settings.is_stored


def _check_plugins(config: Config, name: str | None) -> bool:
    """Hold methods, metrics and surrogates of the user to their contracts; say which cannot run."""
    fits = True
    for kind, check in OWN.items():
        for run_id, entry in config.entries[kind].items():
            if name is not None and name != run_id:
                continue
            where = f"{kind}s.{run_id}"
            is_ours = entry.plugin.path.is_relative_to(KINDS[kind].folder)
            if entry.settings is None:
                typer.echo(f"{where}: cannot be used: {entry.reason}.", err=True)
                fits = False
            elif not _is_stored(config, run_id) and (not is_ours or name == run_id):
                fits &= _keeps(where, partial(check, entry.settings))
    return fits


def _keeps(where: str, check: Callable[[], None]) -> bool:
    """Print whether a check passes."""
    try:
        check()
    except Exception as error:
        _refuse(where, error)
        return False
    typer.echo(f"{where}: keeps every promise.")
    return True


def _refuse(where: str, error: Exception) -> None:
    """Print why something does not fit."""
    typer.echo(f"{where}: {reason_of(error)}", err=True)


def reason_of(error: Exception) -> str:
    """Return the message of an error in one line; its kind too, if it is none of ours."""
    reason = failure(error).reason
    kinds = ("BrokenPromise", "ValueError", "ConfigError", "CannotWrap")
    for kind in kinds:
        reason = reason.removeprefix(f"{kind}: ")
    return reason


def _check_data(config: Config, run_id: str) -> Dataset | None:
    """Load a dataset and print what it holds; None if it breaks a promise."""
    where = f"datasets.{run_id}"
    try:
        source = config.dataset(run_id)
        data = prepare(source, config.is_trained_on(run_id))
    except Exception as error:
        _refuse(where, error)
        return None

    typer.echo(f"{where}: fits.")
    for line in (*offers.contents(data), *source.remarks):
        typer.echo(f"  {line}")
    n_test = len(data.test.x)
    if n_test < config.explain.samples:
        typer.echo(f"  note: explain.samples is {config.explain.samples}, and test has {n_test}")
    return data


def _check_network(config: Config, network: Network, data: Dataset) -> dict[str, str] | None:
    """Check a network and print what it is; return the methods that refuse it, and why.

    None if it breaks a promise.
    """
    where = f"models.{network.model} on {network.dataset}"
    try:
        found = tried(config, network, data)
    except Exception as error:
        _refuse(where, error)
        return None

    typer.echo(f"{where}: fits; {found.lines[0]}.")
    for line in found.lines[1:]:
        typer.echo(f"  {line}")
    return dict(found.refused)


@dataclass(frozen=True)
class Tried:
    """What is known of a network that fits."""

    lines: Sequence[str]  # for people
    refused: Mapping[str, str]  # methods that should apply to it and do not, and why


def tried(config: Config, network: Network, data: Dataset) -> Tried:
    """Return what is known of a network, after it was held to what later stages rely on.

    Raises:
        Exception: it cannot be made, or breaks a promise.
    """
    architecture = config.model(network.model)
    seed = config.seeds_of(network.model)[0]
    notes: list[str] = []  # what a given network says of itself
    model = _made(architecture, data, seed, notes.append)
    withdrawn, rewriting = offered(architecture, model, data)

    n_weights = sum(weight.numel() for weight in model.parameters())
    n_heads = n_outputs(data, architecture.one_logit)
    how = _measured(model, data) if architecture.is_given else "is trained by the run"
    outputs = "1 output" if n_heads == 1 else f"{n_heads} outputs"
    lines = [how, f"{outputs}, {n_weights:,} weights", *notes]
    if rewriting:
        lines.append(f"modules: {rewriting}")
    lines += [f"does not offer {need}: {reason}" for need, reason in withdrawn.items()]
    lines.append(f"offers {', '.join(sorted(architecture.offers - set(withdrawn)))}")

    task = Task(model=model, data=data, surrogate=None, seed=seed)
    refused = _refused(config, network, SeedTask(seed, task, withdrawn=withdrawn))
    return Tried(lines, refused)


def _refused(config: Config, network: Network, seed: SeedTask) -> dict[str, str]:
    """Return which methods that should apply to a network do not, and why.

    Those that need few rows of it are tried on some, and stored maps on all that are explained.
    """
    task = seed.needed()
    queried = queries(task.model, task.data, config.explain.samples)
    found = {}
    for run_id in planned.applicable(config, network):
        explainer = config.method(run_id)
        if explainer is None:
            found[run_id] = config.entry("method", run_id).reason
            continue

        lacking = seed.lacks(explainer.needs)
        if lacking:
            found[run_id] = lacking
        elif explainer.is_stored or _is_quick(explainer):
            query = queried if explainer.is_stored else queried.rows(slice(N_TRIED))
            try:
                explain(explainer, task, query)
            except Exception as error:
                found[run_id] = reason_of(error)
    return found


def _is_quick(explainer: Explainer) -> bool:
    """Return whether a method needs few rows: it follows gradients, and has no budget of them."""
    if explainer.surrogate is not None or Need.GRADIENT not in explainer.needs:
        return False
    return Need.MODULES in explainer.needs or not hasattr(explainer, "budget")


def _made(
    architecture: Architecture, data: Dataset, seed: int, progress: Callable[[str], None]
) -> Model:
    """Return the network of the run, or one with random weights where the run trains it, checked.

    Raises:
        BrokenPromise: it does not keep what later stages rely on.
    """
    if architecture.is_given:
        model = architecture.train(data, seed, progress)
        check_trained(architecture, model, data)
        return model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = architecture.build(data).eval()
    check_network(model, data, n_outputs(data, architecture.one_logit))
    return model


def _measured(model: Model, data: Dataset) -> str:
    """Say how well a given network does on test rows, on as many as there is time for."""
    test = data.test
    # in random order, because rows may be sorted by class
    order = torch.randperm(len(test.x), generator=torch.Generator().manual_seed(0))

    parts = []
    start = time.monotonic()
    for rows in order.split(ROWS):
        parts.append(in_chunks(model, test.x[rows]))
        if time.monotonic() - start > SECONDS:
            break

    outputs = torch.cat(parts)
    rows = order[: len(outputs)]
    found = reached(performance(outputs, test.y[rows], data.kind))
    n_rows = f"{len(rows):,}" if len(rows) == len(order) else f"{len(rows):,} of {len(order):,}"
    return f"given, not trained: {found} on {n_rows} test rows"
