"""How well a surrogate agrees with its network: on test samples, mixtures of them, and elsewhere.

Mixtures (see `mixing`) reach inputs that no sample resembles; out-of-distribution items (see
`items`) are of kinds that never occurred. The statistics are defined in `statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.surrogates.agreement import statistics
from gpex_bench.surrogates.agreement.items import unfamiliar
from gpex_bench.surrogates.agreement.statistics import Outputs
from gpex_bench.surrogates.gpex_fit.mixing import mixed
from gpex_bench.types import Dataset, Kind, Model, Surrogate
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.performance import performance
from gpex_bench.types.strata import drawn

CALIBRATED = "calibrated_"  # begins the names of statistics of calibrated variances
# how the names of those statistics begin that are about the variance
OF_VARIANCE = ("nll", "coverage_", "auroc", "spearman")
ALL = "all"  # the value of `head` for statistics over heads
N_KEPT = 500  # items of a split whose predictions are kept, for figures
Table = list[tuple[str, str, str, float]]


def compare(  # noqa: PLR0913 - one option by keyword
    model: Model,
    surrogate: Surrogate,
    data: Dataset,
    seed: int,
    n_mixed: int = 2000,
    *,
    device: str = "cpu",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how well a surrogate agrees with its network, and the predictions of both.

    Network and surrogate are applied on `device` and come back on the CPU.

    The first table is long, with the columns split (test, mixed or ood), head, statistic and value;
    NaN is undefined. Per head it has the statistics of `statistics.per_head`, and those of
    intervals once more with calibrated variances (`calibrated_coverage_90`; NaN where there is no
    factor); on the test split effective_rank and effective_rank_centred of the head's kernel, which
    depend on no split. Head
    "all" has those of `statistics.over_heads`; where heads are the network's own outputs also those
    that its kind of target has (`of_classes`, `of_one_logit`, `of_labels`), and on the test split
    what `types.performance` says of the network and of the surrogate, as accuracy_network and
    accuracy_surrogate.

    The second table has the columns split, sample, head, row, column, network, mean, variance and
    calibrated_variance, of N_KEPT items a split (`types.strata`). `sample` is the sample's id on
    the test split; on the out-of-distribution split that of the sample an item was made from (of a
    table: which it replaces); on the mixed split the number of the mixture. `row` and `column` are
    the place of a head in a map, from 1; they are missing where the heads are no places.
    """
    model.to(device)
    surrogate.to(device)
    outputs = {}
    for split, x in _inputs(data, seed, n_mixed).items():
        outputs[split] = _outputs(model, surrogate, x, device)
    model.cpu()
    surrogate.cpu()

    heads = head_names(model, data, outputs["test"].network.shape[1])
    agreement = _agreement(model, surrogate, data, outputs, heads)
    return agreement, _predictions(model, surrogate, data, outputs, heads)


def head_names(model: Model, data: Dataset, n_heads: int) -> list[str]:
    """Return the names of the explained outputs: places of a map, classes, or numbers.

    The one logit of two classes has the name of the second one.

    Raises:
        ValueError: the network's grid has another number of places than there are heads.
    """
    grid = model.grid(data.test.x[:1])
    if grid is None and n_heads == len(data.classes):
        return list(data.classes)
    if grid is None and has_one_logit(data, n_heads):
        return [data.classes[1]]
    if grid is None:
        return [str(head) for head in range(n_heads)]

    rows, columns = grid
    if rows * columns != n_heads:
        name = type(model).__name__
        raise ValueError(
            f"{name}: its grid of {rows} x {columns} must match its heads, got {n_heads}."
        )
    places = product(range(1, rows + 1), range(1, columns + 1))
    return [f"row {row}, column {column}" for row, column in places]


def _inputs(data: Dataset, seed: int, n_mixed: int) -> dict[str, Tensor]:
    """Return the inputs of each split."""
    x = data.test.x
    return {
        "test": x,
        "mixed": mixed(x, n_mixed, torch.Generator().manual_seed(seed)),
        "ood": unfamiliar(x, data.train.x, torch.Generator().manual_seed(seed)),
    }


def _outputs(
    model: Model, surrogate: Surrogate, x: Float[Tensor, "batch *feature"], device: str
) -> Outputs:
    """Return the predictions of network and surrogate, float64."""

    def moments(part: Tensor) -> Tensor:
        posterior = surrogate.posterior(part)
        return torch.stack([posterior.mean, posterior.variance], 1)

    network = in_chunks(model.explained, x, device)
    mean, variance = in_chunks(moments, x, device).double().unbind(1)
    return Outputs(
        network=network.double().numpy(),
        mean=mean.contiguous().numpy(),
        variance=variance.contiguous().numpy(),
    )


