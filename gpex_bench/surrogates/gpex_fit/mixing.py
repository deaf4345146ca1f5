"""Inputs between and beyond the samples, on which a surrogate is matched to a network and judged.

Every training sample is an inducing point, so the match on plain training samples is easy and says
little; Akbarnejad et al. (2023, section 3) match on x = a x1 + (1 - a) x2 with a uniform in (-1,
2).
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
    first, second = drawn(len(x), n_mixed, generator), drawn(len(x), n_mixed, generator)
    a = LOW + (HIGH - LOW) * torch.rand(n_mixed, generator=generator)
    a = sent(a.to(x.dtype), x.device).view(-1, *[1] * (x.ndim - 1))
    return a * x[sent(first, x.device)] + (1 - a) * x[sent(second, x.device)]


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device; through pinned memory, so that the host does not wait for a GPU."""
    return (
        tensor.pin_memory().to(device, non_blocking=True)
        if device.type == "cuda"
        else tensor.to(device)
    )


def drawn(n: int, n_drawn: int, generator: torch.Generator) -> Tensor:
    """Return random row numbers in [0, n): all different if n_drawn <= n, else as even as possible.

    Few out of many are drawn at a cost that does not depend on n.
    """
    if n >= MANY * n_drawn:
        return _few(n, n_drawn, generator)
    rounds = -(-n_drawn // n)
    return torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:n_drawn]


def _few(n: int, n_drawn: int, generator: torch.Generator) -> Tensor:
    """Return different random row numbers, drawn one by one; those that came before are dropped."""
    found = torch.empty(0, dtype=torch.long)
    while len(found) < n_drawn:
        found = torch.cat([found, torch.randint(n, (n_drawn,), generator=generator)])
        order = found.argsort(stable=True)
        is_first = torch.ones(len(found), dtype=torch.bool)
        is_first[order[1:]] = found[order[1:]] != found[order[:-1]]
        found = found[is_first]
    return found[:n_drawn]
