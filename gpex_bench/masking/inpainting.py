"""Fills removed pixels by their neighbours: the noisy linear imputation of ROAD.

Source: rong2022consistent.

Each removed pixel is the weighted mean of its eight neighbours (1/6 beside, 1/12 across a corner),
of which others may be removed too: one linear system per image. Neighbours outside the image do not
count, and the other weights then sum to less. Noise is added, because a perfectly smooth patch
would tell the network what was removed.

The system is symmetric, positive definite as long as one pixel is left, and banded in the order of
the pixels: LAPACK solves it in about pixels x width^2 steps.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.types import Query
from gpex_bench.types.draws import uniform

NOISE = 0.01  # standard deviation, in units of the input
BESIDE, ACROSS = 1 / 6, 1 / 12
NEIGHBOURS = (
    (0, 1, BESIDE),
    (1, -1, ACROSS),
    (1, 0, BESIDE),
    (1, 1, ACROSS),
)  # rows down, columns right, weight
BAND = 2**21  # numbers in the bands that are kept at a time


def inpainted(
    x: Float[Tensor, "row channel height width"],
    gone: Bool[Tensor, "row position"],
    nothing: Float[Tensor, "row channel height width"],
) -> Float[Tensor, "row channel height width"]:
    """Return images whose missing pixels are means of their neighbours, without noise.

    Args:
        x: images.
        gone: which pixels are missing.
        nothing: what an image looks like of which every pixel is missing.
    """
    # Imported here because the workflow imports this module when it starts, and scipy is slow.
    from scipy.linalg import solveh_banded

    height, width = x.shape[2:]
    missing = gone.view(len(x), height, width).cpu().numpy()
    known = x.double().cpu().numpy()
    filled = nothing.double().cpu().numpy().copy()

    # An image of which nothing is left has no system to solve; it stays `nothing`.
    solvable = np.flatnonzero(~missing.all((1, 2)))
    size = max(1, BAND // ((width + 2) * height * width))
    for start in range(0, len(solvable), size):
        rows = solvable[start : start + size]
        bands, right = _system(known[rows], missing[rows])
        for row, band, side in zip(rows, bands, right, strict=True):
            solved = solveh_banded(
                band, side, overwrite_ab=True, overwrite_b=True, lower=True, check_finite=False
            )
            filled[row] = solved.T.reshape(known.shape[1:])
    return torch.from_numpy(filled).to(x)


def _system(x: np.ndarray, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower bands [row, offset, pixel] and right-hand sides [row, pixel, channel].

    Known pixels stay.
    """
    n_rows, n_channels, height, width = x.shape
    bands = np.zeros((n_rows, width + 2, height, width))
    weight = np.zeros((height, width))
    right = np.zeros_like(x)

    # Each pair of neighbours once: a pixel here, and its neighbour there.
    for down, across, share in NEIGHBOURS:
        rows_here = slice(0, height - down)
        rows_there = slice(down, height)
        columns_here = slice(max(0, -across), width - max(0, across))
        columns_there = slice(max(0, across), width - max(0, -across))
        here = (rows_here, columns_here)
        there = (rows_there, columns_there)

        weight[here] += share
        weight[there] += share

        first = gone[:, *here]
        second = gone[:, *there]
        only_first = (first & ~second)[:, None]
        only_second = (second & ~first)[:, None]

        # Two missing pixels are a coefficient; a known neighbour goes to the right-hand side.
        offset = down * width + across
        bands[:, offset, *here] -= share * (first & second)
        right[:, :, *here] += share * x[:, :, *there] * only_first
        right[:, :, *there] += share * x[:, :, *here] * only_second

    # The equation of a known pixel is that it stays.
    bands[:, 0] = np.where(gone, weight, 1.0)
    right = np.where(gone[:, None], right, x)
    by_channel = right.reshape(n_rows, n_channels, -1)
    by_pixel = by_channel.transpose(0, 2, 1)
    return bands.reshape(n_rows, width + 2, -1), by_pixel


def noise(query: Query) -> Float[Tensor, "batch *feature"]:
    """Return the noise that is added to removed entries of each query.

    The same however many are removed.
    """
    n_entries = query.x[0].numel()
    draws = uniform("inpainting", 0, query.sample, n_entries)
    # ndtri(0) is infinite, and 2^-54 is below the smallest other number that is drawn.
    normal = torch.special.ndtri(draws.clamp(min=2.0**-54))
    scaled = (NOISE * normal).to(query.x)
    return scaled.view(query.x.shape)
