"""Stored removal curves → scores, their variants under other fills and outputs, and mean curves. No model pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from gpex_bench.contract import calls
from gpex_bench.measurements.curves import OUTPUTS, CurveMetric, Curves, Removals
from gpex_bench.tables.columns import CURVE_MEANS, SCORES, VARIANT_SCORES
from gpex_bench.tables.order import ordered

VARIED = ("probability", "logit")  # outputs of a curve whose summaries are compared
CONFIDENCE = 0.95


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
    variants: (
        pd.DataFrame
    )  # the same metrics under every fill and output, of the samples that all fills have
    means: pd.DataFrame  # mean and 95 % interval of each point


def summarise_curves(metrics: Mapping[str, CurveMetric], recorded: Iterable[Recorded]) -> Summaries:
    """Return the scores, variants and mean curves of all cells.

    Args:
        metrics: by run id.
        recorded: cells, in any order.
    """
    scores, variants = [], []
    places: dict[tuple[Any, ...], list[Recorded]] = {}
    for cell in recorded:
        places.setdefault(
            tuple(cell.key[name] for name in ("dataset", "model", "method")), []
        ).append(cell)
        for name, metric in metrics.items():
            own, others = _of_metric(metric, cell)
            scores += [] if own is None else [_rows(cell, own, metric=name)]
            variants += [
                _rows(cell, found, metric=name, fill=fill, output=output)
                for fill, output, found in others
            ]
    means = [_means(place, cells) for place, cells in places.items()]
    return Summaries(
        _stack(scores, SCORES), _stack(variants, VARIANT_SCORES), _stack(means, CURVE_MEANS)
    )


def _of_metric(
    metric: CurveMetric, cell: Recorded
) -> tuple[Tensor | None, list[tuple[str, str, Tensor]]]:
    """Return the scores of a cell (None: its curves were not recorded), and (fill, output, scores) of its variants."""
    (own,) = metric.measurements()
    if own not in cell.curves:
        return None, []
    scores = calls.scores(metric, metric.summarise(cell.curves[own].of(metric.output)), cell.sample)
    alike = {
        key: found
        for key, found in cell.curves.items()
        if (key.unit, key.n_steps) == (own.unit, own.n_steps)
    }
    if metric.fill is not None or len(alike) < 2:
        return scores, []
    n_samples = min(found.most_first.shape[1] for found in alike.values())
    variants: list[tuple[str, str, Tensor]] = [
        (key.fill, output, metric.summarise(found.of(output))[:n_samples])
        for key, found in alike.items()
        for output in VARIED
    ]
    return scores, variants


def _rows(cell: Recorded, scores: Tensor, **names: str) -> pd.DataFrame:
    columns = {"sample": cell.sample[: len(scores)].numpy(), "score": scores.double().numpy()}
    return pd.DataFrame({**cell.key, **names, **columns})


def _means(place: tuple[Any, ...], cells: list[Recorded]) -> pd.DataFrame:
    """Return mean and interval (Student's t over samples, seeds averaged first) of each point of the curves."""
    tables = []
    for key in dict.fromkeys(key for cell in cells for key in cell.curves):
        found = [cell.curves[key] for cell in cells if key in cell.curves]
        for order in ("most_first", "least_first"):
            curves = torch.stack([getattr(removals, order) for removals in found]).double().mean(0)
            mean, n_samples = curves.mean(1), curves.shape[1]
            error = curves.std(1) / n_samples**0.5 if n_samples > 1 else torch.zeros_like(mean)
            half = float(stats.t.ppf((1 + CONFIDENCE) / 2, max(1, n_samples - 1))) * error
            for row, output in enumerate(OUTPUTS):
                names = {
                    "unit": key.unit,
                    "fill": key.fill,
                    "n_steps": key.n_steps,
                    "output": output,
                    "order": order,
                }
                ends = {
                    "mean": mean[row],
                    "low": mean[row] - half[row],
                    "high": mean[row] + half[row],
                }
                numbers = {"fraction": found[0].fraction} | ends
                arrays = {
                    name: np.asarray(tensor.double().numpy()) for name, tensor in numbers.items()
                }
                table = (
                    dict(zip(("dataset", "model", "method"), place, strict=True)) | names | arrays
                )
                tables.append(pd.DataFrame(table | {"n_samples": n_samples}))
    return (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(CURVE_MEANS))
    )


def _stack(parts: list[pd.DataFrame], columns: Iterable[str]) -> pd.DataFrame:
    full = [part for part in parts if len(part)]
    return ordered(
        pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=list(columns))
    )
