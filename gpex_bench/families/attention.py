"""Softmax attention between tokens: where it is in a network, its weights, and maps of them.

An attention is a softmax over keys whose output goes into a matrix product, however the network is
written; both are modules of the rewritten network. Nothing is assumed about the order of tokens
(`tokens`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, fx, nn
from torch.nn import functional

from gpex_bench.families import tokens
from gpex_bench.families.feature_maps import recorded
from gpex_bench.families.signals import MOVES, Signals
from gpex_bench.models.rewriting import Rewritten, operations, place, rewrite
from gpex_bench.types import value
from gpex_bench.types.demands import Refused

# what may lie between a product of queries and keys, its softmax, and the product with the values
BETWEEN = (*MOVES, operations.Scale, operations.Shift)
EVEN = 1e-4  # largest difference of a sum of weights from 1
N_ASKED = 8  # images that show which tokens are read


@value
class Attention:
    """The attention of a network, for images of one size.

    Attributes:
        layers: names of the softmax modules of the rewritten network, in the order of their runs.
        token: the token of each place.
        is_read: whether the head reads a token.
    """

    layers: tuple[str, ...]
    token: Int[Tensor, "row column"]
    is_read: Bool[Tensor, "token"]


# by the rewritten network, and the shape of an image
_KNOWN: WeakKeyDictionary[nn.Module, dict[torch.Size, Attention]] = WeakKeyDictionary()


def attention_weights(
    network: nn.Module, x: Float[Tensor, "batch channel height width"]
) -> tuple[Attention, Float[Tensor, "batch class"], list[Float[Tensor, "*heads token key"]]]:
    """Return a network's attention, its logits, and the weights of each layer.

    Weights are [batch, head, token, key], or have the first two axes in one (`mean_of_heads`). They
    and the logits have gradients where these are enabled.

    Raises:
        Refused: the network has no attention between tokens, or it is not between the same tokens
            from layer to layer, or tokens do not belong to places.
    """
    rewritten = rewrite(network, x)
    found = _attention(rewritten, x)
    modules = {name: rewritten.network.get_submodule(name) for name in found.layers}
    with recorded(modules) as seen:
        image = x.detach().clone().requires_grad_(torch.is_grad_enabled())
        logits = rewritten.network(image)
    return found, logits, [weights for _, weights in seen]


def mean_of_heads(
    weights: Float[Tensor, "*heads token key"], n: int
) -> Float[Tensor, "batch token key"]:
    """Return the mean over the heads of each of n rows; some networks join the two axes."""
    by_head = weights if weights.ndim == 4 else weights.unflatten(0, (n, -1))
    return by_head.mean(1)


def on_image(
    found: Attention,
    rows: Float[Tensor, "batch token key"],
    x: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Return what the tokens that the head reads have of each place, at the size of the images.

    Places are enlarged (bilinear), and shared evenly between the channels.

    Args:
        found: the attention of the network.
        rows: what each token has of each other.
        x: the images.
    """
    of_token = rows[:, found.is_read].mean(1)
    of_place = of_token[:, found.token]
    enlarged = functional.interpolate(of_place[:, None], x.shape[2:], mode="bilinear")
    share = enlarged / x.shape[1]
    return share.expand_as(x).clone()


def _attention(rewritten: Rewritten, x: Tensor) -> Attention:
    """Return a network's attention; a few images run through it, once."""
    known = _KNOWN.setdefault(rewritten.network, {})
    size = x.shape[1:]
    if size not in known:
        signals = Signals(rewritten, x)
        with torch.enable_grad():
            known[size] = _find(signals, x)
    return known[size]


def _find(signals: Signals, x: Tensor) -> Attention:
    """Return the attention of a network that ran on an image."""
    layers = list(_layers(signals))
    if not layers:
        raise Refused(
            "The network has no attention between tokens (a softmax whose output goes into a "
            "matrix product), which this method reads; it is for transformers."
        )
    _check_sizes(signals, layers)
    _check_order(layers)
    _check_rows(signals, layers, x[:1])
    return Attention(
        layers=tuple(str(layer.weights.target) for layer in layers),
        token=tokens.token_of_place(signals, layers[0], x[:1]),
        is_read=tokens.is_read(signals, layers[-1], x[:N_ASKED]),
    )


# --- where it is ---


def _layers(signals: Signals) -> Iterator[tokens.Layer]:
    """Yield the attentions of a network in the order in which they run."""
    for node in signals.axes:
        if not _is(signals, node, nn.Softmax):
            continue
        scores = _product_before(signals, node)
        mean = _product_after(signals, node)
        if scores is not None and mean is not None:
            _check_keys(signals, node, mean)
            queries, axis = _queries(signals, scores)
            yield tokens.Layer(
                weights=node,
                queries=queries,
                axis_of_queries=axis,
                output=mean,
                axis_of_output=_axis_of_output(signals, mean),
            )


