"""How well a surrogate stands in for a network: on test samples and on mixtures of them.

Mixtures (see `mixing`) reach inputs that no sample resembles; agreement there is the harder question.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.surrogates.mixing import mixed
from gpex_bench.types import Dataset, Model, Surrogate

Z90 = 1.6448536269514722  # half-width of a central 90 % interval in standard deviations
CHUNK = 500
ALL = "all"  # the value of `head` for statistics over heads


def agreement(model: Model, surrogate: Surrogate, data: Dataset, seed: int, n_mixed: int = 2000) -> pd.DataFrame:
    """Return a long table with the columns split [test, mixed], head, statistic and value.

    Per head: pearson in [-1, 1], r2 (1 is perfect, below 0 is worse than the mean), rmse_sd (root mean squared error in
    units of the network's standard deviation of this output on this split) and coverage_90 (share of network outputs
    in the surrogate's 90 % interval). Where the network's output is constant, the first three are undefined: NaN. Where
    only the surrogate's is constant, pearson is 0: it follows nothing of what varies.

    Head "all": mean and smallest of pearson and r2 over the heads that vary (mean_*, weakest_*; NaN if none does),
    argmax_agreement, and on the test split accuracy_network and accuracy_surrogate where heads are classes.
    """
    table = []
    for split, x, y in _splits(data, seed, n_mixed):
        network, mean, variance = _outputs(model, surrogate, x)
        per_head = _per_head(network, mean, variance)
        table += _long(split, _heads(data, network.shape[1]), per_head)
        overall = _overall(per_head, network, mean)
        if y is not None and network.shape[1] == len(data.classes):
            overall["accuracy_network"] = float((network.argmax(1) == y).mean())
            overall["accuracy_surrogate"] = float((mean.argmax(1) == y).mean())
        table += _long(split, [ALL], {name: np.array([number]) for name, number in overall.items()})
    return pd.DataFrame(table, columns=["split", "head", "statistic", "value"])


def predictions(model: Model, surrogate: Surrogate, data: Dataset, seed: int, n_mixed: int = 2000) -> pd.DataFrame:
    """Return a long table with the columns split, sample, head, network, mean and variance.

    `sample` is the sample's id on the test split and the number of the mixture on the mixed one.
    """
    parts = []
    for split, x, _ in _splits(data, seed, n_mixed):
        network, mean, variance = _outputs(model, surrogate, x)
        n_heads = network.shape[1]
        sample = data.test.sample.numpy() if split == "test" else np.arange(len(x))
        part = {
            "split": split,
            "sample": np.repeat(sample, n_heads),
            "head": np.tile(_heads(data, n_heads), len(x)),
            "network": network.ravel(),
            "mean": mean.ravel(),
            "variance": variance.ravel(),
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _splits(data: Dataset, seed: int, n_mixed: int) -> Iterator[tuple[str, Tensor, np.ndarray | None]]:
    """Yield the name, inputs and labels (if there are any) of each split."""
    yield "test", data.test.x, data.test.y.numpy()
    yield "mixed", mixed(data.test.x, n_mixed, torch.Generator().manual_seed(seed)), None


def _outputs(
    model: Model, surrogate: Surrogate, x: Float[Tensor, "batch *feature"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the network's outputs, the surrogate's mean and its variance, [batch, head], float64."""
    with torch.no_grad():
        network = torch.cat([model.explained(part) for part in x.split(CHUNK)])
        posterior = [surrogate.posterior(part) for part in x.split(CHUNK)]
    mean, variance = torch.cat([part.mean for part in posterior]), torch.cat([part.variance for part in posterior])
    if mean.shape != network.shape:
        raise ValueError(f"The network has outputs {tuple(network.shape)}, the surrogate {tuple(mean.shape)}.")
    return network.double().numpy(), mean.double().numpy(), variance.double().numpy()


def _per_head(network: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> dict[str, np.ndarray]:
    """Return each statistic per head."""
    truth, guess = network - network.mean(0), mean - mean.mean(0)
    varies = _varies(network)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (truth * guess).sum(0) / np.sqrt((truth**2).sum(0) * (guess**2).sum(0))
        rmse = np.sqrt(((mean - network) ** 2).mean(0)) / network.std(0)
    return {
        "pearson": np.where(varies, np.where(_varies(mean), r, 0.0), np.nan),
        "r2": np.where(varies, 1 - rmse**2, np.nan),
        "rmse_sd": np.where(varies, rmse, np.nan),
        "coverage_90": (np.abs(mean - network) <= Z90 * np.sqrt(variance)).mean(0),
    }


def _varies(values: np.ndarray) -> np.ndarray:
    """Return whether each column varies by more than the rounding of float32, in which the outputs are calculated."""
    varies: np.ndarray = np.ptp(values, axis=0) > 4 * np.finfo(np.float32).eps * np.abs(values).max(axis=0)
    return varies


def _overall(per_head: dict[str, np.ndarray], network: np.ndarray, mean: np.ndarray) -> dict[str, float]:
    """Return the statistics over heads."""
    overall = {"argmax_agreement": float((network.argmax(1) == mean.argmax(1)).mean())}
    for name in ("pearson", "r2"):
        defined = per_head[name][~np.isnan(per_head[name])]
        overall[f"mean_{name}"] = float(defined.mean()) if len(defined) else np.nan
        overall[f"weakest_{name}"] = float(defined.min()) if len(defined) else np.nan
    return overall


def _heads(data: Dataset, n_heads: int) -> list[str]:
    """Return the names of the heads: the classes, or numbers if the heads are no classes."""
    return list(data.classes) if n_heads == len(data.classes) else [str(head) for head in range(n_heads)]


def _long(split: str, heads: list[str], values: dict[str, np.ndarray]) -> list[tuple[str, str, str, float]]:
    """Return one row per head and statistic."""
    return [
        (split, head, name, float(number))
        for name, column in values.items()
        for head, number in zip(heads, column, strict=True)
    ]
