"""Networks made of a given one, so that an axiom says how their maps must relate to its own.

Each works on copies, and adds only what propagation rules know: layers, masks, selections,
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
    """The same function by other layers: x = SPLIT + relu(x - SPLIT) - relu(SPLIT - x), then these.

    Two layers with one ReLU between them are added before the first one: 1 x 1 convolutions, or
    linear layers. Like the networks of sundararajan2017axiomatic, it has other units and the same
    outputs and gradients.
    """

    def __init__(self, network: Model, x: Float[Tensor, "batch *feature"]) -> None:
        super().__init__()
        n = x.shape[1]
        one = torch.eye(n)
        thresholds = torch.tensor([-SPLIT, SPLIT]).repeat_interleave(n)
        is_image = x.ndim == 4
        split = _layer(torch.cat([one, -one]), thresholds, is_image)
        join = _layer(torch.cat([one, -one], 1), torch.full((n,), SPLIT), is_image)
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
    """The mean of the network's outputs for an input and its mirror image.

    It is symmetric under `mirrored`. Two copies, because hooks of propagation rules expect every
    layer to run once.
    """

    def __init__(self, network: Model) -> None:
        super().__init__()
        self.straight = copy.deepcopy(network)
        self.other = copy.deepcopy(network)

        head = network.head
        has_bias = head.bias is not None
        # a layer draws its first weights from the global state
        with torch.random.fork_rng(devices=[]):
            self.head = nn.Linear(2 * head.in_features, head.out_features, bias=has_bias)
        weight = torch.cat([head.weight, head.weight], 1).detach() / 2
        self.head.weight = nn.Parameter(weight, requires_grad=False)
        if head.bias is not None:
            self.head.bias = nn.Parameter(head.bias.detach().clone(), requires_grad=False)
        self.train(network.training)

    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return both embeddings."""
        return torch.cat([self.straight.embed(x), self.other.embed(mirrored(x))], 1)


def _layer(
    weight: Float[Tensor, "out in"], bias: Float[Tensor, "out"], is_image: bool
) -> nn.Module:
    """Return a linear layer, or a 1 x 1 convolution, with these parameters."""
    n_out, n_in = weight.shape
    layer = nn.Conv2d(n_in, n_out, 1) if is_image else nn.Linear(n_in, n_out)
    layer.weight.data = weight.view(layer.weight.shape)
    layer.bias.data = bias  # type: ignore[union-attr]
    return layer


def _expose(outer: Model, inner: Model) -> None:
    """Give a network the parts that explainers look for: the head, and the last feature maps."""
    outer.head = inner.head
    features = getattr(inner, "features", None)
    if isinstance(features, nn.Module):
        outer.features = features


def mirrored(x: Float[Tensor, "*feature"]) -> Float[Tensor, "*feature"]:
    """Return images with left and right exchanged, or columns in reverse order."""
    order = torch.arange(x.shape[-1] - 1, -1, -1, device=x.device)
    return x[..., order]


def summed(network: Model, step: int) -> Model:
    """Return the network that adds to each class's output that of the class `step` further."""
    twin = copy.deepcopy(network)
    for weight in twin.head.parameters(recurse=False):
        weight.data = weight.data + weight.data.roll(-step, 0)
    return twin
