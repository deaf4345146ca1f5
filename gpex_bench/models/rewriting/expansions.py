"""What some functions do, written in simpler ones, so that each part can be followed."""

# ruff: noqa: PLR0913 - the arguments are torch's

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Number = int | float


class UnknownOption(Exception):
    """A function is called in a way that is not known; says which, e.g. "with a mask"."""


class ProductAttention(NamedTuple):
    """The arguments of `scaled_dot_product_attention`, in torch's order."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: Number = 0.0
    is_causal: bool = False
    scale: Number | None = None
    enable_gqa: bool = False


def scaled_dot_product_attention(given: ProductAttention) -> Tensor:
    """Return the attention's output: softmax of scaled products, times the values."""
    weights = _attention_weights(
        given.query,
        given.key,
        given.attn_mask,
        given.dropout_p,
        is_causal=given.is_causal,
        scale=given.scale,
        enable_gqa=given.enable_gqa,
    )
    return torch.matmul(weights, given.value)


def _attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    dropout: Number,
    *,
    is_causal: bool,
    scale: Number | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if dropout > 0:
        raise UnknownOption("with dropout in eval mode; pass it only while self.training")
    if enable_gqa:
        raise UnknownOption("with enable_gqa; repeat the keys instead")

    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    products = torch.matmul(query, key.transpose(-2, -1))
    scores = torch.mul(products, factor)
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = torch.add(scores, _added(mask, query))
    return torch.softmax(scores, -1)


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """Return what to add to scores: of a mask that says which count, 0 there and a low number."""
    if mask.dtype != torch.bool:
        return mask
    low = torch.finfo(like.dtype).min / 4
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(~mask, low)


class HeadAttention(NamedTuple):
    """The arguments of `multi_head_attention_forward`, in torch's order."""

    query: Tensor
    key: Tensor
    value: Tensor
    embed_dim_to_check: int
    num_heads: int
    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None
    add_zero_attn: bool
    dropout_p: Number
    out_proj_weight: Tensor
    out_proj_bias: Tensor | None
    training: bool = True
    key_padding_mask: Tensor | None = None
    need_weights: bool = True
    attn_mask: Tensor | None = None
    use_separate_proj_weight: bool = False
    q_proj_weight: Tensor | None = None
    k_proj_weight: Tensor | None = None
    v_proj_weight: Tensor | None = None
    static_k: Tensor | None = None
    static_v: Tensor | None = None
    average_attn_weights: bool = True
    is_causal: bool = False


def multi_head_attention_forward(given: HeadAttention) -> tuple[Tensor, Tensor | None]:
    """Return output and weights of `nn.MultiheadAttention`; signals are [place, batch, channel]."""
    is_causal = given.is_causal
    unknown = {
        "bias_k": given.bias_k is not None,
        "bias_v": given.bias_v is not None,
        "add_zero_attn": given.add_zero_attn,
        "key_padding_mask": given.key_padding_mask is not None,
        "static_k": given.static_k is not None,
        "static_v": given.static_v is not None,
        "inputs without a batch": given.query.ndim != 3,
    }
    for what, is_used in unknown.items():
        if is_used:
            raise UnknownOption(f"with {what}")

    weights: Any = [given.q_proj_weight, given.k_proj_weight, given.v_proj_weight]
    if not given.use_separate_proj_weight:
        weights = _thirds(given.in_proj_weight)
    projections = zip(
        (given.query, given.key, given.value), weights, _thirds(given.in_proj_bias), strict=True
    )
    heads = [
        _projected(signal, weight, bias, given.num_heads) for signal, weight, bias in projections
    ]

    mask = _with_a_row_each(given.attn_mask, given.num_heads)
    dropout = given.dropout_p if given.training else 0.0
    is_causal = is_causal and mask is None
    share = _attention_weights(heads[0], heads[1], mask, dropout, is_causal=is_causal)

    mixed = torch.matmul(share, heads[2])
    n_rows, _, n_places, _ = mixed.shape
    joined = mixed.permute(2, 0, 1, 3).reshape(n_places, n_rows, -1)
    output = F.linear(joined, given.out_proj_weight, given.out_proj_bias)
    if not given.need_weights:
        return output, None
    return output, share.mean(1) if given.average_attn_weights else share


def _with_a_row_each(mask: Tensor | None, n_heads: int) -> Tensor | None:
    """Return a mask of `nn.MultiheadAttention` for scores [batch, head, place, place].

    A mask of truth values says which do not count; here, which do.
    """
    if mask is not None and mask.dtype == torch.bool:
        mask = ~mask
    if mask is not None and mask.ndim == 3:
        mask = mask.reshape(-1, n_heads, *mask.shape[1:])
    return mask


def _thirds(packed: Tensor | None) -> list[Tensor | None]:
    """Return what belongs to queries, keys and values of packed weights, if there are any."""
    return [None] * 3 if packed is None else list(packed.chunk(3))


def _projected(signal: Tensor, weight: Tensor, bias: Tensor | None, n_heads: int) -> Tensor:
    """Return the projection of a signal, head by head [batch, head, place, channel]."""
    projected = F.linear(signal, weight, bias)
    n_places, n_rows, _ = projected.shape
    split = projected.reshape(n_places, n_rows, n_heads, -1)
    return split.permute(1, 2, 0, 3)


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """Return a product of matrices plus a term."""
    product = torch.matmul(mat1, mat2)
    product = product if alpha == 1 else torch.mul(product, alpha)
    return torch.add(product, input, alpha=beta)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """Return a product of entries plus a term."""
    return torch.add(input, torch.mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """Return a quotient of entries plus a term."""
    return torch.add(input, torch.div(tensor1, tensor2), alpha=value)


def lerp(input: Tensor, end: Tensor, weight: Tensor | Number) -> Tensor:
    """Return what lies between two signals."""
    return torch.add(input, torch.mul(torch.sub(end, input), weight))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return one half times the sigmoid of the other."""
    first, second = input.chunk(2, dim)
    return torch.mul(first, torch.sigmoid(second))


def like_other(input: Tensor, other: Tensor) -> Tensor:
    """Return a signal in the shape of another, by `view_as` or `reshape_as`."""
    return input.reshape(other.shape)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return a signal that is repeated to the shape of another."""
    return input.expand(other.shape)


def normalize(
    input: Tensor, p: Number = 2.0, dim: int = 1, eps: Number = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Return a signal over its norm along an axis."""
    norm = input.norm(p, dim, keepdim=True)
    divisor = norm.clamp_min(eps).expand(input.shape)
    return torch.div(input, divisor)


def iterate(input: Tensor) -> Iterator[Tensor]:
    """Return the parts of a signal along its first axis, one after another."""
    return iter(input.unbind(0))


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Return signals that are repeated to one shape."""
    shape = torch.broadcast_shapes(*[tensor.shape for tensor in tensors])
    return tuple(tensor.expand(shape) for tensor in tensors)


EXPANSIONS: dict[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": lambda *args, **kwargs: scaled_dot_product_attention(
        ProductAttention(*args, **kwargs)
    ),
    "multi_head_attention_forward": lambda *args, **kwargs: multi_head_attention_forward(
        HeadAttention(*args, **kwargs)
    ),
    "addmm": addmm,
    "baddbmm": addmm,
    "addcmul": addcmul,
    "addcdiv": addcdiv,
    "lerp": lerp,
    "glu": glu,
    "view_as": like_other,
    "reshape_as": like_other,
    "expand_as": expand_as,
    "normalize": normalize,
    "__iter__": iterate,
    "broadcast_tensors": broadcast_tensors,
}
