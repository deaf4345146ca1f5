"""Softmax attention between tokens: where it is in a network, and which token stands for which place.

An attention is a softmax over keys whose output goes into a matrix product, however the network is
written; both are modules of the rewritten network. Nothing is assumed about the order of tokens:

- Which token a place belongs to is read from two gradients of the first attention's queries: of
  their sum, and of their sum with each token multiplied by its number. The number of a place's
  token is the ratio of the two. A token without a place is a class token, or one like it.
- Which tokens the head reads are those whose output of the last attention the logits have a
  gradient for: a class token, or all tokens of which the head takes the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, fx, nn
from torch.nn import functional

from gpex_bench.families.feature_maps import recorded
from gpex_bench.families.signals import MOVES, Signals
from gpex_bench.models.rewriting import Rewritten, operations, place, rewrite
from gpex_bench.types import value
from gpex_bench.types.demands import Refused

MIXED = 1e-2  # largest difference of a token's number from a whole number
UNREAD = 1e-5  # a token with a smaller gradient, as a share of the largest, is not read
# what may lie between a product of queries and keys and its softmax
BETWEEN = (*MOVES, operations.Scale, operations.Shift)


@value
class Layer:
    """One attention.

    Attributes:
        weights: the node of its softmax.
        queries: the node of the queries, and which of its axes is of tokens.
        output: the node of the weighted means, and which of its axes is of tokens.
    """

    weights: fx.Node
    queries: tuple[Any, int]
    output: tuple[Any, int]


@value
class Tokens:
    """What is known of a network's tokens, for images of one size.

    Attributes:
        layers: names of the softmax modules of the rewritten network, in the order of their runs.
        of_place: the token of each place.
        is_read: whether the head reads a token.
    """

    layers: tuple[str, ...]
    of_place: Int[Tensor, "row column"]
    is_read: Bool[Tensor, "token"]


# by the rewritten network, and the shape of an image
_KNOWN: WeakKeyDictionary[nn.Module, dict[torch.Size, Tokens]] = WeakKeyDictionary()


def attention_weights(
    network: nn.Module, x: Float[Tensor, "batch channel height width"]
) -> tuple[Tokens, Float[Tensor, "batch class"], list[Float[Tensor, "*heads token key"]]]:
    """Return a network's tokens, its logits, and the weights of each attention.

    Weights are [batch, head, token, key], or have the first two axes in one (`mean_of_heads`). They
    and the logits have gradients where these are enabled.

    Raises:
        Refused: the network has no attention between tokens, or it is not between the same tokens
            from layer to layer, or tokens do not belong to places.
    """
    rewritten = rewrite(network, x)
    tokens = _tokens(rewritten, x)
    modules = {name: rewritten.network.get_submodule(name) for name in tokens.layers}
    with recorded(modules) as seen:
        image = x.detach().clone().requires_grad_(torch.is_grad_enabled())
        logits = rewritten.network(image)
    return tokens, logits, [weights for _, weights in seen]


def mean_of_heads(
    weights: Float[Tensor, "*heads token key"], n: int
) -> Float[Tensor, "batch token key"]:
    """Return the mean over the heads of each of n rows; some networks join the two axes."""
    by_head = weights if weights.ndim == 4 else weights.unflatten(0, (n, -1))
    return by_head.mean(1)


def on_image(
    tokens: Tokens,
    rows: Float[Tensor, "batch token key"],
    x: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Return what the tokens that the head reads have of each place, at the size of the images.

    Places are enlarged (bilinear), and shared evenly between the channels.

    Args:
        tokens: of the network.
        rows: what each token has of each other.
        x: the images.
    """
    of_token = rows[:, tokens.is_read].mean(1)
    of_place = of_token[:, tokens.of_place]
    enlarged = functional.interpolate(of_place[:, None], x.shape[2:], mode="bilinear")
    return (enlarged / x.shape[1]).expand_as(x).clone()


def _tokens(rewritten: Rewritten, x: Tensor) -> Tokens:
    """Return what is known of the tokens; a few images run through the network, once."""
    known = _KNOWN.setdefault(rewritten.network, {})
    size = x.shape[1:]
    if size not in known:
        with torch.enable_grad():
            known[size] = _find(Signals(rewritten, x), x[:1])
    return known[size]


