"""What `explain` returned, when it is scored: what it was made with, and whether it is meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from gpex_bench.library.asking import Inputs
from gpex_bench.library.brought import Entry
from gpex_bench.library.question import Question
from gpex_bench.library.results import Maps, Neighbours
from gpex_bench.types import Dataset
from gpex_bench.types.batches import in_chunks

SAME = 1e-4  # of the largest output: what two copies of a network may differ by


def _own(listed: Sequence[Entry]) -> list[Maps | Neighbours]:
    """Return what `explain` returned."""
    return [entry.own for entry in listed if entry.own is not None]


def as_numbered(given: Inputs, listed: Sequence[Entry], *, is_known: bool) -> Inputs:
    """Return the inputs with the identities that they had when they were explained.

    As they are, if nothing was explained, or if the identities are known.
    """
    for own in _own(listed) if not is_known else ():
        sample = own.sample.reshape(-1)
        if len(sample) == len(given.x):
            return dataclasses.replace(given, sample=sample)
    return given


def as_made(
    listed: Sequence[Entry], data: Dataset | None, options: dict[str, Any]
) -> Dataset | None:
    """Return the data, that of what `explain` returned if none is given.

    The options get its target, baseline and truth where none was given.

    Raises:
        ValueError: explanations were made with different baselines, and none was given.
    """
    every = _own(listed)
    if not every:
        return data

    first = every[0]
    known = first.made.task.data
    if options["target"] is None:
        options["target"] = first.target.reshape(-1)
    if options["truth"] is None and known.truth is not None:
        options["truth"] = known.truth

    if data is None and options["baseline"] is None:
        options["baseline"] = _shared_baseline(every)
        data = known if len(known.train.x) else None
    return data


def _shared_baseline(every: Sequence[Maps | Neighbours]) -> torch.Tensor:
    """Return the baseline that explanations were made with; raises ValueError if they differ."""
    baselines = [own.made.task.data.baseline for own in every]
    for own, baseline in zip(every, baselines, strict=True):
        if not torch.equal(baseline, baselines[0]):
            raise ValueError(
                f"baseline must be given: {every[0].made.method} and {own.made.method} were made "
                "with different ones, and removal shows one."
            )
    return baselines[0]


def check_same(listed: Sequence[Entry], asked: Question) -> None:
    """Raise ValueError if something was explained that is not what is asked about."""
    for entry in listed:
        _check_same(entry, asked)


def _check_same(entry: Entry, asked: Question) -> None:
    """Raise ValueError if what `explain` returned is of other inputs, targets or networks."""
    if entry.own is None:
        return
    made = entry.own.made
    query = asked.query
    if made.query.x.shape != query.x.shape or not torch.equal(made.query.x.cpu(), query.x.cpu()):
        raise ValueError(
            f"maps[{entry.name!r}] explains other inputs than x, {tuple(made.query.x.shape)} and "
            f"{tuple(query.x.shape)}; explain these, or give its values if that is meant."
        )
    if not torch.equal(made.query.sample, query.sample):
        raise ValueError(
            f"maps[{entry.name!r}] explains the samples {made.query.sample.tolist()[:6]}, not "
            f"{query.sample.tolist()[:6]}; leave sample out, or give it as it was explained."
        )
    if not torch.equal(made.query.target.cpu(), query.target.cpu()):
        raise ValueError(
            f"maps[{entry.name!r}] explains the outputs {made.query.target.tolist()[:6]}, not "
            f"{query.target.tolist()[:6]}; give target= as it was explained."
        )
    here, there = in_chunks(asked.task.model, query.x), in_chunks(made.task.model, made.query.x)
    off = float((here.cpu() - there.cpu()).abs().max())
    if off > SAME * max(1.0, float(here.abs().max())):
        raise ValueError(
            f"maps[{entry.name!r}] explains another network, whose outputs differ by up to "
            f"{off:.3g}; give the network that was explained, or its values if that is meant."
        )
