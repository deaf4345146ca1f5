"""KernelSHAP: Shapley values of regions or columns by a weighted regression on coalitions, solved in closed form.

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
from torch.nn import functional

from gpex_bench.families.shapley import ShapleyValues
from gpex_bench.masking.answers import Probe, ask, pad
from gpex_bench.masking.choices import check_budget
from gpex_bench.masking.regions import Regions
from gpex_bench.types import settings

JITTER = 1e-10  # share of the mean diagonal that is added to it, in case the drawn coalitions leave a direction open


@settings
class KernelShap(ShapleyValues):
    """Shapley values by weighted least squares."""

    reference = "lundberg2017unified"
    cost = "`budget` forward rows per sample, or 2^regions where that is less; at least 2 * regions"

    def estimate(self, asked: Probe, cut: Regions, generators: list[Any]) -> Tensor:
        """Return the values of each sample's regions [sample, region]."""
        drawn = [
            coalitions(self.budget, *one)
            for one in zip(cut.count.tolist(), generators, strict=True)
        ]
        answers = ask(asked, cut, [masks for masks, _ in drawn])
        rows = max(len(masks) for masks, _ in drawn)
        design, weight, y = (
            torch.stack(
                [
                    functional.pad(one, (0,) * (2 * one.ndim - 1) + (rows - len(one),))
                    for one in part
                ]
            )
            for part in (
                pad([masks.to(asked.x.device).double() for masks, _ in drawn], cut.most),
                [weights.to(asked.x.device) for _, weights in drawn],
                answers,
            )
        )
        known = torch.arange(cut.most, device=y.device) < cut.count.to(y.device)[:, None]
        return constrained(design, y, weight, known)


def coalitions(budget: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return masks [mask, region] and their regression weights; the first two are nothing and everything, weight 0.

    All subsets with Shapley's kernel if the budget pays for them; else pairs drawn from the kernel, with weight 1.
    """
    ends = torch.tensor([[False], [True]]).expand(2, n)
    size = torch.arange(1, n, dtype=torch.float64)
    kernel = (n - 1) / (size * (n - size))  # of all subsets of a size together
    if n < 31 and 2**n <= budget:
        inner = (torch.arange(1, 2**n - 1)[:, None] >> torch.arange(n)) % 2 == 1
        n_alike = torch.tensor([math.comb(n, k) for k in range(1, n)], dtype=torch.float64)
        weight = (kernel / n_alike)[inner.sum(1) - 1]
    else:
        check_budget(budget, 2 * n, f"{n} regions")
        n_pairs = (budget - 2) // 2
        sizes = 1 + kernel.multinomial(n_pairs, replacement=True, generator=generator)
        half = torch.rand(n_pairs, n, generator=generator).argsort(1).argsort(1) < sizes[:, None]
        inner, weight = torch.cat([half, ~half]), torch.ones(2 * n_pairs, dtype=torch.float64)
    return torch.cat([ends, inner]), torch.cat([torch.zeros(2, dtype=torch.float64), weight])


def constrained(design: Tensor, y: Tensor, weight: Tensor, known: Tensor) -> Tensor:
    """Return values [sample, region] of weighted least squares whose sum is y(everything) - y(nothing).

    Row 0 of the design is nothing and row 1 everything; regions that are not `known` are padding and get 0.
    """
    nothing, everything = y[:, :1], y[:, 1]
    weighed = design.mT * weight[:, None]
    gram = weighed @ design
    diagonal = gram.diagonal(dim1=1, dim2=2)
    scale = diagonal.mean(1, keepdim=True).clamp(min=1)
    gram = gram + torch.diag_embed(JITTER * scale + torch.where(known, 0, scale))
    right = torch.stack([(weighed @ (y - nothing)[..., None])[..., 0], known.to(y)], 2)
    free, ones = torch.linalg.solve(gram, right).unbind(2)
    excess = (free.sum(1) - (everything - nothing[:, 0])) / ones.sum(1)
    return (free - ones * excess[:, None]) * known
