"""Gaussian processes on a feature map, conditioned on training samples: what every weight-space recipe ends with.

`conditioned` makes one by an exact streaming pass; `restored` reads one back. The feature map decides the kernel
(k = f . f), and with it which recipe it is: a learned map, the network's own embedding, its tangent kernel, ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gpex_bench.surrogates import posterior
from gpex_bench.surrogates.evidence import evidence_noise
from gpex_bench.surrogates.features import FeatureMap
from gpex_bench.surrogates.streaming import streamed
from gpex_bench.surrogates.weight_space_surrogate import BUFFERS, WeightSpaceSurrogate
from gpex_bench.types import Dataset, Model

CHUNK = 500  # samples per pass through the networks


def conditioned(  # noqa: PLR0913 - options by keyword
    features: FeatureMap,
    model: Model,
    data: Dataset,
    noise: Float[Tensor, "group"] | None = None,
    *,
    index: Int[Tensor, "m"] | None = None,
    units: tuple[Float64[Tensor, "head"], Float64[Tensor, "head"]] | None = None,
    device: str = "cpu",
) -> WeightSpaceSurrogate:
    """Return the processes conditioned on all training samples exactly; network and features are on `device`.

    Or on those of `index`. `units` are offset and scale of the targets, None those that standardise them.

    One pass over the samples in blocks. `noise` is the variance s2 of each group, in units of the standardised targets
    squared; None takes the one with the largest evidence. The result is on the CPU.

    Raises:
        ValueError: the network has no heads, outputs or embeddings are not finite, or the noise is not positive.
    """
    features.eval().requires_grad_(False)
    index = torch.arange(len(data.train.x)) if index is None else index
    x = data.train.x[index]
    y = in_chunks(model.explained, x, device)
    offset, scale = posterior.target_units(y) if units is None else units
    rows = in_chunks(features, x, device)
    v = posterior.standardised(y, offset, scale)
    sums = streamed([(rows, posterior.grouped(v, rows.shape[1]))])
    if features.grid(x[:1].to(device)) is None:
        centre = rows.double().mean(0)[..., None]
    else:
        totals = in_chunks(lambda part: features.locations(part).double().sum(0, keepdim=True), x, device)
        centre = totals.sum(0) / len(x)
    state = posterior.condition(sums, evidence_noise(sums) if noise is None else noise.cpu(), offset, scale)
    buffers = {"rows": rows, "targets": v, "centre": centre.to(rows.dtype), "noise": state.noise}
    buffers |= {"offsets": state.offset, "scale": state.scale, "index": index}
    buffers |= {name: getattr(sums, name) for name in ("a", "b", "c", "count")}
    return WeightSpaceSurrogate(features.cpu(), buffers).eval()


def restored(features: FeatureMap, data: Dataset, state: Mapping[str, Tensor], owner: str) -> WeightSpaceSurrogate:
    """Return the surrogate whose state_dict this is; `features` are of its kind, and `owner` is named in errors.

    Raises:
        ValueError: the state belongs to something else, or is damaged.
    """
    try:
        _check_fit(features, data, state)
        surrogate = WeightSpaceSurrogate(features, {name: torch.empty_like(state[name]) for name in BUFFERS})
        surrogate.load_state_dict(dict(state))
        posterior.condition(surrogate.state.statistics, surrogate.noise, surrogate.offsets, surrogate.scale)
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
    if n > len(data.train.x) or int(state["index"].max()) >= len(data.train.x):
        raise ValueError(f"it has inducing points that data.train, with {len(data.train.x)} samples, lacks")
    expected |= {"rows": (n, n_groups, dim), "targets": (n, n_heads), "count": ()}
    expected |= {"offsets": (n_heads,), "scale": (n_heads,), "centre": (n_groups, dim, *state["centre"].shape[2:])}
    for name, shape in expected.items():
        tensor = state[name]
        if tensor.shape != shape or (name not in ("rows", "centre") and tensor.dtype != torch.float64):
            raise ValueError(f"{name} must be {tuple(shape)}, got {tuple(tensor.shape)}, {tensor.dtype}.")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} must be finite.")


def in_chunks(network: Callable[[Tensor], Tensor], x: Float[Tensor, "n *feature"], device: str = "cpu") -> Tensor:
    """Apply a network on `device` to many samples without gradients; the result is on the CPU."""
    with torch.no_grad():
        return torch.cat([network(part.to(device)).cpu() for part in x.split(CHUNK)])
