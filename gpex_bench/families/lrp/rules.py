"""The rules of layer-wise relevance propagation: how one layer hands relevance to its inputs.

bach2015pixel (epsilon, alpha-beta), montavon2017explaining (z+, zB, w2), montavon2019layer (gamma),
kohlbrenner2020towards (flat). A layer z_k = sum_j a_j w_jk + b_k has positive contributions, with
sum P_k >= 0, and negative ones, with sum N_k <= 0. A rule turns the relevance R_k into two factors,
one for each sign; a_j gets each contribution times its factor.

- A unit without negative contributions has alpha 1 and beta 0; one without positive contributions
  shares all of its relevance by the negative ones.
- A unit whose contributions are all 0 (P = N = 0) spreads its relevance evenly over its inputs.
- What the bias (and the stabiliser of epsilon) takes depends on a policy, not on the rule: `Bias`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gpex_bench.families.lrp.layers import (
    Layer,
    Leaves,
    quotient,
    redistribute,
    step,
)
from gpex_bench.types import Dataset
from gpex_bench.types.demands import training

# takes its share; is left out; its share goes to the contributions
Bias = Literal["absorbs", "ignored", "spread"]
# relevance that no contribution can share; the factor of P; the factor of N, unless it is zero
Factors = tuple[Any, ...]
# (layer, input, relevance of the output, constant part of the output) -> relevance of the input
LayerRule = Callable[[Layer, Tensor, Tensor, Tensor], Tensor]

CANCELS = 1e-6  # of the size of its summands: a sum that is less is shared by size
BLOCK = 2**17  # units whose factors are calculated at a time: they stay in the processor's cache


# --- rules that treat positive and negative contributions differently ---------------------------


class Sums(NamedTuple):
    """The contributions of each sign to each unit of a layer, and how they share relevance."""

    totals: Leaves  # P and, if needed, N
    factors: Leaves  # of the same shapes, filled by the rule
    redistribute: Callable[[], Tensor]  # returns the relevance of the input, once they are filled


class Rule(NamedTuple):
    """What shares relevance by (layer, relevance, P, N), both with the bias; None: it needs N."""

    share: Callable[[Layer, Tensor, Tensor, Tensor | None], Factors | None]
    is_one_sided: bool = False  # P alone is mostly enough


def alpha_beta(alpha: float) -> Rule:
    """Return the alpha-beta rule with beta = alpha - 1; z+ is alpha = 1."""

    def share(
        layer: Layer, relevance: Tensor, positive: Tensor, negative: Tensor | None
    ) -> Factors | None:
        size = positive if negative is None else positive - negative
        least = layer.negligible(size)
        has_positive = step(positive - least)

        if negative is None:
            shared = relevance * has_positive
            rest = relevance - shared
            if bool(rest.any()):
                return None
            return rest, shared.div_(positive.clamp(min=least))

        has_negative = step(-least - negative)
        up = has_positive * (1 + (alpha - 1) * has_negative) * relevance
        down = has_negative * (1 - alpha * has_positive) * relevance
        rest = relevance - up - down
        up.div_(positive.clamp(min=least))
        down.div_(negative.clamp(max=-least))
        return rest, up, down

    return Rule(share, is_one_sided=alpha == 1)


def gamma(gamma: float) -> Rule:
    """Return the gamma rule: contributions of the sign of the unit count 1 + gamma times."""

    def share(
        layer: Layer, relevance: Tensor, positive: Tensor, negative: Tensor | None
    ) -> Factors | None:
        if negative is None:
            return None
        total = positive + negative
        size = positive - negative
        sign = torch.ones_like(total).copysign_(total)
        least = layer.negligible(size)

        # |total| + gamma times the contributions of its sign
        total = (1 + gamma / 2) * total
        total = torch.addcmul(total, sign, size, value=gamma / 2).abs_()
        shared = relevance * step(total - least)
        rest = relevance - shared

        even = (shared / total.clamp_(min=least)).mul_(gamma / 2)
        own = (1 + 2 / gamma) * even * sign if gamma else shared / total * sign
        return rest, own + even, own - even

    return Rule(share)


def signed(rule: Rule, policy: Bias = "absorbs") -> LayerRule:
    """Return the rule of a layer whose biases are treated by a policy."""

    def share(layer: Layer, relevance: Tensor, totals: Leaves, bias: Tensor) -> Factors | None:
        parts: tuple[Any, Any] = (0.0, 0.0)
        if policy != "ignored":
            parts = (bias.clamp(min=0), bias.clamp(max=0))
        sums = [total + part for total, part in zip(totals, parts, strict=False)]
        negative = sums[1] if len(sums) > 1 else None

        factors = rule.share(layer, relevance, sums[0], negative)
        if factors is not None and policy == "spread":
            return _spread_rest(layer, relevance, factors, totals)
        return factors

    def back(
        layer: Layer, a: Tensor, relevance: Tensor, constant: Tensor, needs_both: bool = False
    ) -> Tensor:
        is_both = needs_both or not rule.is_one_sided or policy == "spread"
        sums = _sums(layer, a, is_both)
        bias = constant + layer.bias
        has_rows = bias.ndim == relevance.ndim and len(bias) == len(relevance)

        rests = []
        n_rows = max(1, BLOCK * len(relevance) // relevance.numel())
        for start in range(0, len(relevance), n_rows):
            rows = slice(start, start + n_rows)
            totals = [total[rows] for total in sums.totals]
            factors = share(layer, relevance[rows], totals, bias[rows] if has_rows else bias)
            if factors is None:
                return back(layer, a, relevance, constant, needs_both=True)
            rests.append(factors[0])
            for target, factor in zip(sums.factors, factors[1:], strict=False):
                target[rows] = factor

        result = sums.redistribute()
        if any(bool(rest.any()) for rest in rests):
            return result + layer.evenly(a, torch.cat(rests))
        return result

    return back


def _spread_rest(layer: Layer, relevance: Tensor, factors: Factors, totals: Leaves) -> Factors:
    """Return factors that also share what bias and stabiliser took, in proportion to sizes."""
    _, up, down = factors
    positive, negative = totals
    size = positive - negative
    least = layer.negligible(size)
    has_any = step(size - least)

    lost = torch.addcmul(relevance, up, positive, value=-1).addcmul_(down, negative, value=-1)
    lost.div_(size.clamp_(min=least))
    rest = relevance - relevance * has_any
    return rest, (up + lost) * has_any, (down - lost) * has_any


def _sums(layer: Layer, a: Tensor, is_both: bool) -> Sums:
    """Return all contributions by their sign, of both signs in one call where the layer can."""
    n_signs = 1 + is_both
    high = a.clamp(max=0) if bool(a.min() < 0) else None
    low = a if high is None else a.clamp(min=0)
    if layer.weight is None:  # a sum or a mean: its weights are positive
        inputs = (low, a.clamp(max=0))[:n_signs]
        return _separate([layer.sums([(part, None)]) for part in inputs])

    # a positive contribution is of two positive factors, or of two negative ones
    plus, minus = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    inputs = (low,) if high is None else (low, high)
    weights = [(plus, minus), (minus, plus)][:n_signs]
    if not (is_both and layer.stacks):
        terms = [list(zip(inputs, side, strict=False)) for side in weights]
        return _separate([layer.sums(side) for side in terms])

    # both signs in one call: their weights are stacked
    stacked = [torch.cat(pair) for pair in weights[: len(inputs)]]
    leaves, total = layer.sums(list(zip(inputs, stacked, strict=True)))
    factor = torch.empty_like(total)
    channels = 1 if plus.ndim > 2 else -1
    return Sums(
        list(total.detach().chunk(2, channels)),
        list(factor.chunk(2, channels)),
        lambda: redistribute(leaves, total, factor),
    )


def _separate(sums: Leaves) -> Sums:
    """Return sums that were made by one call for each sign."""
    factors = [torch.empty_like(total) for _, total in sums]

    def share() -> Tensor:
        parts = [
            redistribute(leaves, total, factor)
            for (leaves, total), factor in zip(sums, factors, strict=True)
        ]
        return parts[0] + parts[1] if len(parts) > 1 else parts[0]

    return Sums([total.detach() for _, total in sums], factors, share)


def epsilon(epsilon: float, policy: Bias = "absorbs") -> LayerRule:
    """Return the epsilon rule; epsilon is a share of the root mean square of a sample's units."""

    def stabilised(layer: Layer, total: Tensor) -> Tensor:
        scale = layer.mean_square(total).sqrt()
        return total + epsilon * scale * torch.where(total < 0, -1.0, 1.0)

    def share(
        layer: Layer, relevance: Tensor, positive: Tensor, negative: Tensor | None
    ) -> Factors | None:
        total = stabilised(layer, positive if negative is None else positive + negative)
        factor = quotient(relevance, total, total != 0)
        return torch.where(total == 0, relevance, 0.0), factor, factor

    def back(layer: Layer, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
        leaves, total = layer.sums([(a, layer.weight)])
        output = total.detach()
        if policy != "ignored":
            output = output + constant + layer.bias
        output = stabilised(layer, output)
        return _shared(layer, (leaves, total), relevance, output, output != 0)

    return signed(Rule(share), policy) if policy == "spread" else back


def proportional(layer: Layer, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Share in proportion to signed summands; by their size where they cancel."""
    leaves, total = layer.sums([(a, None)])
    sizes = layer.sums([(a.abs(), None)])
    output = total.detach()
    size = sizes[1].detach()
    remains = output.abs() > CANCELS * size

    result = redistribute(leaves, total, quotient(relevance, output, remains))
    rest = torch.where(remains, 0.0, relevance)
    if not bool(rest.any()):
        return result
    return result + _shared(layer, sizes, rest, size, size > 0)


# --- rules that treat all contributions alike ---------------------------------------------------


def flat(layer: Layer, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Spread relevance evenly over the inputs of each unit."""
    return layer.evenly(a, relevance)


def squared(layer: Layer, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Share in proportion to squared weights: w2, for inputs without bounds."""
    weight = None if layer.weight is None else layer.weight.square()
    sums = layer.sums([(layer.present(a), weight)])
    size = sums[1].detach()
    return _shared(layer, sums, relevance, size, size > layer.negligible(size))


def box(layer: Layer, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Share by zB, for inputs between bounds: contributions a w - low w+ - high w-.

    Where no bounds are known they are 0, which makes it z+.
    """
    zero = a.new_zeros(())
    low, high = layer.bounds or (zero, zero)
    if layer.origin is not None:
        low = low - layer.origin
        high = high - layer.origin

    # inputs may lie outside
    floor = torch.minimum(low, a)
    ceiling = torch.maximum(high, a)

    weight: Any = layer.weight  # only layers with weights get this rule
    plus = weight.clamp(min=0)
    minus = weight.clamp(max=0)
    terms = [(a, weight), (floor, -plus), (ceiling, -minus)]
    sums = layer.sums(terms)

    size = sums[1].detach()
    has_any = size > layer.negligible(size)
    return _shared(layer, sums, relevance, size, has_any)


def training_range(data: Dataset) -> tuple[Tensor, Tensor]:
    """Return the range of the training data with zero inside, per channel or column, for `box`.

    Raises:
        Refused: there are no training samples.
    """
    who = "the rule zB takes their range; other composites (lrp) and domains (deep_taylor) do not"
    x = training(data, who).x
    axes = (0, *range(2, x.ndim))
    return x.amin(axes, keepdim=True).clamp(max=0), x.amax(axes, keepdim=True).clamp(min=0)


def _shared(
    layer: Layer,
    sums: tuple[Leaves, Tensor],
    relevance: Tensor,
    denominator: Tensor,
    has_any: Tensor,
) -> Tensor:
    """Share in proportion to contributions; units without one spread their relevance evenly."""
    leaves, total = sums
    result = redistribute(leaves, total, quotient(relevance, denominator, has_any))
    rest = torch.where(has_any, 0.0, relevance)
    if bool(rest.any()):
        return result + layer.evenly(leaves[0], rest)
    return result
