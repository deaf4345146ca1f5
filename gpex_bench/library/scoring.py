"""How good are these maps? Any maps, whoever made them, by any metric of the suite."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import nn

from gpex_bench.contract import calls, isolation
from gpex_bench.library import asking
from gpex_bench.library.as_made import as_made, as_numbered, check_same
from gpex_bench.library.bars import bar
from gpex_bench.library.brought import Entry, Given, entries
from gpex_bench.library.choosing import metric as metric_named
from gpex_bench.library.choosing import name_of
from gpex_bench.library.question import Question, lacking, offers, question
from gpex_bench.library.results import Maps, Neighbours
from gpex_bench.library.wrapping import Network
from gpex_bench.measurements import with_measured
from gpex_bench.tables.words import CANNOT_BE_ASKED
from gpex_bench.types import (
    Case,
    Dataset,
    Examples,
    Measurement,
    Metric,
    Need,
    Prototype,
    Query,
    Split,
)

COLUMNS = (  # `higher_is_better` to `width` are what `pairs` must know of a metric
    "method",
    "metric",
    "score",
    "sample",
    "target",
    "higher_is_better",
    "margin",
    "resolution",
    "width",
    "status",
    "reason",
)
Fate = tuple[str, str]  # status and reason of what is missing


def score(  # noqa: PLR0913 - one option by keyword
    network: Network | nn.Module,
    x: object,
    maps: Given | Mapping[str, Given],
    metrics: str | Metric | Sequence[str | Metric] | Mapping[str, Metric] = ("srg", "infidelity"),
    *,
    target: object = None,
    data: Dataset | None = None,
    baseline: object = None,
    truth: object = None,
    sample: object = None,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Score explanations of a network: one row for each method, metric and input.

    What `explain` returned remembers its method, which some metrics ask again; of maps from
    elsewhere they read "not_applicable".

    Args:
        network: what `wrap` returns, or any module, which is then wrapped.
        x: the inputs that the maps explain, as `explain` takes them.
        maps: what `explain` returns, or an array of the shape of x (of images also [n, height,
            width], which is divided evenly among the channels); or several, by name.
        metrics: names (`list_metrics()`), or metrics with their settings, or metrics by name.
        target: as in `explain`; None: that of what `explain` returned, if any.
        data: the same.
        sample: the same.
        baseline: what removal shows, as in `explain`.
        truth: where the evidence is known to be, of the shape of x or [n, height, width].
        seed: of random draws of the metrics.
        progress: whether long work shows a bar.

    Returns:
        A frame with `COLUMNS`. A score that is not there is NaN, and status and reason say why.
        `summary` has means with intervals.

    Raises:
        ValueError: names the argument that does not fit, such as maps of another shape.

    Example:
        >>> import gpex_bench as gb, torch
        >>> x = torch.ones(2, 4)
        >>> gb.score(torch.nn.Linear(4, 3), x, {"mine": x}, "sparseness")["status"].tolist()
        ['ok', 'ok']
    """
    given = asking.inputs(x, sample)
    listed = entries(maps, tuple(given.x.shape))
    given = as_numbered(given, listed, is_known=sample is not None or isinstance(x, Split))
    options: dict[str, Any] = {"target": target, "baseline": baseline, "truth": truth}
    data = as_made(listed, data, options)
    asked = question(network, given, data, seed=seed, **options)

    wanted = _metrics(metrics)
    check_same(listed, asked)
    tables = []
    with bar("scores", progress, len(listed) * len(wanted)) as shown:
        for entry in listed:
            tables += _of_entry(entry, wanted, asked, shown.update)
    return _warned(pd.concat(tables, ignore_index=True)[list(COLUMNS)])


def _metrics(metrics: Any) -> dict[str, Metric]:
    """Return metrics by name."""
    if isinstance(metrics, Mapping):
        return {str(name): _metric(one) for name, one in metrics.items()}
    is_one = isinstance(metrics, (str, Metric, type))
    listed = [metrics] if is_one else list(metrics)
    if not listed:
        raise ValueError("metrics must name at least one metric, got none.")

    named = {}
    for one in listed:
        made = _metric(one)
        name = one if isinstance(one, str) else name_of(made)
        if name in named:
            raise ValueError(
                f"metrics must differ, and {name!r} is there twice; name them by a dict."
            )
        named[name] = made
    return named


def _metric(one: Any) -> Metric:
    if isinstance(one, Metric):
        return one
    if not isinstance(one, str):
        got = f"the class {one.__name__}" if isinstance(one, type) else type(one).__name__
        raise ValueError(f"metrics must be names or metrics with their settings, got {got}.")
    return metric_named(one)


