"""The rules of relevance propagation, by what a unit's positive and negative contributions sum to.

Written from bach2015pixel, montavon2017explaining, montavon2019layer, kohlbrenner2020towards and
achtibat2024attnlrp, with the conventions that methods/lrp.py states. A `Unit` says how the
contributions are found: by dense matrices in `fuzz_units`, by clamped weights in `networks_units`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEGLIGIBLE = 1e-7  # of a sample's largest sum: as methods/lrp.py has it


class Unknown(Exception):
    """No rule is written here for an operation."""


class Unit(ABC):
    """A linear operation for given inputs: contributions of each input to each output, and a bias.

    Outputs have shape [batch, *output]; so have all factors of them.
    """

    bias: Tensor  # broadcasts over the outputs
    ends: Sequence[Tensor] = ()  # smallest and largest values that the inputs can have

    @abstractmethod
    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of the positive and of the negative contributions to each output."""

    @abstractmethod
    def share(self, up: Tensor, down: Tensor) -> Tensor:
        """Return each input's positive contributions times `up`, its negative ones times `down`."""

    @abstractmethod
    def evenly(self, relevance: Tensor) -> Tensor:
        """Return relevance that each output spreads evenly over the inputs it is connected with."""

    @abstractmethod
    def squares(self, relevance: Tensor) -> Tensor:
        """Return relevance in proportion to squared weights."""

    @abstractmethod
    def in_box(self, relevance: Tensor) -> Tensor:
        """Return relevance by zB, with the ends."""

    def total(self) -> Tensor:
        """Return the sum of all contributions to each output."""
        positive, negative = self.sums()
        return positive + negative

    def mean_square(self, total: Tensor) -> Tensor:
        """Return the mean square of a sample's outputs."""
        mean = total.square().flatten(1).mean(1)
        return mean.view(-1, *[1] * (total.ndim - 1))


# (unit, relevance of its outputs) -> relevance of its inputs
Rule = Callable[[Unit, Tensor], Tensor]


def largest(size: Tensor) -> Tensor:
    """Return the largest entry of each sample, shaped to broadcast."""
    return size.flatten(1).amax(1).view(-1, *[1] * (size.ndim - 1))


def quotient(numerator: Tensor, denominator: Tensor, where: Tensor) -> Tensor:
    """Return a quotient, and 0 where the condition does not hold."""
    return torch.where(where, numerator / torch.where(where, denominator, 1.0), 0.0)


def epsilon(share: float, policy: str = "absorbs") -> Rule:
    """Return the epsilon rule; the stabiliser is a share of the root mean square."""

    def rule(unit: Unit, relevance: Tensor) -> Tensor:
        total = unit.total()
        if policy != "ignored":
            total = total + unit.bias
        scale = unit.mean_square(total).sqrt()
        total = total + share * scale * torch.where(total < 0, -1.0, 1.0)
        factor = quotient(relevance, total, total != 0)
        rest = torch.where(total == 0, relevance, 0.0)
        return _finish(unit, (factor, factor), relevance, rest, policy)

    return rule


def alpha_beta(alpha: float, policy: str = "absorbs") -> Rule:
    """Return the alpha-beta rule; z+ is alpha 1."""

    def rule(unit: Unit, relevance: Tensor) -> Tensor:
        positive, negative = unit.sums()
        if policy != "ignored":
            positive = positive + unit.bias.clamp(min=0)
            negative = negative + unit.bias.clamp(max=0)
        least = NEGLIGIBLE * largest(positive - negative) + 1e-300
        has_positive, has_negative = positive > least, negative < -least

        # a unit with one sign only has no other to pay
        up = torch.where(has_negative, alpha, 1.0) * has_positive
        down = torch.where(has_positive, 1 - alpha, 1.0) * has_negative
        rest = relevance * (1 - up - down)
        factors = (
            quotient(up * relevance, positive, has_positive),
            quotient(down * relevance, negative, has_negative),
        )
        return _finish(unit, factors, relevance, rest, policy)

    return rule


