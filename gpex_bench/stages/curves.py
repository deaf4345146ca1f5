"""Stored removal curves → scores, their variants under other fills and outputs, and mean curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gpex_bench.contract import calls, isolation
from gpex_bench.measurements.curves import ORDERS, OUTPUTS, CurveMetric, Curves, Removals
from gpex_bench.statistics.intervals import t_interval
from gpex_bench.tables.columns import (
    CURVE_MEANS,
    FILLS,
    SCORES,
    SKIPPED,
    VARIANT_SCORES,
    VARIANTS,
)
from gpex_bench.tables.order import ordered

# Outputs of a curve whose summaries are compared.
VARIED = ("probability", "logit")


@dataclass(frozen=True)
class Recorded:
    """The curves of one network, method and seed."""

    key: Mapping[str, Any]  # dataset, model, seed, method
    curves: Mapping[Curves, Removals]
    sample: Tensor
    # the fills that differ on this network, each with those that show the same
    fills: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Summaries:
    """What the stored curves of all cells say."""

    scores: pd.DataFrame
    # The headline metric under every fill and output.
    variants: pd.DataFrame
    # Mean and 95 % interval of the other metrics under every fill and output.
    variant_means: pd.DataFrame
    # Mean and 95 % interval of each point.
    means: pd.DataFrame
    # Which fills of the run show the same as another one, on each network.
    fills: pd.DataFrame
    # One row for each network, method and metric that has no scores, with status and reason.
    unscored: pd.DataFrame


def summarise_curves(
    metrics: Mapping[str, CurveMetric], recorded: Iterable[Recorded], headline: str = ""
) -> Summaries:
    """Return the scores, variants and mean curves of all cells.

    Only the headline's variants are kept sample by sample: those of all metrics are millions.

    Args:
        metrics: by run id.
        recorded: cells; those of one network and method follow one another.
        headline: run id of a metric.
    """
    parts = _Parts()
    for place, group in groupby(recorded, _place):
        cells = list(group)
        variants: dict[tuple[str, ...], list[Tensor]] = {}
        for cell in cells:
            parts.fills |= _fill_rows(cell)
            for name, metric in metrics.items():
                try:
                    own, others = _of_metric(metric, cell)
                except Exception as error:
                    parts.unscored.append(_without(cell, name, error))
                    continue
                if own is not None:
                    parts.scores.append(_rows(cell, own, metric=name))
                for one in others:
                    variants.setdefault((name, one.fill, one.output), []).append(one.scores)
                    if name == headline:
                        parts.variants.append(_variant_rows(cell, name, one))

        parts.variant_means.append(_variant_means(place, variants, headline))
        parts.means.append(_means(place, cells))
    return parts.joined()


class _Variant(NamedTuple):
    """The scores of a cell under one fill and output."""

    fill: str
    output: str
    scores: Tensor
    # how far the output moves when everything is replaced: it is the same for every method
    change: Tensor


@dataclass
class _Parts:
    """What is found, cell by cell."""

    scores: list[pd.DataFrame] = field(default_factory=list)
    variants: list[pd.DataFrame] = field(default_factory=list)
    variant_means: list[pd.DataFrame] = field(default_factory=list)
    means: list[pd.DataFrame] = field(default_factory=list)
    fills: dict[tuple[str, ...], None] = field(default_factory=dict)
    unscored: list[dict[str, Any]] = field(default_factory=list)

    def joined(self) -> Summaries:
        """Return the frames."""
        return Summaries(
            scores=_stack(self.scores, SCORES),
            variants=_stack(self.variants, VARIANT_SCORES),
            variant_means=_stack(self.variant_means, VARIANTS),
            means=_stack(self.means, CURVE_MEANS),
            fills=pd.DataFrame(list(self.fills), columns=list(FILLS)),
            unscored=pd.DataFrame(self.unscored, columns=list(SKIPPED)),
        )


def _place(cell: Recorded) -> tuple[Any, ...]:
    """Return dataset, model and method of a cell."""
    return tuple(cell.key[name] for name in ("dataset", "model", "method"))


def _fill_rows(cell: Recorded) -> dict[tuple[str, ...], None]:
    """Return the rows of the fills of a cell's network: each fill, and the one that it shows."""
    network = (cell.key["dataset"], cell.key["model"])
    rows: dict[tuple[str, ...], None] = {}
    for shown, names in cell.fills.items():
        for fill in (shown, *names):
            rows[(*network, fill, shown)] = None
    return rows


def _variant_means(
    place: tuple[Any, ...], variants: Mapping[tuple[str, ...], list[Tensor]], headline: str
) -> pd.DataFrame:
    """Return mean and 95 % interval of each variant of one network and method.

    Those of the headline are worked out from its scores. Student's t over samples; seeds are
    averaged first.
    """
    rows = []
    for (metric, fill, output), seeds in variants.items():
        if metric == headline:
            continue
        # one curve of a single point
        ends = _ends([numbers[None, :, None] for numbers in seeds])
        numbers = {name: float(found[0, 0]) for name, found in ends.items()}
        rows.append((*place, metric, fill, output, *numbers.values()))
    return pd.DataFrame(rows, columns=list(VARIANTS))


def _without(cell: Recorded, metric: str, error: Exception) -> dict[str, Any]:
    """Return the row of a metric that could not be computed from the curves of a cell."""
    outcome = isolation.failure(error)
    key = dict(cell.key)
    reason = f"seed {key.pop('seed')}: {outcome.reason}"
    return key | {"metric": metric, "status": outcome.status, "reason": reason}


def _of_metric(metric: CurveMetric, cell: Recorded) -> tuple[Tensor | None, list[_Variant]]:
    """Return the scores of a cell by one metric, and those of its variants.

    Returns:
        The scores, or None if the curves were not recorded, or are of a number, and the metric
            summarises probabilities; and its variants.
    """
    (own,) = metric.measurements()
    if own not in cell.curves or not cell.curves[own].has(metric.output):
        return None, []

    numbers = metric.summarise(cell.curves[own].of(metric.output))
    # some curves are of the first samples alone
    scores = calls.scores(metric, numbers, cell.sample[: len(numbers)])

    # The same curves under other fills. A metric that names its fill has no variants.
    same = [key for key in cell.curves if key in (own, own.under(key.fill))]
    if metric.fill is not None or len(same) < 2:
        return scores, []

    variants = []
    for key in same:
        removals = cell.curves[key]
        outputs = [output for output in VARIED if removals.has(output)]
        for output in outputs:
            removal = removals.of(output)
            change = (removal.most_first[:, 0] - removal.most_first[:, -1]).abs()
            variants.append(_Variant(key.fill, output, metric.summarise(removal), change))
    return scores, variants


def _rows(cell: Recorded, scores: Tensor, **names: str) -> pd.DataFrame:
    """Return the scores of a cell as rows, one a sample, of the first ones if there are fewer."""
    columns = {"sample": cell.sample[: len(scores)].numpy(), "score": scores.double().numpy()}
    return pd.DataFrame({**cell.key, **names, **columns})


def _variant_rows(cell: Recorded, metric: str, variant: _Variant) -> pd.DataFrame:
    """Return the scores of a cell under one fill and output as rows, one a sample."""
    rows = _rows(cell, variant.scores, metric=metric, fill=variant.fill, output=variant.output)
    return rows.assign(change=variant.change.double().numpy())


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
