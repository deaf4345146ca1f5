"""Gaussian processes on a feature map, conditioned on training samples: what every weight-space recipe ends with.

`conditioned` makes one by an exact streaming pass; `restored` reads one back. The feature map
decides the kernel (k = f . f), and with it which recipe it is: a learned map, the network's own
embedding, its tangent kernel, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gpex_bench.surrogates.gp import posterior
from gpex_bench.surrogates.gp.evidence import evidence_noise
from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.surrogates.gp.row_store import LEVELS
from gpex_bench.surrogates.gp.streaming import streamed
from gpex_bench.surrogates.gp.weight_space_surrogate import BUFFERS, SUMS, WeightSpaceSurrogate
from gpex_bench.types import Dataset, Model
from gpex_bench.types.passes import in_chunks

BLOCK = 8192  # rows that are decoded at a time
Rows = Literal["float32", "int16"]


def conditioned(  # noqa: PLR0913 - options by keyword
    features: FeatureMap,
    model: Model,
    data: Dataset,
    noise: Float[Tensor, "group"] | None = None,
    *,
    index: Int[Tensor, "m"] | None = None,
    units: tuple[Float64[Tensor, "head"], Float64[Tensor, "head"]] | None = None,
    kind: Rows = "float32",
    device: str = "cpu",
) -> WeightSpaceSurrogate:
    """Return the processes conditioned on all training samples exactly; network and features are on `device`.

    Or on those of `index`. `units` are offset and scale of the targets, None those that standardise
    them. `kind`: rows as the feature map gives them, or as 16-bit fixed-point numbers in steps of
    the largest over 32767, per dimension. That takes a second pass over the samples. The sums are
    those of the rounded rows, so that what is said of single rows fits the posterior exactly; the
    mean of x is taken at embeddings that are not rounded.

    Samples pass in blocks; rows, targets and the samples stay in memory, on the CPU. `noise` is the
    variance s2 of each group, in units of the standardised targets squared; None takes the one with
    the largest evidence.

    Raises:
        ValueError: the network has no heads, outputs or embeddings are not finite, or the noise is
            not positive.
    """
    features.eval().requires_grad_(False)
    n_train = len(data.train.x)
    x = data.train.x if index is None else data.train.x[index]
    y = in_chunks(model.explained, x, device)
    offset, scale = posterior.target_units(y) if units is None else units
    rows, unit = _stored(features, x, kind, device)
    v = posterior.standardised(y, offset, scale)
    folded = posterior.grouped(v, rows.shape[1])
    sums = streamed(
        (part * unit if kind == "int16" else part, targets)
        for part, targets in zip(rows.split(BLOCK), folded.split(BLOCK), strict=True)
    )
    if features.grid(x[:1].to(device)) is None:
        centre = (sum(part.double().sum(0) for part in rows.split(BLOCK)) * unit / len(x))[
            ..., None
        ]
    else:
        totals = in_chunks(
            lambda part: features.locations(part).double().sum(0, keepdim=True), x, device
        )
        centre = totals.sum(0) / len(x)
    state = posterior.condition(
        sums, evidence_noise(sums) if noise is None else noise.cpu(), offset, scale
    )
    precision = torch.float32 if kind == "int16" else rows.dtype
    buffers = {
        "rows": rows,
        "unit": unit,
        "targets": v,
        "centre": centre.to(precision),
        "noise": state.noise,
    }
    buffers |= {
        "index": torch.arange(n_train) if index is None else index,
        "n_train": torch.tensor(n_train),
    }
    buffers |= {"offsets": state.offset, "scale": state.scale} | {
        name: getattr(sums, name) for name in SUMS
    }
    return WeightSpaceSurrogate(features.cpu(), buffers).eval()


def restored(
    features: FeatureMap, data: Dataset, state: Mapping[str, Tensor], owner: str
) -> WeightSpaceSurrogate:
    """Return the surrogate whose state_dict this is; `features` are of its kind, and `owner` is named in errors.

    Raises:
        ValueError: the state belongs to something else, or is damaged.
    """
    try:
        _check_fit(features, data, state)
        surrogate = WeightSpaceSurrogate(
            features, {name: torch.empty_like(state[name]) for name in BUFFERS}
        )
        surrogate.load_state_dict(dict(state))
        posterior.condition(
            surrogate.state.statistics, surrogate.noise, surrogate.offsets, surrogate.scale
        )
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"This is not the state of {owner}: {error}") from error
    return surrogate.requires_grad_(False).eval()


def _check_fit(features: FeatureMap, data: Dataset, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the tensors of a state fit the training samples, their embeddings and one another."""
    with torch.no_grad():
        n_groups, dim = features(data.train.x[:1]).shape[1:]
    n_heads = state["offsets"].numel()
    n_out = len(posterior.grouped(state["offsets"].reshape(1, -1), n_groups)[0, 0])
    groups = {"a": (dim, dim), "b": (dim, n_out), "c": (n_out,), "noise": ()}
    expected = {name: (n_groups, *shape) for name, shape in groups.items()}
    n = len(state["index"])
    if int(state["n_train"]) != len(data.train.x) or int(state["index"].max()) >= len(data.train.x):
        raise ValueError(
            f"it has inducing points that data.train, with {len(data.train.x)} samples, lacks"
        )
    expected |= {
        "rows": (n, n_groups, dim),
        "unit": (n_groups, dim),
        "targets": (n, n_heads),
        "count": (),
    }
    expected |= {
        "offsets": (n_heads,),
        "scale": (n_heads,),
        "centre": (n_groups, dim, *state["centre"].shape[2:]),
    }
    for name, shape in expected.items():
        tensor = state[name]
        if tensor.shape != shape or (
            name not in ("rows", "centre") and tensor.dtype != torch.float64
        ):
            raise ValueError(
                f"{name} must be {tuple(shape)}, got {tuple(tensor.shape)}, {tensor.dtype}."
            )
        if not tensor.isfinite().all():
            raise ValueError(f"{name} must be finite.")


def _stored(
    features: FeatureMap, x: Float[Tensor, "n *feature"], kind: Rows, device: str
) -> tuple[Tensor, Float64[Tensor, "group dim"]]:
    """Return the embeddings [n, group, dim] as they are stored, and what their numbers are multiplied by.

    Raises:
        ValueError: an embedding that is not finite (int16; `streamed` looks at the others).
    """
    if kind == "float32":
        rows = in_chunks(features, x, device)
        return rows, torch.ones(rows.shape[1:], dtype=torch.float64)
    largest = (
        in_chunks(lambda part: features(part).abs().amax(0, keepdim=True), x, device)
        .amax(0)
        .double()
    )
    if not largest.isfinite().all():
        raise ValueError(
            "u must be finite, got an embedding that is not; look at the network and its feature map."
        )
    unit = torch.where(largest > 0, largest / LEVELS, 1.0)

    def encoded(part: Tensor) -> Tensor:
        return (
            (features(part).double() / unit.to(part.device))
            .round()
            .clamp(-LEVELS, LEVELS)
            .to(torch.int16)
        )

    return in_chunks(encoded, x, device), unit