def _agreement(
    model: Model,
    surrogate: Surrogate,
    data: Dataset,
    found: Mapping[str, Outputs],
    heads: Sequence[str],
) -> pd.DataFrame:
    """Return the long table of statistics."""
    is_map = model.grid(data.test.x[:1]) is not None
    is_choice = len(heads) > 1 and (is_map or data.kind is Kind.CLASSES)
    is_own = not is_map and (len(heads) == len(data.classes) or has_one_logit(data, len(heads)))
    table: Table = []
    for split, outputs in found.items():
        columns = _per_head(surrogate, outputs)
        if split == "test":
            columns |= _ranks(surrogate, len(heads))

        overall = statistics.over_heads(outputs, columns, is_choice)
        if is_own:
            overall |= _of_kind(outputs, data.kind)
        if is_own and split == "test":
            overall |= _performances(outputs, data)

        for name, column in columns.items():
            for head, number in zip(heads, column, strict=True):
                table.append((split, head, name, float(number)))
        for name, number in overall.items():
            table.append((split, ALL, name, number))
    return pd.DataFrame(table, columns=["split", "head", "statistic", "value"])


def _per_head(surrogate: Surrogate, outputs: Outputs) -> dict[str, np.ndarray]:
    """Return the statistics of each head; those of a variance are NaN where it is of no error."""
    columns = statistics.per_head(outputs)
    if surrogate.no_intervals:
        unknown = np.full(outputs.network.shape[1], np.nan)
        columns |= {name: unknown for name in columns if name.startswith(OF_VARIANCE)}

    calibrated = replace(outputs, variance=_calibrated(surrogate, outputs.variance))
    of_intervals = statistics.of_intervals(calibrated)
    return columns | {f"{CALIBRATED}{name}": column for name, column in of_intervals.items()}


def _calibrated(surrogate: Surrogate, variance: np.ndarray) -> np.ndarray:
    """Return calibrated variances, NaN without a factor."""
    factor = surrogate.interval_factor
    if factor is None:
        return np.full_like(variance, np.nan)
    return variance * factor.cpu().double().numpy()


def _ranks(surrogate: Surrogate, n_heads: int) -> dict[str, np.ndarray]:
    """Return the effective rank of each head's kernel, if the surrogate has one."""
    ranks = {}
    for name, is_centred in (("effective_rank", False), ("effective_rank_centred", True)):
        rank = surrogate.effective_rank(is_centred)
        if rank is not None:
            heads_per_kernel = n_heads // len(rank)
            ranks[name] = rank.double().repeat_interleave(heads_per_kernel).numpy()
    return ranks


def has_one_logit(data: Dataset, n_heads: int) -> bool:
    """Return whether the heads of a network are the one logit of two classes."""
    return data.kind is Kind.CLASSES and len(data.classes) == 2 and n_heads == 1


def _of_kind(found: Outputs, kind: Kind) -> dict[str, float]:
    """Return the statistics that the outputs of a kind of target have."""
    if kind is Kind.NUMBER:
        return {}
    if kind is Kind.LABELS:
        return statistics.of_labels(found)
    is_one_logit = found.network.shape[1] == 1
    return statistics.of_one_logit(found) if is_one_logit else statistics.of_classes(found)


def _performances(found: Outputs, data: Dataset) -> dict[str, float]:
    """Return how well network and surrogate do on the targets of the test split."""
    result: dict[str, float] = {}
    for who, outputs in (("network", found.network), ("surrogate", found.mean)):
        reached = performance(torch.from_numpy(outputs), data.test.y, data.kind)
        result |= {f"{name}_{who}": number for name, number in reached.items()}
    return result


def _places(model: Model, data: Dataset, n_heads: int) -> pd.DataFrame:
    """Return row and column of each head in a map, from 1; missing where heads are no places."""
    grid = model.grid(data.test.x[:1])
    if grid is None:
        missing = [pd.NA] * n_heads
        return pd.DataFrame({"row": missing, "column": missing}, dtype="Int64")

    row, column = np.indices(grid)
    return pd.DataFrame({"row": row.ravel() + 1, "column": column.ravel() + 1}, dtype="Int64")


def _predictions(
    model: Model,
    surrogate: Surrogate,
    data: Dataset,
    found: Mapping[str, Outputs],
    heads: Sequence[str],
) -> pd.DataFrame:
    """Return the long table of predictions."""
    places = _places(model, data, len(heads))
    parts = []
    for split, outputs in found.items():
        n_kept = min(N_KEPT, len(outputs.network))
        kept, sample = np.arange(n_kept), np.arange(n_kept)
        if split != "mixed":
            kept = drawn(data.test, data.kind, n_kept).sort().values.numpy()
            sample = data.test.sample.numpy()[kept]
        part = {
            "split": split,
            "sample": np.repeat(sample, len(heads)),
            "head": np.tile(heads, n_kept),
            "row": pd.concat([places["row"]] * n_kept, ignore_index=True),
            "column": pd.concat([places["column"]] * n_kept, ignore_index=True),
            "network": outputs.network[kept].ravel(),
            "mean": outputs.mean[kept].ravel(),
            "variance": outputs.variance[kept].ravel(),
            "calibrated_variance": _calibrated(surrogate, outputs.variance[kept]).ravel(),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
