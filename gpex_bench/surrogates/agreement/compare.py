"""How well a surrogate stands in for a network: on test samples, on mixtures of them, and outside their distribution.

Mixtures (see `mixing`) reach inputs that no sample resembles; out-of-distribution items (see
`unfamiliar`) are of kinds that never occurred. The statistics are defined in `comparison`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.surrogates.agreement import statistics
from gpex_bench.surrogates.agreement.items import unfamiliar
from gpex_bench.surrogates.agreement.statistics import Outputs
from gpex_bench.surrogates.gpex_fit.mixing import mixed
from gpex_bench.types import Dataset, Model, Surrogate
from gpex_bench.types.passes import in_chunks

ALL = "all"  # the value of `head` for statistics over heads
N_KEPT = 500  # items of a split whose predictions are kept, for figures
SPLITS = ("test", "mixed", "ood")
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
    """Return `agreement` and `predictions`, for which every output is calculated once, on `device`.

    Network and surrogate come back on the CPU.
    """
    model.to(device)
    surrogate.to(device)
    found = {
        split: _outputs(model, surrogate, x, device)
        for split, x in _inputs(data, seed, n_mixed).items()
    }
    model.cpu()
    surrogate.cpu()
    heads = head_names(model, data, found["test"].network.shape[1])
    return _agreement(model, surrogate, data, found, heads), _predictions(model, data, found, heads)


def agreement(
    model: Model, surrogate: Surrogate, data: Dataset, seed: int, n_mixed: int = 2000
) -> pd.DataFrame:
    """Return a long table with the columns split [test, mixed, ood], head, statistic and value; NaN is undefined.

    Per head: `comparison.per_head`, and effective_rank and effective_rank_centred of its kernel,
        which stand with the
    test split but depend on none. Head "all": `comparison.over_heads` with `mean_` and `weakest_`
    of these; where heads are classes also `comparison.of_classes`, and on the test split
    accuracy_network and accuracy_surrogate.
    """
    return compare(model, surrogate, data, seed, n_mixed)[0]


def predictions(
    model: Model, surrogate: Surrogate, data: Dataset, seed: int, n_mixed: int = 2000
) -> pd.DataFrame:
    """Return a long table of the outputs of the first N_KEPT items of each split.

    The columns are split, sample, head, row, column, network, mean and variance. `row` and `column` are the place of a
    head in a map, from 1; they are missing where the heads are no places.

    `sample` is the sample's id on the test split, on the out-of-distribution one that of the sample
    an item was made from (of a table: in whose place it stands), and the number of the mixture on
    the mixed one.
    """
    return compare(model, surrogate, data, seed, n_mixed)[1]


def head_names(model: Model, data: Dataset, n_heads: int) -> list[str]:
    """Return the names of the explained outputs: places of a map, classes, or numbers.

    Raises:
        ValueError: the network's grid has another number of places than there are heads.
    """
    grid = model.grid(data.test.x[:1])
    if grid is None:
        return (
            list(data.classes)
            if n_heads == len(data.classes)
            else [str(head) for head in range(n_heads)]
        )
    if grid[0] * grid[1] != n_heads:
        raise ValueError(
            f"The grid of {type(model).__name__} is {grid[0]} x {grid[1]}, but it has {n_heads} heads."
        )
    return [
        f"row {row + 1}, column {column + 1}" for row in range(grid[0]) for column in range(grid[1])
    ]


def _inputs(data: Dataset, seed: int, n_mixed: int) -> dict[str, Tensor]:
    """Return the inputs of each split."""
    x = data.test.x
    strange = torch.Generator().manual_seed(seed)
    return {
        "test": x,
        "mixed": mixed(x, n_mixed, torch.Generator().manual_seed(seed)),
        "ood": unfamiliar(x, data.train.x, strange),
    }


def _outputs(
    model: Model, surrogate: Surrogate, x: Float[Tensor, "batch *feature"], device: str
) -> Outputs:
    """Return what network and surrogate say, float64."""

    def moments(part: Tensor) -> Tensor:
        posterior = surrogate.posterior(part)
        return torch.stack([posterior.mean, posterior.variance], 1)

    network = in_chunks(model.explained, x, device)
    mean, variance = in_chunks(moments, x, device).double().unbind(1)
    return Outputs(
        network.double().numpy(), mean.contiguous().numpy(), variance.contiguous().numpy()
    )


def _agreement(
    model: Model,
    surrogate: Surrogate,
    data: Dataset,
    found: Mapping[str, Outputs],
    heads: Sequence[str],
) -> pd.DataFrame:
    """Return the long table of statistics."""
    is_classes = model.grid(data.test.x[:1]) is None and len(heads) == len(data.classes) > 1
    table: Table = []
    for split, outputs in found.items():
        columns = statistics.per_head(outputs)
        if split == "test":
            columns |= _ranks(surrogate, len(heads))
        overall = statistics.over_heads(outputs, columns)
        if is_classes:
            overall |= statistics.of_classes(outputs)
        if is_classes and split == "test":
            overall |= _accuracies(outputs, data.test.y.numpy())
        table += [
            (split, head, name, float(number))
            for name, column in columns.items()
            for head, number in zip(heads, column, strict=True)
        ]
        table += [(split, ALL, name, number) for name, number in overall.items()]
    return pd.DataFrame(table, columns=["split", "head", "statistic", "value"])


def _ranks(surrogate: Surrogate, n_heads: int) -> dict[str, np.ndarray]:
    """Return the effective rank of each head's kernel, if the surrogate has one."""
    found = {}
    for name, is_centred in (("effective_rank", False), ("effective_rank_centred", True)):
        rank = surrogate.effective_rank(is_centred)
        if rank is not None:
            found[name] = rank.double().repeat_interleave(n_heads // len(rank)).numpy()
    return found


def _accuracies(found: Outputs, y: np.ndarray) -> dict[str, float]:
    """Return the share of samples on which the label's head is the largest."""
    return {
        "accuracy_network": float((found.network.argmax(axis=1) == y).mean()),
        "accuracy_surrogate": float((found.mean.argmax(axis=1) == y).mean()),
    }


def _places(model: Model, data: Dataset, n_heads: int) -> pd.DataFrame:
    """Return row and column of each head in a map, from 1; missing where the heads are no places."""
    grid = model.grid(data.test.x[:1])
    if grid is None:
        return pd.DataFrame({"row": [pd.NA] * n_heads, "column": [pd.NA] * n_heads}, dtype="Int64")

    row, column = np.indices(grid)
    return pd.DataFrame({"row": row.ravel() + 1, "column": column.ravel() + 1}, dtype="Int64")


def _predictions(
    model: Model, data: Dataset, found: Mapping[str, Outputs], heads: Sequence[str]
) -> pd.DataFrame:
    """Return the long table of predictions."""
    places = _places(model, data, len(heads))
    parts = []
    for split, outputs in found.items():
        kept = min(N_KEPT, len(outputs.network))
        sample = np.arange(kept) if split == "mixed" else data.test.sample.numpy()[:kept]
        part = {
            "split": split,
            "sample": np.repeat(sample, len(heads)),
            "head": np.tile(heads, kept),
            "row": pd.concat([places["row"]] * kept, ignore_index=True),
            "column": pd.concat([places["column"]] * kept, ignore_index=True),
        }
        part |= {
            name: getattr(outputs, name)[:kept].ravel() for name in ("network", "mean", "variance")
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
