"""KernelSHAP: Shapley values by a weighted regression on coalitions, in closed form.

Lundberg and Lee 2017 (lundberg2017unified). Coalitions are taken size by size from both ends (one
region alone, all but one, two alone, ...), each with its exact weight, as long as the budget pays
for all of a size; the others are drawn in pairs with their complements, and share the weight that
is left (as the authors' package does, which may draw the first sizes too). So the fit is determined
with any budget, and exact on linear networks. If the budget pays for all subsets the values are the
exact Shapley values. Their sum is held by a constraint instead of a large weight, as Covert and Lee
2021 (covert2021improving) do.

The game is the target's output with absent regions filled (not the conditional expectation); a
region's value is spread evenly over its entries. The values sum to f(x) - f(all absent) with any
budget, which is completeness for the default output and fill.
"""

from itertools import combinations
from math import comb
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import rnn

from gpex_bench.families.shapley import ShapleyValues
from gpex_bench.masking.answers import Probe, ask, pad
from gpex_bench.masking.choices import check_budget
from gpex_bench.masking.regions import Regions
from gpex_bench.types import settings

ROUNDING = 1e-9  # of a number of coalitions that is compared with a whole one


@settings
class KernelShap(ShapleyValues):
    """Shapley values by weighted least squares."""

    reference = "lundberg2017unified"
    cost = (
        "`budget` forward rows per sample, or 2^regions where that is less; at least "
        "2 * regions + 2, or 2^regions"
    )

    def estimate(self, asked: Probe, cut: Regions, generators: list[Any]) -> Tensor:
        """Return the values of each sample's regions [sample, region]."""
        masks, weights = [], []
        for count, generator in zip(cut.count.tolist(), generators, strict=True):
            mask, weight = coalitions(self.budget, count, generator)
            masks.append(mask)
            weights.append(weight.to(asked.x.device))
        answers = ask(asked, cut, masks)

        # samples with fewer coalitions or regions are padded with rows of weight 0 and columns of 0
        designs = pad([mask.to(asked.x.device).double() for mask in masks], cut.most)
        known = (
            torch.arange(cut.most, device=asked.x.device) < cut.count.to(asked.x.device)[:, None]
        )
        return constrained(
            pad_sequence(designs), pad_sequence(answers), pad_sequence(weights), known
        )


def pad_sequence(parts: list[Any]) -> Tensor:
    """Return tensors of different lengths as one [sample, row, ...], padded with zeros."""
    return rnn.pad_sequence(parts, batch_first=True)


def coalitions(budget: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return masks [mask, region] and their regression weights.

    The first two masks are nothing and everything, with weight 0. Then come the sizes of which the
    budget pays for all subsets, and pairs drawn from the other sizes.

    Raises:
        Refused: the budget does not pay for all subsets of size 1 and n - 1.
    """
    check_budget(budget, min(2**n, 2 * n + 2), f"{n} regions")
    size = torch.arange(1, n, dtype=torch.float64)
    kernel = 1 / (size * (n - size))  # of all subsets of a size together
    kernel = kernel / kernel.sum()
    left = budget - 2

    masks = [torch.tensor([[False], [True]]).expand(2, n)]
    weights = [torch.zeros(2, dtype=torch.float64)]
    for k in range(1, n // 2 + 1):
        ends = sorted({k, n - k})
        n_each = comb(n, k)
        n_subsets = len(ends) * n_each

        # all of a size, where as many would be drawn; in any case the first
        share = sum(float(kernel[end - 1]) for end in ends) / float(kernel.sum())
        if k > 1 and left * share < n_subsets * (1 - ROUNDING):
            break

        for end in ends:
            weight = kernel[end - 1] / n_each
            masks.append(of_size(end, n))
            weights.append(weight.expand(n_each))
            kernel[end - 1] = 0
        left -= n_subsets

    n_pairs = left // 2
    remaining = kernel.sum()
    if remaining > 0 and n_pairs > 0:
        sizes = 1 + kernel.multinomial(n_pairs, replacement=True, generator=generator)
        place = torch.rand(n_pairs, n, generator=generator).argsort(1).argsort(1)
        half = place < sizes[:, None]
        masks += [half, ~half]

        weight = remaining / (2 * n_pairs)
        weights.append(weight.expand(2 * n_pairs))
    return torch.cat(masks), torch.cat(weights)


def of_size(size: int, n: int) -> Tensor:
    """Return the masks of all subsets of a size [subset, region].

    Those of more than half of the regions are the complements of the smaller ones.
    """
    few = min(size, n - size)
    members = torch.tensor(list(combinations(range(n), few)))
    masks = torch.zeros(len(members), n, dtype=torch.bool).scatter_(1, members, True)
    return masks if size == few else ~masks


def constrained(design: Tensor, y: Tensor, weight: Tensor, known: Tensor) -> Tensor:
    """Return the values [sample, region] of weighted least squares with a given sum.

    The sum is y(everything) - y(nothing). Row 0 of the design is nothing and row 1 everything;
    regions that are not `known` are padding and get 0.
    """
    nothing, everything = y[:, :1], y[:, 1]
    weighted = design.mT * weight[:, None]
    gram = weighted @ design

    # padding, and a region without others, gets a diagonal, so that the system can be solved
    is_empty = gram.diagonal(dim1=1, dim2=2) == 0
    gram = gram + torch.diag_embed(is_empty.to(gram))

    # the solution without the constraint, and the direction in which it is corrected
    gain = y - nothing
    moments = (weighted @ gain[..., None])[..., 0]
    right = torch.stack([moments, known.to(y)], 2)
    free, ones = torch.linalg.solve(gram, right).unbind(2)

    wanted = everything - nothing[:, 0]
    excess = (free.sum(1) - wanted) / ones.sum(1)
    return (free - ones * excess[:, None]) * known
