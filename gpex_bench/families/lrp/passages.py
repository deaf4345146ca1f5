"""How relevance passes a module: its output becomes a node of autograd, with the rule behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gpex_bench.families.lrp.kinds import CENTRED, LINEAR_MOVES, WINNERS
from gpex_bench.families.lrp.layers import Centred, Factor
from gpex_bench.families.lrp.reading import Step
from gpex_bench.models.rewriting import operations as ops

# (relevance of the output, inputs) -> relevance of each input
Back = Callable[..., tuple[Tensor, ...]]


class LayerNode(torch.autograd.Function):
    """The identity on a module's output, whose backward pass is a rule."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, back: Back, *inputs: Tensor) -> Tensor:
        """Return the output."""
        ctx.back = back
        ctx.save_for_backward(*inputs)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return the relevance of the inputs."""
        return None, None, *ctx.back(relevance, *ctx.saved_tensors)


def attach(step: Step, args: tuple[Any, ...], output: Tensor) -> Tensor:
    """Return a module's output, from which relevance passes by the step's rule.

    Args:
        step: with its layer.
        args: what the module was called with.
        output: what it made of that.
    """
    module = step.module
    if isinstance(module, (*LINEAR_MOVES, *WINNERS)):
        return output  # its gradient brings everything back to where it came from

    back = _by_layer(step)
    if isinstance(module, ops.Add):
        back = _by_terms(step)
    elif isinstance(module, ops.Product):
        back = _in_parts
    elif isinstance(module, ops.MatrixProduct) and not step.is_weighted:
        back = _by_factors(step, args)
    elif isinstance(module, ops.Softmax):
        back = _by_tangent(step, args[0], output)
    elif isinstance(module, CENTRED):
        step.layer = _centred(step, args[0])

    sources = zip(step.node.args, args, strict=True)
    inputs = [arg for source, arg in sources if source in step.receivers]
    return LayerNode.apply(output.detach(), back, *inputs)


def _by_layer(step: Step) -> Back:
    return lambda relevance, a: (step.layer.back(a, relevance),)


def _by_terms(step: Step) -> Back:
    """Return the rule of a sum of signals: each times its number is an input of a layer."""

    def back(relevance: Tensor, *signals: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(step.module.alphas, signals, strict=True)
        terms = torch.stack([alpha * signal for alpha, signal in pairs], 1)
        of_terms = step.layer.back(terms, relevance)
        return of_terms.unbind(1)

    return back


def _in_parts(relevance: Tensor, *signals: Tensor) -> tuple[Tensor, ...]:
    """Return the same part of the relevance for each factor of a product."""
    return tuple(relevance / len(signals) for _ in signals)


def _by_factors(step: Step, args: tuple[Any, ...]) -> Back:
    """Return the rule of a matrix product: its factors get the same part, each by its rule."""
    layers = []
    for i, source in enumerate(step.node.args):
        if source in step.receivers:
            layer = Factor(step.place, args[1 - i].detach(), i == 0, step.module.equation)
            layer.rule = step.layer.rule
            layer.rows = step.layer.rows
            layers.append(layer)

    def back(relevance: Tensor, *signals: Tensor) -> tuple[Tensor, ...]:
        part = relevance / len(layers)
        return tuple(layer.back(a, part) for layer, a in zip(layers, signals, strict=True))

    return back


def _by_tangent(step: Step, x: Tensor, output: Tensor) -> Back:
    """Return the rule of softmax: its tangent is linear, and the rest of it a bias."""
    share = output.detach()
    dim = step.module.dim
    layer = Centred(
        step.place, share, share, lambda v: v.sum(dim, keepdim=True).expand(share.shape)
    )
    layer.rule = step.layer.rule
    layer.rows = step.layer.rows

    # what a mask took out is minus infinity, and has no part in the output
    finite = torch.where(share > 0, x.detach(), 0.0)
    layer.bias = share - layer(finite, None)
    return lambda relevance, _: (layer.back(finite, relevance),)


def _centred(step: Step, x: Tensor) -> Centred:
    """Return the layer of a norm by the sample's own statistics."""
    norm = step.module
    if isinstance(norm, nn.LayerNorm):
        grouped = (*x.shape[: x.ndim - len(norm.normalized_shape)], -1)
        of_channels = tuple(norm.normalized_shape)
    else:
        n_groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else x.shape[1]
        grouped = (len(x), n_groups, -1)
        of_channels = (-1, *[1] * (x.ndim - 2))

    def spread(of_groups: Tensor) -> Tensor:
        return of_groups.expand(x.detach().reshape(grouped).shape).reshape(x.shape)

    variance = x.detach().reshape(grouped).var(-1, correction=0, keepdim=True)
    gain = spread((variance + norm.eps).rsqrt())
    if norm.weight is not None:
        gain = gain * norm.weight.detach().view(of_channels)

    share = torch.full_like(gain, variance.numel() / gain.numel())
    layer = Centred(
        step.place, gain, share, lambda v: spread(v.reshape(grouped).sum(-1, keepdim=True))
    )
    layer.rule = step.layer.rule
    layer.rows = step.layer.rows
    if norm.bias is not None:
        layer.bias = norm.bias.detach().view(of_channels)
    return layer
