"""Removes chunks of positions one at a time: the strongest tenth alone, then the second tenth."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.fills import CURVE_FILLS, CurveFill, remove_positions, stand_in
from gpex_bench.masking.order import step_sizes, ties_broken
from gpex_bench.masking.units import units
from gpex_bench.measurements.answers import answers
from gpex_bench.measurements.maps import means_of, relevance
from gpex_bench.types import Case, Measurement, demands, settings, value

By = Literal["relevance", "magnitude"]


@value
class Removed:
    """The relevance of each chunk, and the network's outputs without it.

    Chunks may differ by one position. What is compared over chunks is by position (worth, and a
    change over `size`), or it would measure how large they are.
    """

    # mean over the chunk of what chunks are ordered by, strongest first
    worth: Float[Tensor, "batch chunk"]
    size: Float[Tensor, "chunk"]  # positions
    intact: Float[Tensor, "output batch"]
    without: Float[Tensor, "output batch chunk draw"]


@settings
class Chunks(Measurement):
    """Chunks of the descending order, each removed alone.

    n_chunks * n_draws + 1 forward rows per sample.

    Attributes:
        n_chunks: chunks of a sample, equally large up to one position; fewer than 2 * n_chunks
        positions go one by one.
        by: order by signed `relevance`, or by its `magnitude`.
        fill: what is shown in a chunk's place; not `inpaint`.
        n_draws: how many stand-ins are tried; more than one for the fill `noise` alone.
    """

    n_chunks: int = 12
    by: By = "relevance"
    fill: CurveFill = "baseline"
    n_draws: int = 1

    def __post_init__(self) -> None:
        demands.at_least(self, 2, "n_chunks")
        if self.by not in get_args(By):
            raise ValueError(f"by must be relevance or magnitude, got {self.by!r}.")

        known = [fill for fill in CURVE_FILLS if fill != "inpaint"]
        if self.fill not in known:
            raise ValueError(f"fill must be one of {', '.join(known)}, got {self.fill!r}.")

        if self.n_draws < 1 or (self.n_draws > 1 and self.fill != "noise"):
            raise ValueError(
                "n_draws must be 1, or more for the fill 'noise'; "
                f"got {self.n_draws} for {self.fill!r}."
            )

    def measure(self, case: Case) -> Removed:
        """Return the worth of each chunk; raises ValueError for another kind of explanation."""
        query = case.query
        by_position = relevance(case)
        if self.by == "magnitude":
            by_position = by_position.abs()

        ends = step_sizes(by_position.shape[1], self.n_chunks).to(query.x.device)
        place = ties_broken(by_position, query.sample)
        chunk = torch.searchsorted(ends, place, right=True) - 1
        n_chunks = len(ends) - 1
        worth = means_of(by_position, chunk, n_chunks)
        size = ends.diff().to(worth)
        unit = units(case.task.data)
        others = torch.stack([stand_in(case, self.fill, draw) for draw in range(self.n_draws)])

        # The last number of a sample is the intact input.
        def removed(image: Tensor, number: Tensor) -> Tensor:
            removed_chunk, draw = number // self.n_draws, number % self.n_draws
            gone = chunk[image] == removed_chunk[:, None]
            other = others[draw, image]
            return remove_positions(query.x[image], other, gone, unit)

        outputs = answers(case, n_chunks * self.n_draws + 1, removed)
        without = outputs[..., :-1].unflatten(2, (n_chunks, self.n_draws))
        return Removed(worth=worth, size=size, intact=outputs[..., -1], without=without)
