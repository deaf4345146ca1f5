"""Gaussian processes on a feature map, conditioned on training samples.

`conditioned` makes one by an exact streaming pass; `restored` reads one back. The feature map
decides the kernel (k = f . f), and with it which recipe it is: a learned map, the network's own
embedding, its tangent kernel, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from gpex_bench.types.batches import in_chunks

BLOCK = 8192  # rows that are decoded at a time
Rows = Literal["float32", "int16"]
Units = tuple[Float64[Tensor, "head"], Float64[Tensor, "head"]]
# of a state; the other tensors are float64
FREE_TYPES = ("rows", "centre")


def conditioned(  # noqa: PLR0913 - options by keyword
    features: FeatureMap,
    model: Model,
    data: Dataset,
    noise: Float[Tensor, "group"] | None = None,
    *,
    index: Int[Tensor, "m"] | None = None,
    units: Units | None = None,
    outputs: Float[Tensor, "n head"] | None = None,
    kind: Rows = "float32",
    device: str = "cpu",
) -> WeightSpaceSurrogate:
    """Return the processes conditioned on training samples exactly.

    Samples pass in blocks; rows, targets and the samples stay in memory, on the CPU. The sums are
    those of the rows as they are stored, so that what is derived from single rows fits the
    posterior exactly. Their mean over images is taken before they are rounded.

    Args:
        features: the feature map, on `device`.
        model: the network, on `device`.
        data: whose training samples are the inducing points.
        noise: variance s2 of each group, of standardised targets; None takes the likeliest.
        index: the training samples to condition on; None takes all.
        units: offset and scale of the targets; None standardises them.
        outputs: the network's explained outputs at these samples, on the CPU; None asks it.
        kind: how rows are stored: float32 as the feature map gives them, or int16 as fixed-point
            numbers in steps of the largest over 32767, per dimension. That takes a second pass.
        device: where the network and the feature map are applied.

    Raises:
        ValueError: the network has no heads, outputs or embeddings are not finite, or the noise is
            not positive.
    """
    features.eval().requires_grad_(False)
    n_train = len(data.train.x)
    x = data.train.x if index is None else data.train.x[index]

    y = in_chunks(model.explained, x, device) if outputs is None else outputs
    offset, scale = posterior.target_units(y) if units is None else units
    v = posterior.standardised(y, offset, scale)

    rows, unit, centre = _rows(features, x, kind, device)
    sums = streamed(_blocks(rows, unit, v, kind))
    noise = evidence_noise(sums) if noise is None else noise.cpu()
    state = posterior.condition(sums, noise, offset, scale)

    buffers = {
        "rows": rows,
        "unit": unit,
        "targets": v,
        "centre": centre.to(torch.float32 if kind == "int16" else rows.dtype),
        "noise": state.noise,
        "index": torch.arange(n_train) if index is None else index,
        "n_train": torch.tensor(n_train),
        "offsets": state.offset,
        "scale": state.scale,
    }
    buffers |= {name: getattr(sums, name) for name in SUMS}
    return WeightSpaceSurrogate(features.cpu(), buffers).eval()


def restored(
    features: FeatureMap, data: Dataset, state: Mapping[str, Tensor], owner: str
) -> WeightSpaceSurrogate:
    """Return the surrogate whose state_dict this is.

    Args:
        features: a feature map of the state's kind.
        data: the dataset that the surrogate was fitted on.
        state: the state_dict.
        owner: whose state it should be; named in errors.

    Raises:
        ValueError: the state belongs to something else, or is damaged.
    """
    try:
        _check_fit(features, data, state)
        empty = {name: torch.empty_like(state[name]) for name in BUFFERS}
        surrogate = WeightSpaceSurrogate(features, empty)
        surrogate.load_state_dict(dict(state))

        # checks noise and scale
        sums = surrogate.state.statistics
        posterior.condition(sums, surrogate.noise, surrogate.offsets, surrogate.scale)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"This is not the state of {owner}: {error}") from error
    return surrogate.requires_grad_(False).eval()


def _check_fit(features: FeatureMap, data: Dataset, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless a state fits the training samples, their embeddings and itself."""
    n_train = len(data.train.x)
    if int(state["n_train"]) != n_train or int(state["index"].max()) >= n_train:
        raise ValueError(
            f"it has inducing points that data.train, with {n_train} samples, does not have"
        )

    with torch.no_grad():
        n_groups, dim = features(data.train.x[:1]).shape[1:]
    for name, shape in _shapes(state, n_groups, dim).items():
        tensor = state[name]
        is_type_wrong = name not in FREE_TYPES and tensor.dtype != torch.float64
        if tensor.shape != shape or is_type_wrong:
            found = f"{tuple(tensor.shape)}, {tensor.dtype}"
            raise ValueError(f"{name} must be {tuple(shape)}, got {found}.")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} must be finite.")


