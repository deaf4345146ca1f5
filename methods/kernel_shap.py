"""KernelSHAP: Shapley values by a weighted regression on coalitions, in closed form.

Lundberg and Lee 2017 (lundberg2017unified); coalitions are drawn in pairs with their complements,
and the sum is held by a constraint instead of a large weight, as Covert and Lee 2021
(covert2021improving) do. If the budget pays for all subsets they are all evaluated, and the values
are the exact Shapley values. The game is the target's output with absent regions filled (not the
conditional expectation); a region's value is spread evenly over its entries. The values sum to f(x)
- f(all absent) with any budget, which is completeness for the default output and fill.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import rnn

from gpex_bench.families.shapley import ShapleyValues
from gpex_bench.masking.answers import Probe, ask, pad
from gpex_bench.masking.choices import check_budget
from gpex_bench.masking.regions import Regions
from gpex_bench.types import settings

# share of the mean diagonal that is added to it, in case the drawn coalitions leave a direction
# open
JITTER = 1e-10


@settings
class KernelShap(ShapleyValues):
    """Shapley values by weighted least squares."""

    reference = "lundberg2017unified"
    cost = "`budget` forward rows per sample, or 2^regions where that is less; at least 2 * regions"

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

    The first two masks are nothing and everything, with weight 0. Then all subsets with Shapley's
    kernel as weight, if the budget pays for them; else pairs drawn from the kernel, with weight 1.
    """
    size = torch.arange(1, n, dtype=torch.float64)
    kernel = (n - 1) / (size * (n - size))  # of all subsets of a size together

    if n < 31 and 2**n <= budget:
        subsets = torch.arange(1, 2**n - 1)[:, None] >> torch.arange(n)
        inner = subsets % 2 == 1
        n_alike = torch.tensor([math.comb(n, k) for k in range(1, n)], dtype=torch.float64)
        weight = (kernel / n_alike)[inner.sum(1) - 1]
    else:
        check_budget(budget, 2 * n, f"{n} regions")
        n_pairs = (budget - 2) // 2
        sizes = 1 + kernel.multinomial(n_pairs, replacement=True, generator=generator)
        place = torch.rand(n_pairs, n, generator=generator).argsort(1).argsort(1)
        half = place < sizes[:, None]
        inner = torch.cat([half, ~half])
        weight = torch.ones(2 * n_pairs, dtype=torch.float64)

    ends = torch.tensor([[False], [True]]).expand(2, n)
    no_weight = torch.zeros(2, dtype=torch.float64)
    return torch.cat([ends, inner]), torch.cat([no_weight, weight])


def constrained(design: Tensor, y: Tensor, weight: Tensor, known: Tensor) -> Tensor:
    """Return the values [sample, region] of weighted least squares with a given sum.

    The sum is y(everything) - y(nothing). Row 0 of the design is nothing and row 1 everything;
    regions that are not `known` are padding and get 0.
    """
    nothing, everything = y[:, :1], y[:, 1]
    weighted = design.mT * weight[:, None]
    gram = weighted @ design
    diagonal = gram.diagonal(dim1=1, dim2=2)
    scale = diagonal.mean(1, keepdim=True).clamp(min=1)

    # padding has a diagonal of its own, so that the system can be solved
    of_padding = torch.where(known, 0, scale)
    gram = gram + torch.diag_embed(JITTER * scale + of_padding)

    # the solution without the constraint, and the direction in which it is corrected
    gain = y - nothing
    moments = (weighted @ gain[..., None])[..., 0]
    right = torch.stack([moments, known.to(y)], 2)
    free, ones = torch.linalg.solve(gram, right).unbind(2)

    wanted = everything - nothing[:, 0]
    excess = (free.sum(1) - wanted) / ones.sum(1)
    return (free - ones * excess[:, None]) * known
