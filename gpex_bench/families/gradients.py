"""Gradients of one logit per sample, and the copy of a network that captum may put its hooks on."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def logit_gradient(
    network: nn.Module, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
) -> Float[Tensor, "batch *feature"]:
    """Return the gradient of each target's logit with respect to its own sample."""
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        logit = network(x).gather(1, target[:, None]).sum()
        return torch.autograd.grad(logit, x)[0]


@contextmanager
def hooked(network: Network) -> Iterator[tuple[Network, list[Tensor]]]:
    """Yield a copy of a network for captum's hooks, and the list of its outputs.

    The copy keeps the hooks that count rows. Captum's DeepLift sends samples and baselines as one
    batch, samples first.
    """
    outputs: list[Tensor] = []
    copied = copy.deepcopy(network)
    copied.register_forward_hook(lambda _module, _args, output: outputs.append(output.detach()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks")
        warnings.filterwarnings(
            "ignore", "Full backward hook is firing when gradients are computed"
        )
        yield copied, outputs