def _shapes(state: Mapping[str, Tensor], n_groups: int, dim: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the tensors of a state must have."""
    n = len(state["index"])
    n_heads = state["offsets"].numel()
    n_out = posterior.grouped(state["offsets"].reshape(1, -1), n_groups).shape[2]
    return {
        "a": (n_groups, dim, dim),
        "b": (n_groups, dim, n_out),
        "c": (n_groups, n_out),
        "noise": (n_groups,),
        "rows": (n, n_groups, dim),
        "unit": (n_groups, dim),
        "targets": (n, n_heads),
        "count": (),
        "offsets": (n_heads,),
        "scale": (n_heads,),
        "centre": (n_groups, dim, *state["centre"].shape[2:]),
    }


def _stored(
    features: FeatureMap, x: Float[Tensor, "n *feature"], kind: Rows, device: str
) -> tuple[Tensor, Float64[Tensor, "group dim"]]:
    """Return the embeddings [n, group, dim] as they are stored, and the unit of their numbers.

    Raises:
        ValueError: an embedding that is not finite (int16; `streamed` looks at the others).
    """
    if kind == "float32":
        rows = in_chunks(features, x, device)
        return rows, torch.ones(rows.shape[1:], dtype=torch.float64)

    def largest_of(part: Tensor) -> Tensor:
        return features(part).abs().amax(0, keepdim=True)

    largest = in_chunks(largest_of, x, device).amax(0).double()
    if not largest.isfinite().all():
        raise ValueError(
            "u must be finite, got an embedding that is not; "
            "look at the network and its feature map."
        )
    unit = torch.where(largest > 0, largest / LEVELS, 1.0)

    def encoded(part: Tensor) -> Tensor:
        steps = (features(part).double() / unit.to(part.device)).round()
        return steps.clamp(-LEVELS, LEVELS).to(torch.int16)

    return in_chunks(encoded, x, device), unit


def _blocks(
    rows: Tensor, unit: Tensor, v: Float64[Tensor, "n head"], kind: Rows
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield blocks of embeddings, decoded, and of their targets."""
    targets = posterior.grouped(v, rows.shape[1])
    for part, v_part in zip(rows.split(BLOCK), targets.split(BLOCK), strict=True):
        yield (part * unit if kind == "int16" else part), v_part


def _rows(
    features: FeatureMap, x: Float[Tensor, "n *feature"], kind: Rows, device: str
) -> tuple[Tensor, Float64[Tensor, "group dim"], Float64[Tensor, "group dim place"]]:
    """Return embeddings as they are stored, their unit, and the mean term of each location."""
    has_places = features.grid(x[:1].to(device)) is not None
    if kind == "float32" and has_places:
        return _with_centre(features, x, device)

    rows, unit = _stored(features, x, kind, device)
    return rows, unit, _centre(features, x, rows, unit, device)


def _with_centre(
    features: FeatureMap, x: Float[Tensor, "n *feature"], device: str
) -> tuple[Tensor, Float64[Tensor, "group dim"], Float64[Tensor, "group dim place"]]:
    """Return embeddings, their unit and the mean term of each location, in one pass."""
    totals = []

    def embedded(part: Tensor) -> Tensor:
        u, terms = features.with_locations(part)
        totals.append(terms.double().sum(0).cpu())
        return u

    rows = in_chunks(embedded, x, device)
    centre = torch.stack(totals).sum(0) / len(x)
    return rows, torch.ones(rows.shape[1:], dtype=torch.float64), centre


def _centre(
    features: FeatureMap, x: Float[Tensor, "n *feature"], rows: Tensor, unit: Tensor, device: str
) -> Float64[Tensor, "group dim place"]:
    """Return the mean term of each location; without locations, the mean embedding at one place."""
    if features.grid(x[:1].to(device)) is None:
        total = sum(part.double().sum(0) for part in rows.split(BLOCK))
        return (total * unit / len(x))[..., None]

    def sum_of(part: Tensor) -> Tensor:
        return features.locations(part).double().sum(0, keepdim=True)

    return in_chunks(sum_of, x, device).sum(0) / len(x)
