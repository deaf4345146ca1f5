"""Which token of a transformer stands for which place of the image, and which ones the head reads.

Both are asked of the network:

- Two gradients of the first attention's queries are taken at the maps: of their sum, and of their
  sum with each token multiplied by its number. The number of a place's token is the ratio of the
  two. A token without a place is a class token, or one like it.
- The head reads the tokens whose output of the last attention the logits have a gradient for: a
  class token, or all tokens of which the head takes the mean.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor, fx

from gpex_bench.families.signals import Signals
from gpex_bench.models.rewriting import place
from gpex_bench.types import value
from gpex_bench.types.demands import Refused

MIXED = 1e-2  # largest difference of a token's number from a whole number
UNREAD = 1e-5  # a token with a smaller gradient, as a share of the largest, is not read


@value
class Layer:
    """One attention of a rewritten network; axes are counted from the end.

    Attributes:
        weights: the node of its softmax.
        queries: the node of its queries.
        axis_of_queries: which of their axes is of tokens.
        output: the node of the weighted means.
        axis_of_output: which of their axes is of tokens.
    """

    weights: fx.Node
    queries: fx.Node
    axis_of_queries: int
    output: fx.Node
    axis_of_output: int


class _Run(fx.Interpreter):
    """A network that runs and keeps the values of all signals."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.values: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Tensor:
        """Return the value of a node, and keep it."""
        self.values[n] = super().run_node(n)
        return self.values[n]


def values(signals: Signals, x: Tensor) -> dict[fx.Node, Tensor]:
    """Return the values of all signals for some images, to be differentiated."""
    run = _Run(signals.network)
    run.run(x.detach().clone().requires_grad_())
    return run.values


def token_of_place(signals: Signals, layer: Layer, x: Tensor) -> Int[Tensor, "row column"]:
    """Return the token of each place of the last maps before an attention.

    Without maps, places are pixels.

    Raises:
        Refused: a place reaches several tokens or none, or a token is of several places.
    """
    found = values(signals, x)
    order = {node: number for number, node in enumerate(found)}
    maps = [node for node in signals.maps() if order[node] < order[layer.queries]]
    source = maps[-1] if maps else next(iter(found))

    # a number of each token that depends on it alone
    queries = found[layer.queries].movedim(layer.axis_of_queries, -1).flatten(0, -2)
    score = (_normal(len(queries), 1).to(queries) * queries).sum(0)
    number = torch.arange(1, len(score) + 1).to(score)
    (plain,) = torch.autograd.grad(score.sum(), found[source], retain_graph=True)
    (numbered,) = torch.autograd.grad((number * score).sum(), found[source])

    token, is_one = _ratio(plain[0], numbered[0])
    is_shared = bool(maps) and len(token.unique()) < token.numel()
    if is_shared or not bool(is_one.all()):
        where = f"the maps of {place(source)}" if maps else "the image"
        raise Refused(
            f"The tokens of the first attention, in {place(layer.weights)}, are not one for each "
            f"place of {where}, so that relevance of tokens has no place."
        )
    return token - 1


def _ratio(
    plain: Tensor, numbered: Tensor
) -> tuple[Int[Tensor, "row column"], Bool[Tensor, "row column"]]:
    """Return by which whole number two gradients [channel, row, column] differ at each place.

    Also whether they differ by one at all.
    """
    size = plain.square().sum(0)
    product = (plain * numbered).sum(0)
    ratio = product / size
    rest = numbered - ratio * plain
    rest_size = rest.square().sum(0)

    is_whole = (ratio - ratio.round()).abs() <= MIXED
    is_multiple = rest_size.sqrt() <= MIXED * size.sqrt()
    token = ratio.nan_to_num().round().long()
    return token, is_whole & is_multiple & (size > 0)


def is_read(signals: Signals, layer: Layer, x: Tensor) -> Bool[Tensor, "token"]:
    """Return which tokens the logits have a gradient for, after an attention.

    Raises:
        Refused: they have one for none.
    """
    found = values(signals, x)
    logits = list(found.values())[-1]
    total = (_normal(*logits.shape).to(logits) * logits).sum()
    (gradient,) = torch.autograd.grad(total, found[layer.output])

    size = gradient.abs().movedim(layer.axis_of_output, -1).flatten(0, -2).amax(0)
    most = size.amax()
    if not most > 0:
        raise Refused(
            f"The logits do not depend on the output of the attention in {place(layer.weights)}, "
            f"for the first {len(x)} images; a network that is not trained may have a head of "
            "zeros."
        )
    return size > UNREAD * most


def _normal(*shape: int) -> Tensor:
    """Return normal numbers that are the same in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))
