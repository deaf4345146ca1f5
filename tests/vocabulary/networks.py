"""Toy networks: their logits are known, or their layers are few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gpex_bench.types import Model


class Formula(Model):
    """A network whose logits are any function of its input."""

    def __init__(self, formula: Callable[[Tensor], Tensor], n_heads: int) -> None:
        super().__init__()
        self.formula = formula
        self.head = nn.Linear(n_heads, n_heads, bias=False)
        self.head.weight.data = torch.eye(n_heads)

    def embed(self, x: Tensor) -> Tensor:
        return self.formula(x)


class Linear(Model):
    """Logits = weight @ x, so that weight * (x - baseline) is the exact attribution."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.head.weight.data = weight

    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Layers(Model):
    """A trunk of modules and a head."""

    def __init__(self, trunk: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def embed(self, x: Tensor) -> Tensor:
        return self.trunk(x)


class Tiny(Model):
    """A trunk, the means of its maps, and a head."""

    def __init__(self, trunk: nn.Module, width: int, n_heads: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(width, n_heads)

    def embed(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        return features.mean((2, 3)) if features.ndim == 4 else features


class Written(nn.Module):
    """A network that is a function of itself and the input, and the modules that it uses."""

    def __init__(self, forward: Callable[[Written, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def ready(network: nn.Module, scale: float = 1.0, seed: int = 0) -> nn.Module:
    """Return a network in eval mode whose weights and means depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        fan_in = weight[0].numel() if weight.ndim > 1 else 4
        weight.data = scale * torch.randn(weight.shape, generator=generator) / fan_in**0.5
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
    return network.eval().requires_grad_(False)


def seeded(make: Callable[[], Model], seed: int = 0) -> Model:
    """Return a network in eval mode whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make().eval().requires_grad_(False)
