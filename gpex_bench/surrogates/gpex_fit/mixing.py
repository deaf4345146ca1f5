"""Inputs between and beyond the samples, on which a surrogate is matched to a network and judged.

Every training sample is an inducing point, so the match on plain training samples is easy and
proves little; Akbarnejad et al. (2023, section 3) match on x = a x1 + (1 - a) x2 with a uniform in
(-1, 2).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LOW, HIGH = -1.0, 2.0  # range of a
MANY = 64  # times as many rows as are drawn: then hardly any is drawn twice


def mixed(
    x: Float[Tensor, "n *feature"], n_mixed: int, generator: torch.Generator
) -> Float[Tensor, "n_mixed *feature"]:
    """Return mixtures of random pairs of rows, a * x1 + (1 - a) * x2 with a ~ U(-1, 2) per pair.

    Rows are drawn without repetition while they last. The generator is on the CPU, so that all
    devices see the same numbers; what is drawn is sent to the device of x without waiting for it.

    Raises:
        ValueError: fewer than 1 row or mixture.
    """
    if len(x) < 1 or n_mixed < 1:
        raise ValueError(
            f"x and n_mixed must be at least 1 row and 1 mixture, got {len(x)} and {n_mixed}."
        )
    first = drawn(len(x), n_mixed, generator)
    second = drawn(len(x), n_mixed, generator)
    a = LOW + (HIGH - LOW) * torch.rand(n_mixed, generator=generator)

    x1 = x[sent(first, x.device)]
    x2 = x[sent(second, x.device)]
    a = sent(a.to(x.dtype), x.device)
    a = a.view(-1, *[1] * (x.ndim - 1))
    return a * x1 + (1 - a) * x2


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device, without waiting for a GPU."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def drawn(n: int, n_drawn: int, generator: torch.Generator) -> Tensor:
    """Return random row numbers in [0, n): all different if n_drawn <= n, else as even as possible.

    Few out of many are drawn at a cost that does not depend on n.
    """
    if n >= MANY * n_drawn:
        return _few_of_many(n, n_drawn, generator)
    n_rounds = -(-n_drawn // n)
    rounds = [torch.randperm(n, generator=generator) for _ in range(n_rounds)]
    return torch.cat(rounds)[:n_drawn]


def _few_of_many(n: int, n_drawn: int, generator: torch.Generator) -> Tensor:
    """Return different random row numbers, drawn one by one; repeated ones are dropped."""
    rows = torch.empty(0, dtype=torch.long)
    while len(rows) < n_drawn:
        more = torch.randint(n, (n_drawn,), generator=generator)
        rows = torch.cat([rows, more])

        # a row is repeated where it equals the one before it in (stable) order
        order = rows.argsort(stable=True)
        is_first = torch.ones(len(rows), dtype=torch.bool)
        is_first[order[1:]] = rows[order[1:]] != rows[order[:-1]]
        rows = rows[is_first]
    return rows[:n_drawn]
