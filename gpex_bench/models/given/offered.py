"""What a network offers to explainers: gradients, and a graph of modules; tried on some rows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.models.rewriting import CannotRewrite, rewrite

Rows = Float[Tensor, "batch *feature"]


def as_modules(network: nn.Module, x: Rows) -> tuple[str, str | None]:
    """Return what becomes modules when a network is rewritten, and why it cannot be, or None.

    The first is empty if it cannot be rewritten.
    """
    try:
        rewritten = rewrite(network, x)
    except CannotRewrite as error:
        return "", str(error)
    except Exception as error:
        return "", f"rewriting it fails ({type(error).__name__}: {error})"
    return f"{rewritten.summary}; outputs differ by {rewritten.difference:.0e}", None


def without_gradient(network: nn.Module, x: Rows) -> str | None:
    """Return why a network has no gradient at its input, or None if it has one."""
    at = x.clone().requires_grad_()
    try:
        with torch.enable_grad():
            total = network(at).sum()
            if not total.requires_grad:
                return "the outputs have no gradient at the input"
            (gradient,) = torch.autograd.grad(total, at, allow_unused=True)
    except Exception as error:
        return f"the gradient of the outputs fails ({type(error).__name__}: {error})"

    if gradient is None:
        return "the outputs have no gradient at the input"
    if not bool(gradient.isfinite().all()):
        return "some gradients of the outputs at the input are NaN or infinite"
    return None
