"""Tables: columns in standard deviations from the mean of the training rows."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor


def standardised(
    table: NDArray[np.float64], train: Int[Tensor, "n_train"]
) -> Float[Tensor, "n column"]:
    """Return all rows of a table, scaled by mean and deviation of the training rows.

    A column that is constant in the training rows is shifted only.
    """
    mean, deviation = moments(table[train.numpy()])
    deviation = np.where(deviation > 0, deviation, 1.0)
    return torch.from_numpy(((table - mean) / deviation).astype(np.float32))


def moments(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and (population) standard deviation of each column.

    Sums are exactly rounded, so that the result has the same bits on every machine.
    """
    n = len(table)
    mean = np.array([math.fsum(column) / n for column in table.T])
    square = (table - mean) ** 2
    deviation = np.array([math.sqrt(math.fsum(column) / n) for column in square.T])
    return mean, deviation
