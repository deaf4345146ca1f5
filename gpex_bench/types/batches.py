"""Many samples through a network in chunks, and how alike they are in its own embedding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor, nn

from gpex_bench.types import Model

# How many rows go through a network together. They bound the memory; and as they decide the last
# bits of sums of floats, another size gives slightly other numbers.
FORWARD_ROWS = 500  # inputs as they are, without gradients
CHANGED_ROWS = 256  # masked or noisy inputs, points of a path; larger chunks are slower on a CPU
PAIRED_ROWS = 128  # pairs of an input and a baseline
EXPLAINED_ROWS = 100  # inputs that are explained at once
RECORDED_ROWS = 64  # inputs of which the outputs or gradients of every layer are kept
# The entries of inputs that go through a network together: fewer rows of large images. 500 images of
# 32 x 32 pixels in colour are 1.5 million; of 224 x 224 pixels 13 go together.
ENTRIES = 2**21


def rows_at_once(most: int, x: Shaped[Tensor, "n *feature"]) -> int:
    """Return how many rows like those of x go through a network together, at most `most`."""
    n_entries = x[0].numel() if len(x) else 1
    return max(1, min(most, ENTRIES // max(n_entries, 1)))


def in_chunks(
    network: Callable[[Tensor], Tensor],
    x: Shaped[Tensor, "n *feature"],
    device: str | None = None,
    size: int = FORWARD_ROWS,
) -> Tensor:
    """Apply a network to many inputs without gradients, at most `size` at a time.

    Args:
        network: anything that maps rows to rows; also a function of row numbers.
        x: inputs.
        device: where the network is; the result is then on the CPU. None: all is where x is.
        size: rows at a time; fewer of large inputs.
    """
    size = rows_at_once(size, x)
    with torch.no_grad():
        if device is None:
            parts = [network(part) for part in x.split(size)]
        else:
            parts = [network(part.to(device)).cpu() for part in x.split(size)]
    return torch.cat(parts)


def embeddings(model: Model, x: Float[Tensor, "n *feature"]) -> Float64[Tensor, "n width"]:
    """Return the network's embeddings."""
    return in_chunks(model.embed, x).double()


def centred_cosine(
    model: Model, train: Float[Tensor, "n_train *feature"], x: Float[Tensor, "batch *feature"]
) -> Float64[Tensor, "batch n_train"]:
    """Return the cosine of embeddings to those of the training samples, centred on the latter."""
    rows, query = embeddings(model, train), embeddings(model, x)
    centre = rows.mean(0)
    return (
        nn.functional.normalize(query - centre, dim=-1)
        @ nn.functional.normalize(rows - centre, dim=-1).T
    )
