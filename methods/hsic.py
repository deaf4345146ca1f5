"""HSIC attribution: how strongly the output depends on a region, by a kernel measure.

Novello, Fel, Vigouroux 2022 (novello2022making); estimator trace(K H L H) / (n - 1)^2 of Gretton et
al. 2005 (gretton2005measuring), with the Dirac kernel on a region's coin and a Gaussian kernel on
the output. The width of that kernel is the median distance between outputs (the authors' code takes
the median output itself, which is not unaffected by adding a constant). Masks are coin flips on a
grid, balanced and independent in pairs; tables have one coin per column. The measure of a region is
spread evenly over its entries (ours).

Unsigned: it measures how much a region matters, not in which direction; a constant output gives
zeros.
"""

import numpy as np
import torch
from torch import Tensor

from gpex_bench.families.masking import Masking
from gpex_bench.families.sobol_indices import is_constant
from gpex_bench.masking.answers import ask, groups, probe
from gpex_bench.masking.choices import Output, check_masks, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import grid
from gpex_bench.types import Attribution, Query, Task, settings
from gpex_bench.types.batches import CHANGED_ROWS


@settings
class Hsic(Masking):
    """Dependence of the output on each region."""

    reference = "novello2022making"
    kind = "perturbation"
    cost = "`budget` forward rows per sample, and budget^2 * regions multiplications"

    budget: int = 1024  # forward rows per sample; powers of two balance the coins
    grid: int = 7  # regions along each side of an image
    fill: MethodFill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, budget=2)

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time."""
        parts = [self._explain(task, part) for part in groups(query, self.budget)]
        return Attribution(values=torch.cat(parts))

    def _explain(self, task: Task, query: Query) -> Tensor:
        cut = grid(query.x, self.grid, task.data.groups)
        asked = probe(task, query, self.fill, self.output, cut)
        seeds = [task.seeded(sample) for sample in query.sample.tolist()]
        masks = [coins(self.budget, cut.most, seed) for seed in seeds]

        values = []
        for mask, y in zip(masks, ask(asked, cut, masks), strict=True):
            values.append(dependence(mask.to(y.device), y))
        return cut.spread(torch.stack(values), query.x)


def coins(n_masks: int, n_regions: int, seed: int) -> Tensor:
    """Return coin flips [mask, region]: balanced, and no two of them the same or opposite.

    Different parities of the bits of a mask's number, of which each may be flipped. So any two
    coins are independent over a number of masks that is a power of two.

    Raises:
        Refused: there are no more masks than regions.
    """
    check_masks(n_masks, n_regions)
    n_bits = (n_masks - 1).bit_length()
    generator = np.random.default_rng(seed)
    # without parity 0, which is the same for all masks
    parities = 1 + generator.choice(2**n_bits - 1, n_regions, replace=False)
    flipped = generator.integers(0, 2, n_regions)

    shared = np.arange(n_masks)[:, None] & parities
    parity = np.zeros_like(shared)
    for bit in range(n_bits):
        parity ^= (shared >> bit) & 1
    return torch.from_numpy((parity ^ flipped) == 1)


def dependence(masks: Tensor, y: Tensor) -> Tensor:
    """Return the HSIC of the answers with each column of the masks [region].

    0 if the answers are constant. The centred Dirac kernel of a coin s = +-1 is half
    the outer product of s minus its mean, so that the trace is a quadratic form, summed here over a
    chunk of rows of the output's kernel at a time.
    """
    n = len(y)
    width = median_distance(y)
    if bool(is_constant(y.var(correction=0), y.abs().max())):
        return y.new_zeros(masks.shape[1])

    sign = 2 * masks.to(y) - 1
    sign = sign - sign.mean(0)
    total = y.new_zeros(masks.shape[1])
    for rows in torch.arange(n, device=y.device).split(CHANGED_ROWS):
        distance = y[rows, None] - y
        kernel = (-(distance**2) / (2 * width**2)).exp()
        total += (sign[rows] * (kernel @ sign)).sum(0)
    return total / (2 * (n - 1) ** 2)


def median_distance(y: Tensor, most: int = CHANGED_ROWS) -> Tensor:
    """Return the median distance between answers, or their standard deviation if that is 0.

    Of the first answers only, `most` of them: they are a balanced sample, and the number of all
    pairs would grow with the square.
    """
    pairs = torch.combinations(y[:most])
    if not len(pairs):
        return y.std(correction=0)
    median = (pairs[:, 0] - pairs[:, 1]).abs().median()
    return median if median > 0 else y.std(correction=0)