def _is(signals: Signals, node: fx.Node, kind: Any) -> bool:
    """Return whether a node calls a module of a kind."""
    return node.op == "call_module" and isinstance(signals.operation(node), kind)


def _product_before(signals: Signals, node: fx.Node) -> fx.Node | None:
    """Return the product of two signals that a softmax reads, past moves, factors and masks."""
    sources = signals.sources(node)
    while len(sources) == 1 and _is(signals, sources[0], BETWEEN):
        sources = signals.sources(sources[0])
    if len(sources) != 1 or not _is(signals, sources[0], operations.MatrixProduct):
        return None
    is_of_two = len(signals.sources(sources[0])) == 2
    return sources[0] if is_of_two else None


def _product_after(signals: Signals, node: fx.Node) -> fx.Node | None:
    """Return the product that a softmax's weights go into, past moves and factors."""
    ahead = list(node.users)
    while ahead:
        user = ahead.pop(0)
        if _is(signals, user, operations.MatrixProduct):
            return user
        if _is(signals, user, BETWEEN):
            ahead.extend(user.users)
    return None


def _equation(signals: Signals, product: fx.Node) -> tuple[list[str], str]:
    """Return the letters of a product's factors and of its result, as in torch.einsum."""
    equation = signals.operation(product).equation or "...ik,...kj->...ij"
    factors, _, result = str(equation).replace(" ", "").partition("->")
    return factors.split(","), result


def _queries(signals: Signals, scores: fx.Node) -> tuple[fx.Node, int]:
    """Return the queries, and their axis of tokens: it is the last axis but one of the scores.

    Axes are counted from the end.
    """
    factors, result = _equation(signals, scores)
    token = result[-2]
    number = 0 if token in factors[0] else 1
    axis = factors[number].index(token) - len(factors[number])
    sources: list[Any] = list(scores.args)
    return sources[number], axis


def _axis_of_output(signals: Signals, mean: fx.Node) -> int:
    """Return the axis of tokens of weighted means: it is the last but one of the weights."""
    factors, result = _equation(signals, mean)
    return result.index(factors[0][-2]) - len(result)


# --- what is asked of it ---


def _check_keys(signals: Signals, weights: fx.Node, mean: fx.Node) -> None:
    """Raise Refused unless weights are the first factor of a product, with keys last."""
    first: Any = mean.args[0]
    sums = signals.values[first].sum(-1)
    n_axes = signals.values[weights].ndim
    is_over_keys = signals.operation(weights).dim % n_axes == n_axes - 1
    if not is_over_keys or not bool(((sums - 1).abs() <= EVEN).all()):
        raise Refused(
            f"The attention in {place(weights)} is no softmax over its last axis whose output is "
            "the first factor of a product, so that it is not known which axis is of keys; write "
            "it as softmax(queries @ keys.mT, -1) @ values."
        )


def _check_sizes(signals: Signals, layers: list[tokens.Layer]) -> None:
    """Raise Refused unless all attentions are between the same number of tokens."""
    n_tokens = signals.values[layers[0].weights].shape[-1]
    for layer in layers:
        shape = tuple(signals.values[layer.weights].shape)
        is_by_head = len(shape) == 3 or (len(shape) == 4 and shape[0] == 1)
        if not is_by_head or shape[-2:] != (n_tokens, n_tokens):
            raise Refused(
                f"The attention in {place(layer.weights)} has weights {shape} for one image, not "
                f"[1, heads, {n_tokens}, {n_tokens}]: attention in windows, between other tokens "
                "than before, or from one kind of token to another is not known."
            )

    known = {layer.weights for layer in layers}
    for node in signals.axes:
        if node in known or not _is(signals, node, nn.Softmax):
            continue
        if signals.values[node].shape[-2:] == (n_tokens, n_tokens):
            raise Refused(
                f"The softmax in {place(node)} is of the size of an attention, but is not between "
                "two matrix products; attention of another form is not known."
            )


def _check_order(layers: list[tokens.Layer]) -> None:
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


def _check_rows(signals: Signals, layers: list[tokens.Layer], x: Tensor) -> None:
    """Raise Refused unless the heads of a row come after those of the row before.

    Of weights whose first axis is of rows and heads together.
    """
    joined = [layer.weights for layer in layers if signals.values[layer.weights].ndim == 3]
    if not joined:
        return
    other = 0.5 * x + 0.1
    together = tokens.values(signals, torch.cat([x, other]))
    for node in joined:
        alone = signals.values[node]
        first = together[node][: len(alone)]
        if not torch.allclose(first, alone, rtol=1e-3, atol=1e-5):
            raise Refused(
                f"The attention in {place(node)} does not have an image's heads next to each "
                "other; give the weights the axes [batch, head, token, token]."
            )