def _find(signals: Signals, x: Tensor) -> Tokens:
    """Return the tokens of a network that ran on an image."""
    layers = list(_layers(signals))
    if not layers:
        raise Refused(
            "The network has no attention between tokens (a softmax whose output goes into a "
            "matrix product), which this method reads; it is for transformers."
        )
    _check_sizes(signals, layers)
    _check_order(layers)

    values = Values(signals.network, x).values
    _check_rows(signals, layers, x)
    return Tokens(
        layers=tuple(str(layer.weights.target) for layer in layers),
        of_place=_token_of_place(signals, values, layers[0]),
        is_read=_is_read(values, layers[-1]),
    )


class Values(fx.Interpreter):
    """The values of all signals of a network for some images, to be differentiated."""

    def __init__(self, network: fx.GraphModule, x: Tensor) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.values: dict[fx.Node, Tensor] = {}
        self.run(x.detach().clone().requires_grad_())

    def run_node(self, n: fx.Node) -> Tensor:
        """Return the value of a node, and keep it."""
        self.values[n] = super().run_node(n)
        return self.values[n]


# --- where attention is ---


def _layers(signals: Signals) -> Iterator[Layer]:
    """Yield the attentions of a network in the order in which they run."""
    for node in signals.axes:
        if not _is(signals, node, nn.Softmax):
            continue
        before = _source(signals, node)
        after = _user(signals, node)
        if before is None or after is None:
            continue

        n_axes = signals.values[node].ndim
        if signals.operation(node).dim % n_axes != n_axes - 1:
            raise Refused(
                f"The attention in {place(node)} is no softmax over its last axis, so that it is "
                "not known which axis is of keys; write it as softmax(queries @ keys.mT, -1)."
            )
        yield Layer(
            weights=node,
            queries=_axis_of_tokens(signals, before, of_output=False),
            output=_axis_of_tokens(signals, after, of_output=True),
        )


def _is(signals: Signals, node: fx.Node | None, kind: Any) -> bool:
    """Return whether a node calls a module of a kind."""
    if node is None or node.op != "call_module":
        return False
    return isinstance(signals.operation(node), kind)


def _source(signals: Signals, node: fx.Node) -> fx.Node | None:
    """Return the product of two signals that a softmax reads, past moves, factors and masks."""
    sources = signals.sources(node)
    while len(sources) == 1 and _is(signals, sources[0], BETWEEN):
        sources = signals.sources(sources[0])
    is_product = len(sources) == 1 and _is(signals, sources[0], operations.MatrixProduct)
    return sources[0] if is_product and len(signals.sources(sources[0])) == 2 else None


def _user(signals: Signals, node: fx.Node) -> fx.Node | None:
    """Return the product that a softmax's weights go into, past moves."""
    ahead = list(node.users)
    while ahead:
        user = ahead.pop(0)
        if _is(signals, user, operations.MatrixProduct):
            return user
        if _is(signals, user, BETWEEN):
            ahead.extend(user.users)
    return None


def _axis_of_tokens(signals: Signals, product: fx.Node, of_output: bool) -> tuple[fx.Node, int]:
    """Return the queries of a product or its output, and which axis of it is of tokens.

    Tokens are the last axis but one of the scores, and of the weights, which come first.
    """
    equation = str(signals.operation(product).equation).replace(" ", "")
    factors: list[Any] = list(product.args)
    if not equation:
        return (product if of_output else factors[0]), -2

    # of an equation like "bhqd,bhkd->bhqk" axes are counted from the end
    left, _, right = equation.partition("->")
    inputs = left.split(",")
    if of_output:
        return product, right.index(inputs[0][-2]) - len(right)
    number = 0 if right[-2] in inputs[0] else 1
    return factors[number], inputs[number].index(right[-2]) - len(inputs[number])


# --- what is asked of it ---