def gamma(gamma: float, policy: str = "absorbs") -> Rule:
    """Return the gamma rule: contributions of the sign of the unit count 1 + gamma times."""

    def rule(unit: Unit, relevance: Tensor) -> Tensor:
        positive, negative = unit.sums()
        if policy != "ignored":
            positive = positive + unit.bias.clamp(min=0)
            negative = negative + unit.bias.clamp(max=0)
        is_negative = positive + negative < 0
        up = torch.where(is_negative, 1.0, 1 + gamma)
        down = torch.where(is_negative, 1 + gamma, 1.0)

        total = up * positive + down * negative
        remains = total.abs() > NEGLIGIBLE * largest(positive - negative) + 1e-300
        factor = quotient(relevance, total, remains)
        rest = torch.where(remains, 0.0, relevance)
        return _finish(unit, (up * factor, down * factor), relevance, rest, policy)

    return rule


def _finish(
    unit: Unit, factors: tuple[Tensor, Tensor], relevance: Tensor, rest: Tensor, policy: str
) -> Tensor:
    """Return what the inputs get; `spread` gives back what bias and stabiliser took, by size."""
    up, down = factors
    if policy == "spread":
        positive, negative = unit.sums()
        size = positive - negative
        has_any = size > NEGLIGIBLE * largest(size) + 1e-300
        lost = quotient(relevance - up * positive - down * negative, size, has_any)
        up = torch.where(has_any, up + lost, 0.0)
        down = torch.where(has_any, down - lost, 0.0)
        rest = torch.where(has_any, 0.0, relevance)
    return unit.share(up, down) + unit.evenly(rest)


def flat(unit: Unit, relevance: Tensor) -> Tensor:
    """Share evenly."""
    return unit.evenly(relevance)


def squared(unit: Unit, relevance: Tensor) -> Tensor:
    """Share in proportion to squared weights."""
    return unit.squares(relevance)


def box(unit: Unit, relevance: Tensor) -> Tensor:
    """Share by zB."""
    if not unit.ends:
        raise Unknown("the range of what the first layer reads")
    return unit.in_box(relevance)


def proportional(unit: Unit, relevance: Tensor) -> Tensor:
    """Share in proportion to signed summands; by their size where they cancel."""
    positive, negative = unit.sums()
    total, size = positive + negative, positive - negative
    remains = total.abs() > NEGLIGIBLE * largest(total.abs())
    factor = quotient(relevance, total, remains)
    rest = torch.where(remains, 0.0, relevance)
    by_size = quotient(rest, size, size > 0)
    nothing = torch.where(size > 0, 0.0, rest)
    return unit.share(factor + by_size, factor - by_size) + unit.evenly(nothing)


# --- composites -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composite:
    """The rules of a composite, by the kind of operation."""

    first: Rule
    lower: Rule
    dense: Rule
    sums: Rule
    norms: Rule
    statistics: Rule  # norms by the sample's own statistics, and constants that are added
    products: Rule  # each factor of a matrix product
    softmax: Rule | None = None  # None: the weights of attention are constants


def composite(name: str, policy: str = "absorbs") -> Composite:
    """Return a composite of methods/lrp.py by its name."""
    rules = {
        "epsilon": epsilon(1e-6, policy),
        "z+": alpha_beta(1.0, policy),
        "alpha2": alpha_beta(2.0, policy),
        "gamma": gamma(0.25, policy),
        "flat": flat,
        "box": box,
    }
    table = {
        "epsilon": ("epsilon", "epsilon", "epsilon"),
        "alpha1_beta0": ("z+", "z+", "z+"),
        "alpha2_beta1": ("alpha2", "alpha2", "alpha2"),
        "gamma": ("gamma", "gamma", "gamma"),
        "epsilon_plus": ("z+", "z+", "epsilon"),
        "epsilon_plus_flat": ("flat", "z+", "epsilon"),
        "epsilon_gamma_box": ("box", "gamma", "epsilon"),
        "epsilon_alpha2_beta1": ("alpha2", "alpha2", "epsilon"),
        "epsilon_alpha2_beta1_flat": ("flat", "alpha2", "epsilon"),
    }
    first, lower, dense = (rules[word] for word in table[name])
    rest = "absorbs" if policy == "absorbs" else "spread"
    norms = rules["epsilon"] if lower is rules["epsilon"] else rules["z+"]
    return Composite(
        first=first,
        lower=lower,
        dense=dense,
        sums=proportional,
        norms=norms,
        statistics=rules["epsilon"],
        products=rules["epsilon"],
        softmax=epsilon(0.0, rest),
    )


def deep_taylor(first: Rule | None) -> Composite:
    """Return Deep Taylor's rules: z+ everywhere but at the input."""
    plus = alpha_beta(1.0, "ignored")
    return Composite(first or plus, plus, plus, plus, plus, plus, plus)
