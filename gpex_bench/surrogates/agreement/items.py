"""Out-of-distribution items: inputs of kinds that no training sample has, made from test inputs.

Made, not fetched, so that every dataset has them. The numbers of a channel or column stay in the
range of the training samples; what changes is how they are combined.

Images, one of three kinds in turn:
    inverted  low + high - x, with the lowest and highest training value of the channel
    shuffled  cut into squares (4 by 4 of them, if its sides allow), put together in a random order
    noisy     half the image, half uniform noise between the channel's lowest and highest value
Tables:
    every column is permuted over the rows on its own: its values stay, their dependence is gone
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

    # By turns: with inverted colours, with shuffled parts, half noise.
    low = train.amin((0, 2, 3))[:, None, None]
    high = train.amax((0, 2, 3))[:, None, None]
    items = x.clone()
    items[0::3] = low + high - x[0::3]
    items[1::3] = shuffled(x[1::3], generator)

    faded = x[2::3]
    grain = torch.rand(faded.shape, generator=generator)
    noise = low + (high - low) * grain
    items[2::3] = (faded + noise) / 2
    return items


def permuted(
    x: Float[Tensor, "n feature"], generator: torch.Generator
) -> Float[Tensor, "n feature"]:
    """Permute every column over the rows on its own."""
    order = torch.rand(x.shape, generator=generator).argsort(0)
    return x.gather(0, order)


def shuffled(
    x: Float[Tensor, "n channel height width"], generator: torch.Generator
) -> Float[Tensor, "n channel height width"]:
    """Cut each image into equal parts and put them together in a random order of its own."""
    n, _, height, width = x.shape
    rows = _parts_of(height)
    columns = _parts_of(width)

    # [n, channel, row, height of a part, column, width of a part] -> [n, part, channel, ...]
    cut = x.unflatten(3, (columns, width // columns))
    cut = cut.unflatten(2, (rows, height // rows))
    parts = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)

    keys = torch.rand(n, rows * columns, generator=generator)
    order = keys.argsort(1)
    image = torch.arange(n)[:, None]
    mixed = parts[image, order]

    # And back.
    grid = mixed.unflatten(1, (rows, columns))
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def _parts_of(side: int) -> int:
    """Return into how many parts a side is cut."""
    for n_parts in N_PARTS:
        if side % n_parts == 0:
            return n_parts
    return side
