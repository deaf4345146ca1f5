"""The rules of layer-wise relevance propagation: how one layer hands relevance to its inputs.

bach2015pixel (epsilon, alpha-beta), montavon2017explaining (z+, zB, w2), montavon2019layer (gamma),
kohlbrenner2020towards (flat). A layer z_k = sum_j a_j w_jk + b_k has positive contributions, with sum P_k >= 0, and
negative ones, with sum N_k <= 0. A rule turns the relevance R_k into two factors, one for each sign; a_j gets each
contribution times its factor.

- A unit without negative contributions has alpha 1 and beta 0; without positive ones, the negative ones share all.
- A unit with nothing to share by (P = N = 0) spreads its relevance evenly over its inputs.
- What the bias (and the stabiliser of epsilon) takes is said by a policy, not by the rule: see `Bias`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gpex_bench.families.lrp.layers import Laid, Leaves, handed, over, step, tiny

Bias = Literal[
    "absorbs", "ignored", "spread"
]  # takes its share; is left out; its share goes to the contributions
Factors = tuple[
    Any, ...
]  # relevance that has nothing to share by; the factor of P; and of N, unless it is zero
LayerRule = Callable[
    [Laid, Tensor, Tensor, Tensor], Tensor
]  # (layer, input, relevance, constant) -> relevance

CANCELS = 1e-7  # of a sample's largest sum of signed summands: less is shared by size
BLOCK = 2**17  # units whose factors are calculated at a time: they stay in the processor's cache


# --- rules that tell positive from negative contributions -------------------------------------------------------------


class Sums(NamedTuple):
    """The contributions of each sign to each unit of a layer, room for their factors, and what hands these down."""

    totals: Leaves  # positive and, if asked for, negative
    factors: Leaves  # likewise, to be filled
    hand: Callable[[], Tensor]


class Rule(NamedTuple):
    """What shares relevance by (relevance, P, N), both with the bias; None where it cannot do without N."""

    share: Callable[[Tensor, Tensor, Tensor | None], Factors | None]
    is_one_sided: bool = False  # P is mostly enough


def alpha_beta(alpha: float) -> Rule:
    """Return the alpha-beta rule with beta = alpha - 1; z+ is alpha = 1."""

    def share(relevance: Tensor, positive: Tensor, negative: Tensor | None) -> Factors | None:
        nothing = tiny(positive if negative is None else positive - negative)
        has_positive = step(positive - nothing)
        if negative is None:
            shared = relevance * has_positive
            stuck = relevance - shared
            return None if bool(stuck.any()) else (stuck, shared.div_(positive.clamp(min=nothing)))
        has_negative = step(-nothing - negative)
        up = has_positive * (1 + (alpha - 1) * has_negative) * relevance
        down = has_negative * (1 - alpha * has_positive) * relevance
        stuck = relevance - up - down
        return stuck, up.div_(positive.clamp(min=nothing)), down.div_(negative.clamp(max=-nothing))

    return Rule(share, is_one_sided=alpha == 1)


def gamma(gamma: float) -> Rule:
    """Return the gamma rule for signed inputs: contributions of the sign of the unit count 1 + gamma times."""

    def share(relevance: Tensor, positive: Tensor, negative: Tensor | None) -> Factors | None:
        if negative is None:
            return None
        total, size = positive + negative, positive - negative
        sign, nothing = torch.ones_like(total).copysign_(total), tiny(size)
        total = torch.addcmul((1 + gamma / 2) * total, sign, size, value=gamma / 2).abs_()
        shared = relevance * step(total - nothing)
        even = (shared / total.clamp_(min=nothing)).mul_(gamma / 2)
        own = (1 + 2 / gamma) * even * sign if gamma else shared / total * sign
        return relevance - shared, own + even, own - even

    return Rule(share)


def signed(rule: Rule, policy: Bias = "absorbs") -> LayerRule:
    """Return the rule of a layer whose biases are treated by a policy."""

    def share(relevance: Tensor, totals: Leaves, bias: Tensor) -> Factors | None:
        ends = (0.0, 0.0) if policy == "ignored" else (bias.clamp(min=0), bias.clamp(max=0))
        positive, *negative = (total + end for total, end in zip(totals, ends, strict=False))
        found = rule.share(relevance, positive, *(negative or [None]))
        return (
            _returned(relevance, found, totals)
            if found is not None and policy == "spread"
            else found
        )

    def back(
        layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor, needs_both: bool = False
    ) -> Tensor:
        is_both = needs_both or not rule.is_one_sided or policy == "spread"
        sums, stuck = _sums(layer, a, is_both), []
        for block in torch.arange(len(a)).split(max(1, BLOCK * len(a) // relevance.numel())):
            rows = slice(int(block[0]), int(block[-1]) + 1)
            found = share(
                relevance[rows], [total[rows] for total in sums.totals], constant + layer.bias
            )
            if found is None:
                return back(layer, a, relevance, constant, needs_both=True)
            left, *factors = found
            for room, factor in zip(sums.factors, factors, strict=False):
                room[rows] = factor
            stuck.append(left)
        result = sums.hand()
        return (
            result + layer.evenly(a, torch.cat(stuck))
            if any(bool(part.any()) for part in stuck)
            else result
        )

    return back


def _returned(relevance: Tensor, factors: Factors, totals: Leaves) -> Factors:
    """Return factors that also hand on what bias and stabiliser took, to the contributions by their size."""
    (_, up, down), (positive, negative) = factors, totals
    size = positive - negative
    nothing = tiny(size)
    is_there = step(size - nothing)
    lost = torch.addcmul(relevance, up, positive, value=-1).addcmul_(down, negative, value=-1)
    lost.div_(size.clamp_(min=nothing))
    return relevance - relevance * is_there, (up + lost) * is_there, (down - lost) * is_there


def _sums(layer: Laid, a: Tensor, is_both: bool) -> Sums:
    """Return all contributions by their sign, of both signs in one call where the layer can."""
    high = a.clamp(max=0) if bool(a.min() < 0) else None
    low = a if high is None else a.clamp(min=0)
    if layer.weight is None:  # a sum or a mean: its weights are positive
        return _apart([layer.sums([(part, None)]) for part in (low, a.clamp(max=0))[: 1 + is_both]])
    plus, minus = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    signs = [low] if high is None else [low, high]
    weights = [(plus, minus), (minus, plus)][: 1 + is_both]
    if not (is_both and layer.stacks):
        return _apart([layer.sums(list(zip(signs, side, strict=False))) for side in weights])
    leaves, total = layer.sums(
        [(part, torch.cat(pair)) for part, pair in zip(signs, weights, strict=False)]
    )
    factor, along = torch.empty_like(total), 1 if plus.ndim > 2 else -1
    totals, factors = (list(both.chunk(2, along)) for both in (total.detach(), factor))
    return Sums(totals, factors, lambda: handed(leaves, total, factor))


def _apart(made: Leaves) -> Sums:
    """Return sums that were made one after the other."""
    factors = [torch.empty_like(total) for _, total in made]

    def hand() -> Tensor:
        parts = [
            handed(leaves, total, factor)
            for (leaves, total), factor in zip(made, factors, strict=True)
        ]
        return parts[0] + parts[1] if len(parts) > 1 else parts[0]

    return Sums([total.detach() for _, total in made], factors, hand)


def epsilon(epsilon: float, policy: Bias = "absorbs") -> LayerRule:
    """Return the epsilon rule; epsilon is a share of the root mean square of a sample's units."""

    def stable(total: Tensor) -> Tensor:
        scale = total.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (total.ndim - 1))
        return total + epsilon * scale * torch.where(total < 0, -1.0, 1.0)

    def share(relevance: Tensor, positive: Tensor, negative: Tensor | None) -> Factors | None:
        total = stable(positive if negative is None else positive + negative)
        factor = over(relevance, total, total != 0)
        return torch.where(total == 0, relevance, 0.0), factor, factor

    def back(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
        leaves, total = layer.sums([(a, layer.weight)])
        total_with = stable(
            total.detach() if policy == "ignored" else total.detach() + constant + layer.bias
        )
        return _shared(layer, (leaves, total), relevance, total_with, total_with != 0)

    return signed(Rule(share), policy) if policy == "spread" else back


def proportional(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Share in proportion to signed summands; by their size where they cancel."""
    leaves, total = layer.sums([(a, None)])
    stays = total.detach().abs() > CANCELS * total.detach().abs().flatten(1).amax(1).view(
        -1, *[1] * (total.ndim - 1)
    )
    result = handed(leaves, total, over(relevance, total.detach(), stays))
    stuck = torch.where(stays, 0.0, relevance)
    if not bool(stuck.any()):
        return result
    sizes = layer.sums([(a.abs(), None)])
    return result + _shared(layer, sizes, stuck, sizes[1].detach(), sizes[1].detach() > 0)


# --- rules that do not ------------------------------------------------------------------------------------------------


def flat(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Spread relevance evenly over the inputs of each unit."""
    return layer.evenly(a, relevance)


def squared(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Share in proportion to squared weights: w2, for inputs without bounds."""
    sums = layer.sums(
        [(torch.ones_like(a), None if layer.weight is None else layer.weight.square())]
    )
    return _shared(
        layer, sums, relevance, sums[1].detach(), sums[1].detach() > tiny(sums[1].detach())
    )


def box(low: Tensor, high: Tensor) -> LayerRule:
    """Return zB, for inputs between low <= 0 and high >= 0: contributions a w - low w+ - high w-."""

    def rule(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
        scale = 1.0 if layer.before is None else layer.before[0]
        ends = low.to(a) * scale, high.to(a) * scale
        floor, ceiling = (
            torch.minimum(torch.minimum(*ends), a),
            torch.maximum(torch.maximum(*ends), a),
        )
        weight = torch.ones_like(a[0]) if layer.weight is None else layer.weight
        sums = layer.sums(
            [(a, weight), (floor, -weight.clamp(min=0)), (ceiling, -weight.clamp(max=0))]
        )
        return _shared(
            layer, sums, relevance, sums[1].detach(), sums[1].detach() > tiny(sums[1].detach())
        )

    return rule


def _shared(
    layer: Laid,
    sums: tuple[Leaves, Tensor],
    relevance: Tensor,
    denominator: Tensor,
    is_there: Tensor,
) -> Tensor:
    """Share in proportion to contributions over a denominator; a unit without one shares evenly."""
    leaves, total = sums
    result = handed(leaves, total, over(relevance, denominator, is_there))
    stuck = torch.where(is_there, 0.0, relevance)
    return result + layer.evenly(leaves[0], stuck) if bool(stuck.any()) else result