def _of_entry(
    entry: Entry, metrics: Mapping[str, Metric], asked: Question, heard: Any
) -> list[pd.DataFrame]:
    """Return a table of each metric; what several metrics read is measured once."""
    query = asked.query
    explanation = _on(entry, query)
    plain = Case(task=asked.task, query=query, explanation=explanation, explainer=entry.explainer)
    # A method is asked again as it was asked: with its own data, baseline, surrogate and seed.
    again = plain if entry.own is None else _again(plain, entry.own)

    found: dict[bool, dict[Measurement, Any]] = {False: {}, True: {}}
    tables = []
    for name, metric in metrics.items():
        is_asked = _asks_again(metric)
        case = again if is_asked else plain
        numbers = unscored(metric, entry, case, asked.network) or _scores(
            metric, case, found[is_asked]
        )
        tables.append(_table(entry.name, name, metric, query, numbers))
        heard()
    return tables


def _on(entry: Entry, query: Query) -> Any:
    """Return an explanation where the inputs are."""
    device = query.x.device
    tensors = calls.tensors(entry.explanation)
    moved = {name: tensor.to(device) for name, tensor in tensors.items()}
    return dataclasses.replace(entry.explanation, **moved)


def _again(case: Case, own: Maps | Neighbours) -> Case:
    """Return the case with the task that an explanation was made with, and this one's truth."""
    task = own.made.task
    data = dataclasses.replace(task.data, truth=case.task.data.truth or task.data.truth)
    return dataclasses.replace(case, task=dataclasses.replace(task, data=data))


def _asks_again(metric: Metric) -> bool:
    """Return whether a metric calls the method again, or asks it about another network."""
    elsewhere = any(measurement.changes_network for measurement in metric.measurements())
    return metric.re_explains or elsewhere


def unscored(metric: Metric, entry: Entry, case: Case, network: Network) -> Fate | None:
    """Return status and reason if a metric does not apply to an explanation, or None."""
    if entry.unsound:
        return isolation.UNSOUND, entry.unsound
    if not isinstance(entry.explanation, metric.scores):
        given = type(entry.explanation).__name__.lower()
        return isolation.NOT_APPLICABLE, f"scores {metric.scores.__name__.lower()}, not {given}"
    if entry.explainer.is_stored and _asks_again(metric):
        return isolation.NOT_APPLICABLE, CANNOT_BE_ASKED

    offered = offers(network, case.task) | entry.explainer.offers
    if not isinstance(entry.explanation, (Examples, Prototype)):
        has_residual = getattr(entry.explanation, "residual", None) is not None
        offered = offered | ({Need.RESIDUAL} if has_residual else set())
    missing = lacking(metric.needs, offered, network)
    if missing:
        return isolation.NOT_APPLICABLE, missing

    is_of_groups = metric.scores is Examples and Need.TRUTH in metric.needs
    truth = case.task.data.truth
    if is_of_groups and truth is not None and bool((truth.train_group < 0).all()):
        return isolation.NOT_APPLICABLE, "needs the groups of training samples, not a mask"
    elsewhere = any(measurement.changes_network for measurement in metric.measurements())
    if elsewhere and entry.explainer.surrogate is not None:
        name = entry.explainer.surrogate
        reason = f"explains other networks, and {name} is fitted to this one"
        return isolation.NOT_APPLICABLE, reason
    return None


def _scores(metric: Metric, case: Case, found: dict[Measurement, Any]) -> torch.Tensor | Fate:
    """Return one number for each input, or status and reason of what went wrong."""
    try:
        for measurement in metric.measurements():
            if measurement not in found:
                found[measurement] = measurement.measure(case)
        numbers = calls.score(metric, with_measured(case, found))
    except Exception as error:
        outcome = isolation.failure(error)
        return outcome.status, outcome.reason
    return numbers.detach().cpu().double()


def _table(
    method: str, name: str, metric: Metric, query: Query, found: torch.Tensor | Fate
) -> pd.DataFrame:
    """Return a row for each input, with a score or the reason why there is none."""
    status, reason = ("ok", "") if isinstance(found, torch.Tensor) else found
    numbers = found.numpy() if isinstance(found, torch.Tensor) else math.nan
    lowest, highest = metric.range
    return pd.DataFrame(
        {
            "method": method,
            "metric": name,
            "sample": query.sample.cpu().numpy(),
            "target": query.target.cpu().numpy(),
            "score": numbers,
            "higher_is_better": metric.higher_is_better,
            "margin": math.nan if metric.margin is None else metric.margin,
            "resolution": metric.resolution,
            "width": highest - lowest,
            "status": status,
            "reason": reason,
        }
    )


def _warned(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores; warn of what failed, which is no score and no metric that is n/a."""
    fine = ("ok", isolation.NOT_APPLICABLE)
    failed = scores[~scores["status"].isin(fine)].drop_duplicates(["method", "metric"])
    for row in failed.itertuples():
        warnings.warn(f"{row.metric} of {row.method}: {row.status}: {row.reason}", stacklevel=3)
    return scores
