"""Stored removal curves → scores, their variants under other fills and outputs, and mean curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gpex_bench.contract import calls, isolation
from gpex_bench.measurements.curves import ORDERS, OUTPUTS, CurveMetric, Curves, Removals
from gpex_bench.statistics.intervals import t_interval
from gpex_bench.tables.columns import CURVE_MEANS, SCORES, SKIPPED, VARIANT_SCORES
from gpex_bench.tables.order import ordered

# Outputs of a curve whose summaries are compared.
VARIED = ("probability", "logit")


@dataclass(frozen=True)
class Recorded:
    """The curves of one network, method and seed."""

    key: Mapping[str, Any]  # dataset, model, seed, method
    curves: Mapping[Curves, Removals]
    sample: Tensor  # of all samples; curves under other fills are of the first ones


@dataclass(frozen=True)
class Summaries:
    """What the stored curves of all cells say."""

    scores: pd.DataFrame
    # The same metrics under every fill and output, of the samples that all fills have.
    variants: pd.DataFrame
    # Mean and 95 % interval of each point.
    means: pd.DataFrame
    # One row for each network, method and metric that has no scores, with status and reason.
    unscored: pd.DataFrame


def summarise_curves(metrics: Mapping[str, CurveMetric], recorded: Iterable[Recorded]) -> Summaries:
    """Return the scores, variants and mean curves of all cells.

    Args:
        metrics: by run id.
        recorded: cells, in any order.
    """
    scores, variants, unscored = [], [], []
    places: dict[tuple[Any, ...], list[Recorded]] = {}
    for cell in recorded:
        place = tuple(cell.key[name] for name in ("dataset", "model", "method"))
        places.setdefault(place, []).append(cell)

        for name, metric in metrics.items():
            try:
                own, others = _of_metric(metric, cell)
            except Exception as error:
                unscored.append(_without(cell, name, error))
                continue
            if own is not None:
                scores.append(_rows(cell, own, metric=name))
            for fill, output, numbers, change in others:
                rows = _rows(cell, numbers, metric=name, fill=fill, output=output)
                variants.append(rows.assign(change=change.double().numpy()))

    means = [_means(place, cells) for place, cells in places.items()]
    return Summaries(
        scores=_stack(scores, SCORES),
        variants=_stack(variants, VARIANT_SCORES),
        means=_stack(means, CURVE_MEANS),
        unscored=pd.DataFrame(unscored, columns=list(SKIPPED)),
    )


def _without(cell: Recorded, metric: str, error: Exception) -> dict[str, Any]:
    """Return the row of a metric that could not be computed from the curves of a cell."""
    outcome = isolation.failure(error)
    key = dict(cell.key)
    reason = f"seed {key.pop('seed')}: {outcome.reason}"
    return key | {"metric": metric, "status": outcome.status, "reason": reason}


def _of_metric(
    metric: CurveMetric, cell: Recorded
) -> tuple[Tensor | None, list[tuple[str, str, Tensor, Tensor]]]:
    """Return the scores of a cell by one metric, and those of its variants.

    Returns:
        The scores, or None if the curves were not recorded, or are of a number, and the metric
            summarises probabilities; and (fill, output, scores, change) of each variant, of the
            samples that the curves of all fills have. `change` is how far the output moves when
            everything is replaced: it is the same for every method.
    """
    (own,) = metric.measurements()
    if own not in cell.curves or not cell.curves[own].has(metric.output):
        return None, []

    numbers = metric.summarise(cell.curves[own].of(metric.output))
    scores = calls.scores(metric, numbers, cell.sample)

    # The same curves under other fills. A metric that names its fill has no variants.
    alike = {
        key: removals
        for key, removals in cell.curves.items()
        if (key.unit, key.n_steps) == (own.unit, own.n_steps)
    }
    if metric.fill is not None or len(alike) < 2:
        return scores, []

    n_samples = min(removals.most_first.shape[1] for removals in alike.values())
    variants: list[tuple[str, str, Tensor, Tensor]] = []
    for key, removals in alike.items():
        for output in VARIED:
            if not removals.has(output):
                continue
            removal = removals.of(output)
            numbers = metric.summarise(removal)[:n_samples]
            change = (removal.most_first[:, 0] - removal.most_first[:, -1]).abs()[:n_samples]
            variants.append((key.fill, output, numbers, change))
    return scores, variants


def _rows(cell: Recorded, scores: Tensor, **names: str) -> pd.DataFrame:
    """Return the scores of a cell as rows: one a sample, of the first ones if there are fewer."""
    columns = {"sample": cell.sample[: len(scores)].numpy(), "score": scores.double().numpy()}
    return pd.DataFrame({**cell.key, **names, **columns})


def _means(place: tuple[Any, ...], cells: list[Recorded]) -> pd.DataFrame:
    """Return mean and 95 % interval of each point of the curves of one network and method.

    Student's t over samples; seeds are averaged first, as the sample is the unit.
    """
    tables = []
    kinds = dict.fromkeys(key for cell in cells for key in cell.curves)
    for key in kinds:
        seeds = [cell.curves[key] for cell in cells if key in cell.curves]
        for order in ORDERS:
            ends = _ends([getattr(removals, order) for removals in seeds])
            for row, output in enumerate(OUTPUTS):
                if not seeds[0].has(output):
                    continue
                table = dict(zip(("dataset", "model", "method"), place, strict=True))
                table |= {"unit": key.unit, "fill": key.fill, "n_steps": key.n_steps}
                table |= {"output": output, "order": order}
                table |= {"fraction": seeds[0].fraction.double().numpy()}
                table |= {name: numbers[row] for name, numbers in ends.items()}
                tables.append(pd.DataFrame(table | {"n_samples": seeds[0].most_first.shape[1]}))
    return pd.concat(tables, ignore_index=True) if tables else _empty(CURVE_MEANS)


def _ends(seeds: list[Tensor]) -> dict[str, np.ndarray]:
    """Return mean, low and high over samples, each [output, point], of one curve for each seed."""
    # Seeds first: the sample is the unit.
    curves = torch.stack(seeds).double().mean(0)
    n_samples = curves.shape[1]
    mean = curves.mean(1)

    # One sample has no spread: its interval is a point.
    error = torch.zeros_like(mean)
    if n_samples > 1:
        error = curves.std(1) / n_samples**0.5

    degrees = max(1, n_samples - 1)
    low, high = t_interval(mean.numpy(), error.numpy(), degrees)
    return {"mean": mean.numpy(), "low": low, "high": high}


def _stack(parts: list[pd.DataFrame], columns: Iterable[str]) -> pd.DataFrame:
    """Return the parts below one another, in the order of their keys."""
    full = [part for part in parts if len(part)]
    return ordered(pd.concat(full, ignore_index=True) if full else _empty(columns))


def _empty(columns: Iterable[str]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))
