"""Tensors with a part that is written, without changing them."""

from typing import Any

from torch import Tensor


def written(base: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy of a tensor, with a value at an index."""
    copied = base.clone()
    copied[index] = value
    return copied


def placed(value: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Return a value at an index among zeros."""
    return written(value.new_zeros(shape), index, value)
