"""Random numbers that depend only on their purpose, the seed and the sample.

A number is a hash of (purpose, seed, sample, column). So a score depends neither on the batch nor
on the order of the work, a metric never meets the same stream as the explainer it scores (both know
the same seed), and a whole batch is drawn at once. The hash is SplitMix64 (steele2014fast), applied
once per level.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15  # the increment of SplitMix64
WORD = 2**64


def _mix(state: np.ndarray) -> np.ndarray:
    """Return the SplitMix64 output of each 64-bit state; arithmetic wraps around."""
    state = state ^ (state >> np.uint64(30))
    state = state * np.uint64(0xBF58476D1CE4E5B9)
    state = state ^ (state >> np.uint64(27))
    state = state * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _state(number: int) -> np.ndarray:
    """Return the state of SplitMix64 after as many increments, [1]."""
    return np.array([number * GOLDEN % WORD], dtype=np.uint64)


def uniform(
    purpose: str, seed: int, sample: Int[Tensor, "batch"], n: int
) -> Float[Tensor, "batch n"]:
    """Return numbers in [0, 1) in float64 on the CPU, one row per sample.

    Args:
        purpose: what they are for; another word gives independent numbers.
        seed: the seed of the run.
        sample: identity of each sample.
        n: how many numbers per sample.
    """
    # One level of the hash for each of purpose, seed, sample and column.
    of_purpose = _mix(_state(zlib.crc32(purpose.encode())))
    of_seed = _mix(of_purpose + _state(seed + 1))

    samples = sample.cpu().numpy().astype(np.uint64)
    increments = (samples + np.uint64(1)) * np.uint64(GOLDEN)
    of_sample = _mix(of_seed + increments)

    columns = np.arange(1, n + 1, dtype=np.uint64)
    words = _mix(of_sample[:, None] + columns * np.uint64(GOLDEN))

    # A float64 holds 53 of the 64 bits.
    bits = words >> np.uint64(11)
    return torch.from_numpy(bits.astype(np.float64) * 2.0**-53)
