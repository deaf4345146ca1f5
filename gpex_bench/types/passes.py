"""Many samples through a network in chunks, and how alike they are in its own embedding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gpex_bench.types import Model

CHUNK = 500  # samples per pass: bounds the memory


def in_chunks(
    network: Callable[[Tensor], Tensor], x: Float[Tensor, "n *feature"], device: str = "cpu"
) -> Tensor:
    """Apply a network on `device` to many samples without gradients; the result is on the CPU."""
    with torch.no_grad():
        return torch.cat([network(part.to(device)).cpu() for part in x.split(CHUNK)])


def embeddings(model: Model, x: Float[Tensor, "n *feature"]) -> Float64[Tensor, "n width"]:
    """Return the network's embeddings."""
    return in_chunks(model.embed, x).double()


def centred_cosine(
    model: Model, train: Float[Tensor, "n_train *feature"], x: Float[Tensor, "batch *feature"]
) -> Float64[Tensor, "batch n_train"]:
    """Return the cosine of embeddings to those of the training samples, centred on these as GPEX's similarity is."""
    rows, query = embeddings(model, train), embeddings(model, x)
    centre = rows.mean(0)
    return (
        nn.functional.normalize(query - centre, dim=-1)
        @ nn.functional.normalize(rows - centre, dim=-1).T
    )
