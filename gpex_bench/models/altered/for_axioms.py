"""Networks made of a given one, of which it is known how their maps must relate to its own: what axioms are tried on.

Each works on copies, and what it adds is what propagation rules know: layers, masks, selections,
concatenation.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gpex_bench.types import Model

# where the rewritten network cuts its input in two, in units of the input; no data lies just there
SPLIT = 0.3141


class Rewritten(Model):
    """The same function by other layers: x = SPLIT + relu(x - SPLIT) - relu(SPLIT - x), then the network.

    Two layers with one ReLU between them are added before the first one: 1 x 1 convolutions, or
        linear layers. Like the
    networks of sundararajan2017axiomatic, it has other units and the same outputs and gradients.
    """

    def __init__(self, network: Model, x: Float[Tensor, "batch *feature"]) -> None:
        super().__init__()
        n, is_image = x.shape[1], x.ndim == 4
        split = nn.Conv2d(n, 2 * n, 1) if is_image else nn.Linear(n, 2 * n)
        join = nn.Conv2d(2 * n, n, 1) if is_image else nn.Linear(2 * n, n)
        one = torch.eye(n)
        for layer, weight, bias in (
            (split, torch.cat([one, -one]), torch.tensor([-SPLIT, SPLIT]).repeat_interleave(n)),
            (join, torch.cat([one, -one], 1), torch.full((n,), SPLIT)),
        ):
            layer.weight.data, layer.bias.data = weight.view(layer.weight.shape), bias  # type: ignore[union-attr]
        self.identity = nn.Sequential(split, nn.ReLU(), join).requires_grad_(False).to(x)
        self.network = copy.deepcopy(network)
        _expose(self, self.network)

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the embedding of the network."""
        return self.network.embed(self.identity(x))


class Blind(Model):
    """The network with some positions of its input set to zero: it does not depend on them."""

    seen: Tensor

    def __init__(self, network: Model, seen: Bool[Tensor, "*feature"]) -> None:
        super().__init__()
        self.register_buffer("seen", seen.to(next(network.parameters())))
        self.network = copy.deepcopy(network)
        _expose(self, self.network)

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the embedding of what is seen."""
        return self.network.embed(x * self.seen)


class Mirrored(Model):
    """The mean of the network's outputs for an input and for its mirror image: symmetric under `mirrored`.

    Two copies, because hooks of propagation rules expect every layer to run once.
    """

    def __init__(self, network: Model) -> None:
        super().__init__()
        self.straight, self.other = copy.deepcopy(network), copy.deepcopy(network)
        head = network.head
        with torch.random.fork_rng(
            devices=[]
        ):  # a layer draws its first weights from the global state
            self.head = nn.Linear(
                2 * head.in_features, head.out_features, bias=head.bias is not None
            )
        self.head.weight = nn.Parameter(
            torch.cat([head.weight, head.weight], 1).detach() / 2, requires_grad=False
        )
        if head.bias is not None:
            self.head.bias = nn.Parameter(head.bias.detach().clone(), requires_grad=False)
        self.train(network.training)

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return both embeddings."""
        return torch.cat([self.straight.embed(x), self.other.embed(mirrored(x))], 1)


def _expose(outer: Model, inner: Model) -> None:
    """Give a network the parts by which explainers find their way: the head, and the module with the last maps."""
    outer.head = inner.head
    if isinstance(features := getattr(inner, "features", None), nn.Module):
        outer.features = features


def mirrored(x: Float[Tensor, "*feature"]) -> Float[Tensor, "*feature"]:
    """Return images with left and right exchanged, or columns in reverse order."""
    return x[..., torch.arange(x.shape[-1] - 1, -1, -1, device=x.device)]


def summed(network: Model, step: int) -> Model:
    """Return the network whose output of each class is the sum of that class's and of the one `step` further."""
    twin = copy.deepcopy(network)
    for weight in twin.head.parameters(recurse=False):
        weight.data = weight.data + weight.data.roll(-step, 0)
    return twin