def _check_sizes(signals: Signals, layers: list[Layer]) -> None:
    """Raise Refused unless all attentions are between the same number of tokens."""
    n_tokens = signals.values[layers[0].weights].shape[-1]
    for layer in layers:
        shape = tuple(signals.values[layer.weights].shape)
        is_square = shape[-2:] == (n_tokens, n_tokens)
        if not is_square or len(shape) not in (3, 4) or (len(shape) == 4 and shape[0] != 1):
            raise Refused(
                f"The attention in {place(layer.weights)} has weights {shape} for one image, not "
                f"[1, heads, {n_tokens}, {n_tokens}]: attention in windows, between other tokens "
                "than before, or from one kind of token to another is not known."
            )

    known = {layer.weights for layer in layers}
    for node in signals.axes:
        is_like = _is(signals, node, nn.Softmax) and node not in known
        if is_like and signals.values[node].shape[-2:] == (n_tokens, n_tokens):
            raise Refused(
                f"The softmax in {place(node)} is of the size of an attention, but is not between "
                "two matrix products."
            )


def _check_order(layers: list[Layer]) -> None:
    """Raise Refused unless each attention reads what the one before it gave."""
    for one, other in zip(layers, layers[1:], strict=False):
        ahead = [one.weights]
        seen: set[fx.Node] = set()
        while ahead:
            node = ahead.pop()
            if node not in seen:
                seen.add(node)
                ahead.extend(node.users)
        if other.weights not in seen:
            raise Refused(
                f"The attention in {place(other.weights)} does not follow that in "
                f"{place(one.weights)}; branches of attention are not known."
            )


def _check_rows(signals: Signals, layers: list[Layer], x: Tensor) -> None:
    """Raise Refused unless the weights of a row come after those of the row before.

    Of weights whose first axis is of rows and heads together.
    """
    other = 0.5 * x + 0.1
    both = Values(signals.network, torch.cat([x, other])).values
    for layer in layers:
        alone = signals.values[layer.weights]
        if alone.ndim == 3 and not torch.allclose(both[layer.weights][: len(alone)], alone, 1e-3):
            raise Refused(
                f"The attention in {place(layer.weights)} does not have an image's heads next to "
                "each other; give the weights the axes [batch, head, token, token]."
            )


def _token_of_place(
    signals: Signals, values: dict[fx.Node, Tensor], layer: Layer
) -> Int[Tensor, "row column"]:
    """Return the token of each place of the last maps before the first attention.

    Without maps, places are pixels.
    """
    node, axis = layer.queries
    order = list(signals.axes)
    maps = [one for one in signals.maps() if order.index(one) < order.index(node)]
    source = values[maps[-1] if maps else order[0]]

    # a number for each token that depends on it alone
    queries = values[node].movedim(axis, -1).flatten(0, -2)
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(len(queries), 1, generator=generator).to(queries)
    score = (factor * queries).sum(0)
    numbers = torch.arange(1, len(score) + 1).to(score)
    (plain,) = torch.autograd.grad(score.sum(), source, retain_graph=True)
    (numbered,) = torch.autograd.grad((numbers * score).sum(), source, retain_graph=True)

    # over the channels of a place, the second is the first times the number of its token
    size = plain.square().sum(1)
    number = (plain * numbered).sum(1) / size
    rest = (numbered - number[:, None] * plain).square().sum(1)
    is_whole = (number - number.round()).abs() <= MIXED
    is_one = rest.sqrt() <= MIXED * size.sqrt()
    token = number[0].nan_to_num().round().long() - 1
    is_known = bool((is_whole & is_one & (size > 0)).all())
    if not is_known or (maps and len(token.unique()) < token.numel()):
        where = f"the maps of {place(maps[-1])}" if maps else "the image"
        raise Refused(
            f"The tokens of the first attention, in {place(layer.weights)}, are not one for each "
            f"place of {where}, so that relevance of tokens has no place."
        )
    return token


def _is_read(values: dict[fx.Node, Tensor], layer: Layer) -> Bool[Tensor, "token"]:
    """Return which tokens the logits have a gradient for, after the last attention."""
    node, axis = layer.output
    logits = list(values.values())[-1]
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(logits.shape, generator=generator).to(logits)
    (gradient,) = torch.autograd.grad((factor * logits).sum(), values[node], retain_graph=True)
    size = gradient.abs().movedim(axis, -1).flatten(0, -2).amax(0)
    return size > UNREAD * size.amax()
