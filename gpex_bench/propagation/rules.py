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
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

Bias = Literal["absorbs", "ignored", "spread"]  # takes its share; is left out; its share goes to the contributions
Factors = tuple[Tensor, Tensor | None]  # of the positive and of the negative contributions; None: zero
Rule = Callable[[Tensor, Tensor, Callable[[], Tensor]], Factors]  # (relevance, P, get N) -> factors; both with the bias
LayerRule = Callable[["Laid", Tensor, Tensor, Tensor], Tensor]  # (layer, input, relevance, constant) -> relevance

# Lists have no type of their items: the runtime checker of the tests would draw random numbers to pick one.
Terms = list[Any]  # of (input, weight or None)
Leaves = list[Any]  # of tensors

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TINY = 1e-7  # of a sample's largest sum of contributions: less is rounding
CANCELS = 1e-7  # of a sample's largest sum of signed summands: less is shared by size


class Laid:
    """A layer of a network with its rule; `rule` None lets relevance pass."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name, self.module = name, module
        self.weight: Tensor | None = None
        self.bias: Tensor | float = 0.0
        self.before: tuple[Tensor, Tensor] | None = None  # scale and shift of a batch norm that this layer takes in
        self.rule: LayerRule | None = None
        self.is_folded = False  # a batch norm that another layer has taken in
        if isinstance(module, NORMS):
            self.weight, self.bias = affine(name, module)
        elif isinstance(module, WEIGHTED):
            self.weight = module.weight.detach()
            if module.bias is not None:
                self.bias = module.bias.detach().view(-1, *[1] * (self.weight.ndim - 2))

    def __call__(self, a: Tensor, weight: Tensor | None) -> Tensor:
        """Return the layer's output for other weights and without its bias."""
        if weight is None:
            return self.module(a)
        return a * weight if isinstance(self.module, NORMS) else functional_call(self.module, {"weight": weight}, (a,))

    def back(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return the relevance of the layer's input."""
        if self.rule is None:
            return relevance
        if self.before is None:
            return self.rule(self, a, relevance, a.new_zeros(()))
        _, shift = self.before
        return self.rule(self, a - shift, relevance, self(shift.expand_as(a), self.weight))

    def sums(self, terms: Terms) -> tuple[Leaves, Tensor]:
        """Return the inputs of the terms, as leaves of a graph, and the sum of the layer's outputs for them."""
        with torch.enable_grad():
            leaves = [a.detach().requires_grad_() for a, _ in terms]
            outputs = [self(leaf, weight) for leaf, (_, weight) in zip(leaves, terms, strict=True)]
            return leaves, torch.stack(outputs).sum(0) if len(outputs) > 1 else outputs[0]

    def evenly(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return relevance that is spread evenly over the inputs of each unit."""
        ones = None if self.weight is None else torch.ones_like(self.weight)
        leaves, total = self.sums([(torch.ones_like(a), ones)])
        return handed(leaves, total, over(relevance, total.detach(), total.detach() != 0))


# --- arithmetic -------------------------------------------------------------------------------------------------------


def affine(name: str, norm: Any) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm, shaped to broadcast; ValueError if it has no running statistics."""
    if norm.training or norm.running_var is None:
        raise ValueError(f"The batch norm {name!r} normalises by the batch; call eval() and keep running statistics.")
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight.detach())
    shift = (0 if norm.bias is None else norm.bias.detach()) - norm.running_mean * scale
    shape = (-1, *[1] * {nn.BatchNorm1d: 0, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}[type(norm)])
    return scale.view(shape), shift.view(shape)


def handed(leaves: Leaves, total: Tensor, factor: Tensor) -> Tensor:
    """Return for each input the sum of its contributions to `total`, each times the factor of its unit."""
    gradients = torch.autograd.grad(total, leaves, factor)
    parts = [leaf.detach() * gradient for leaf, gradient in zip(leaves, gradients, strict=True)]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def over(numerator: Tensor, denominator: Tensor, where: Tensor) -> Tensor:
    """Return a quotient, and 0 where the condition does not hold."""
    return torch.where(where, numerator / denominator, 0.0)


def tiny(size: Tensor) -> Tensor:
    """Return what counts as nothing, sample by sample."""
    largest = size.flatten(1).amax(1)
    return (TINY * largest + torch.finfo(size.dtype).tiny).view(-1, *[1] * (size.ndim - 1))


# --- rules that tell positive from negative contributions -------------------------------------------------------------


def alpha_beta(alpha: float) -> Rule:
    """Return the alpha-beta rule with beta = alpha - 1; z+ is alpha = 1."""

    def rule(relevance: Tensor, positive: Tensor, get_negative: Callable[[], Tensor]) -> Factors:
        has_positive = positive > tiny(positive)
        if alpha == 1.0 and not bool(((relevance != 0) & ~has_positive).any()):
            return over(relevance, positive, has_positive), None
        negative = get_negative()
        nothing = tiny(positive - negative)
        has_positive, has_negative = positive > nothing, negative < -nothing
        share = torch.where(has_positive, torch.where(has_negative, alpha, 1.0), 0.0)
        return over(share * relevance, positive, has_positive), over((1 - share) * relevance, negative, has_negative)

    return rule


def gamma(gamma: float) -> Rule:
    """Return the gamma rule for signed inputs: contributions of the sign of the unit count 1 + gamma times."""

    def rule(relevance: Tensor, positive: Tensor, get_negative: Callable[[], Tensor]) -> Factors:
        negative = get_negative()
        total = positive + negative
        is_up = total >= 0
        total = total + gamma * torch.where(is_up, positive, negative)
        factor = over(relevance, total, total.abs() > tiny(positive - negative))
        return factor * (1 + gamma * is_up), factor * (1 + gamma * ~is_up)

    return rule


def signed(rule: Rule, policy: Bias = "absorbs") -> LayerRule:
    """Return the rule of a layer whose biases are treated by a policy."""

    def back(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
        bias = torch.zeros_like(constant) if policy == "ignored" else constant + layer.bias
        ups = _side(layer, a, True)
        downs: list[tuple[Leaves, Tensor]] = []

        def get_negative() -> Tensor:
            if not downs:
                downs.append(_side(layer, a, False))
            return downs[0][1].detach() + bias.clamp(max=0)

        positive = ups[1].detach()
        up, down = rule(relevance, positive + bias.clamp(min=0) if policy != "ignored" else positive, get_negative)
        if policy == "spread":
            up, down = _returned(relevance, (up, down), positive, get_negative() - bias.clamp(max=0))
        result = handed(*ups, up) if down is None else handed(*ups, up) + handed(*downs[0], down)
        has_none = (up == 0) & (relevance != 0)
        stuck = torch.where(has_none if down is None else has_none & (down == 0), relevance, 0.0)
        return result + layer.evenly(a, stuck) if bool(stuck.any()) else result

    return back


def _returned(relevance: Tensor, factors: Factors, positive: Tensor, negative: Tensor) -> Factors:
    """Return factors that also hand on what bias and stabiliser took, to the contributions by their size."""
    up, down = factors[0], torch.zeros_like(relevance) if factors[1] is None else factors[1]
    size = positive - negative
    is_there = size > tiny(size)
    lost = over(relevance - up * positive - down * negative, size, is_there)
    return torch.where(is_there, up + lost, 0.0), torch.where(is_there, down - lost, 0.0)


def _side(layer: Laid, a: Tensor, is_positive: bool) -> tuple[Leaves, Tensor]:
    """Return inputs and sum of all contributions of one sign; inputs of a sign that does not occur are left out."""
    is_signed = bool(a.min() < 0)
    low = a.clamp(min=0) if is_signed else a
    if layer.weight is None:  # a sum or a mean: its weights are positive
        return layer.sums([(low if is_positive else a.clamp(max=0), None)])
    plus, minus = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    terms = [(low, plus if is_positive else minus)]
    if is_signed:
        terms.append((a.clamp(max=0), minus if is_positive else plus))
    return layer.sums(terms)


def epsilon(epsilon: float, policy: Bias = "absorbs") -> LayerRule:
    """Return the epsilon rule; epsilon is a share of the root mean square of a sample's units."""

    def stable(total: Tensor) -> Tensor:
        scale = total.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (total.ndim - 1))
        return total + epsilon * scale * torch.where(total < 0, -1.0, 1.0)

    def rule(relevance: Tensor, positive: Tensor, get_negative: Callable[[], Tensor]) -> Factors:
        total = stable(positive + get_negative())
        factor = over(relevance, total, total != 0)
        return factor, factor

    def back(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
        leaves, total = layer.sums([(a, layer.weight)])
        total_with = stable(total.detach() if policy == "ignored" else total.detach() + constant + layer.bias)
        return _shared(layer, (leaves, total), relevance, total_with, total_with != 0)

    return signed(rule, policy) if policy == "spread" else back


def proportional(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
    """Share in proportion to signed summands; by their size where they cancel."""
    leaves, total = layer.sums([(a, None)])
    stays = total.detach().abs() > CANCELS * total.detach().abs().flatten(1).amax(1).view(-1, *[1] * (total.ndim - 1))
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
    sums = layer.sums([(torch.ones_like(a), None if layer.weight is None else layer.weight.square())])
    return _shared(layer, sums, relevance, sums[1].detach(), sums[1].detach() > tiny(sums[1].detach()))


def box(low: Tensor, high: Tensor) -> LayerRule:
    """Return zB, for inputs between low <= 0 and high >= 0: contributions a w - low w+ - high w-."""

    def rule(layer: Laid, a: Tensor, relevance: Tensor, constant: Tensor) -> Tensor:
        scale = 1.0 if layer.before is None else layer.before[0]
        ends = low.to(a) * scale, high.to(a) * scale
        floor, ceiling = torch.minimum(torch.minimum(*ends), a), torch.maximum(torch.maximum(*ends), a)
        weight = torch.ones_like(a[0]) if layer.weight is None else layer.weight
        sums = layer.sums([(a, weight), (floor, -weight.clamp(min=0)), (ceiling, -weight.clamp(max=0))])
        return _shared(layer, sums, relevance, sums[1].detach(), sums[1].detach() > tiny(sums[1].detach()))

    return rule


def _shared(
    layer: Laid, sums: tuple[Leaves, Tensor], relevance: Tensor, denominator: Tensor, is_there: Tensor
) -> Tensor:
    """Share in proportion to contributions over a denominator; a unit without one shares evenly."""
    leaves, total = sums
    result = handed(leaves, total, over(relevance, denominator, is_there))
    stuck = torch.where(is_there, 0.0, relevance)
    return result + layer.evenly(leaves[0], stuck) if bool(stuck.any()) else result
