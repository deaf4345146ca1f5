"""Inputs of kinds that were never seen in training, made from test inputs: out-of-distribution items.

Made, not fetched, so that every dataset has them. The numbers of a channel or column stay in the
range of the training samples; what changes is how they hang together.

Images, one of three kinds in turn:
    inverted  low + high - x, with the lowest and highest training value of the channel shuffled
    the image cut into squares (4 by 4 of them, if its sides allow), put together in a random order
    noisy     half the image, half noise that is uniform between the channel's lowest and highest
    training value
Tables:
    every column is permuted over the rows on its own: the values of a column stay, what ties the
        columns is gone
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

N_PARTS = (4, 3, 2)  # parts of a side, the first that divides it; single pixels if none does


def unfamiliar(
    x: Float[Tensor, "n *feature"],
    train: Float[Tensor, "n_train *feature"],
    generator: torch.Generator,
) -> Float[Tensor, "n *feature"]:
    """Return an out-of-distribution item in place of each row; the generator is on the CPU."""
    if x.ndim != 4:
        return permuted(x, generator)
    made = x.clone()
    low, high = train.amin((0, 2, 3))[:, None, None], train.amax((0, 2, 3))[:, None, None]
    made[0::3] = low + high - x[0::3]
    made[1::3] = shuffled(x[1::3], generator)
    noise = low + (high - low) * torch.rand(x[2::3].shape, generator=generator)
    made[2::3] = (x[2::3] + noise) / 2
    return made


def permuted(
    x: Float[Tensor, "n feature"], generator: torch.Generator
) -> Float[Tensor, "n feature"]:
    """Permute every column over the rows on its own."""
    order = torch.rand(x.shape, generator=generator).argsort(0)
    return x.gather(0, order)


def shuffled(
    x: Float[Tensor, "n channel height width"], generator: torch.Generator
) -> Float[Tensor, "n channel height width"]:
    """Cut each image into equal parts and put them together in a random order, another one for each image."""
    n, channels, *sides = x.shape
    rows, columns = (
        next((parts for parts in N_PARTS if side % parts == 0), side) for side in sides
    )
    height, width = sides[0] // rows, sides[1] // columns
    parts = (
        x.reshape(n, channels, rows, height, columns, width).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    )
    order = torch.rand(n, rows * columns, generator=generator).argsort(1)
    parts = parts[torch.arange(n)[:, None], order].unflatten(1, (rows, columns))
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)
