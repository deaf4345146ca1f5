"""LIME, vectorised: the regression of `lime` without its package, in shared batches.

Ribeiro, Singh, Guestrin 2016 (ribeiro2016why). As in the authors' package 0.2: fair coin masks with
the whole image first, weights sqrt(exp(-d^2 / width^2)) of the cosine distance d to it (width
0.25), and a ridge regression with strength 1 and a free intercept; tables take Gaussian samples
around the row and the Euclidean distance (width 0.75 sqrt(columns)), in units of the training
standard deviation. With the package's masks it gives the package's weights (tested). Ours: the
closed form, and `output` and `fill`. The penalty pulls weights towards zero, the more the fewer
masks there are (the sum of the masks' weights is what it competes with); budgets that leave the
regression open are refused. `lime` explains what the values mean. A constant output gives
zeros.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from gpex_bench.families.categories import categories
from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import ask, groups, on_scale, pad, probe
from gpex_bench.masking.choices import Output, check_masks, check_settings
from gpex_bench.masking.fills import MethodFill, make_fill
from gpex_bench.masking.regions import Regions, Segmentation, grid, regions
from gpex_bench.masking.resolution import check_resolved, steps
from gpex_bench.types import Attribution, Query, Task, settings
from gpex_bench.types.batches import CHANGED_ROWS, in_chunks
from gpex_bench.types.demands import Refused

IMAGE_WIDTH, TABLE_WIDTH = 0.25, 0.75  # kernel widths of the package


@settings
class LimeFast(Masking):
    """Local surrogate regression, for all images at once."""

    reference = "ribeiro2016why"
    kind = "perturbation"
    cost = "`budget` forward rows per sample"

    budget: int = 1000  # forward rows per sample
    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    fill: MethodFill = "baseline"  # what tables are compared with, too
    output: Output | None = None  # None: the probability, of a number its value
    ridge: float = 1.0  # strength of the penalty

    def __post_init__(self) -> None:
        """Refuse settings that cannot give a regression."""
        check_settings(self, budget=2, n_segments=8)
        if not self.ridge > 0:
            raise ValueError(f"ridge must be positive, got {self.ridge}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, all of them together."""
        explain = self._images if task.data.is_image else self._tables
        parts = [explain(task, part) for part in groups(query, self.budget)]
        return Attribution(values=torch.cat(parts))

    def _images(self, task: Task, query: Query) -> Tensor:
        cut = regions(query.x, self.segmentation, self.n_segments)
        asked = probe(task, query, self.fill, self.output, cut)
        masks = [
            coins(self.budget, count, task.generator(sample))
            for sample, count in zip(query.sample.tolist(), cut.count.tolist(), strict=True)
        ]
        for mask in masks:
            check_determined(mask)
        y = torch.stack(ask(asked, cut, masks))

        design = torch.stack(pad(masks, cut.most)).to(y)
        slope, _ = weighted_ridge(design, y, image_weights(design, cut), self.ridge)
        return cut.spread(slope, query.x)

    def _tables(self, task: Task, query: Query) -> Tensor:
        cut = grid(query.x, 1, task.data.groups)
        check_masks(self.budget, cut.most)

        # a column for each unit; categories are numbers
        known = categories(task.data, query.x)
        is_category = known.is_category.to(query.x.device)
        x = known.numbered(query.x).double()
        train = known.numbered(task.data.train.x.to(query.x)).double()
        absent = known.numbered(make_fill(self.fill, task.data, query)).double()
        scale = train.std(0, correction=0)
        scale = torch.where((scale == 0) | is_category, 1, scale)

        generators = [task.generator(sample) for sample in query.sample.tolist()]
        steps_away = torch.stack([self._noise(one, x.shape[1]) for one in generators]).to(x)
        drawn = torch.stack([self._drawn(one, train, is_category) for one in generators])
        drawn[:, 0] = x

        # Gaussian samples around each row, in units of the training standard deviation; of a
        # category the design says whether it is that of the sample
        around = x[:, None] + steps_away * scale
        rows = torch.where(is_category, drawn, around)
        is_kept = (rows == x[:, None]).double()
        standardised = steps_away + ((x - train.mean(0)) / scale)[:, None]
        design = torch.where(is_category, is_kept, standardised)
        moved = torch.where(is_category, 1 - is_kept, steps_away)

        shown = known.columns(rows.flatten(0, 1)).to(query.x)
        targets = query.target.repeat_interleave(self.budget)
        y = self._answers(task, shown, targets).view(len(x), -1)
        slope, _ = weighted_ridge(design, y, table_weights(moved), self.ridge)

        has_changed = (x != absent).double()
        difference = torch.where(is_category, has_changed, (x - absent) / scale)
        return cut.spread(slope * difference, query.x)

    def _answers(self, task: Task, rows: Tensor, target: Tensor) -> Tensor:
        """Return the network's answer to each row, in chunks."""
        outputs = in_chunks(task.model, rows, size=CHANGED_ROWS)
        scale = partial(on_scale, target=target, output=self.output, kind=task.data.kind)
        answers = scale(outputs)

        n_samples = len(rows) // self.budget
        sample = torch.arange(n_samples, device=rows.device).repeat_interleave(self.budget)
        is_same = torch.zeros(n_samples, dtype=torch.bool, device=rows.device)
        check_resolved(sample, answers, steps(outputs, target, answers, scale), is_same)
        return answers

    def _drawn(self, generator: torch.Generator, train: Tensor, is_category: Tensor) -> Tensor:
        """Return the categories of training rows, drawn for each group on its own [row, unit]."""
        rows = train.new_zeros(self.budget, train.shape[1])
        for unit in is_category.nonzero().flatten().tolist():
            place = torch.randint(len(train), (self.budget,), generator=generator)
            rows[:, unit] = train[place.to(train.device), unit]
        return rows

    def _noise(self, generator: torch.Generator, n_columns: int) -> Tensor:
        """Return standard normal steps; the first is zero, so that the first row is the sample."""
        noise = torch.randn(self.budget, n_columns, generator=generator, dtype=torch.float64)
        noise[0] = 0
        return noise


def coins(n_masks: int, n_regions: int, generator: torch.Generator) -> Tensor:
    """Return fair coin masks [mask, region]; the first shows everything."""
    masks = torch.randint(0, 2, (n_masks, n_regions), generator=generator, dtype=torch.bool)
    masks[0] = True
    return masks


def check_determined(masks: Tensor) -> None:
    """Raise Refused if masks [mask, region] leave the slope of a region or the intercept open."""
    n_masks, n_regions = masks.shape
    check_masks(n_masks, n_regions)
    with_intercept = functional.pad(masks.double(), (1, 0), value=1.0)
    rank = int(torch.linalg.matrix_rank(with_intercept))
    if rank <= n_regions:
        raise Refused(
            f"The {n_masks} masks that were drawn determine {rank} of the {n_regions + 1} "
            f"coefficients of a regression on {n_regions} regions; raise budget."
        )


def image_weights(design: Tensor, cut: Regions) -> Tensor:
    """Return the weight of each mask [sample, mask].

    The cosine of a mask of zeros and ones to all ones is the square root of its share of ones.
    """
    share = design.sum(2) / cut.count.to(design)[:, None]
    distance = 1 - share.sqrt()
    return (-((distance / IMAGE_WIDTH) ** 2) / 2).exp()


def table_weights(moved: Tensor) -> Tensor:
    """Return the weight of each row [sample, row], by how far each unit has moved."""
    width = TABLE_WIDTH * moved.shape[2] ** 0.5
    distance = moved.norm(dim=2)
    return (-((distance / width) ** 2) / 2).exp()


def weighted_ridge(
    design: Tensor, y: Tensor, weight: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    """Return slopes [sample, column] and weighted R2 [sample] of ridge regressions.

    Minimises sum_n w_n (y_n - b - z_n . slope)^2 + strength |slope|^2 with a free intercept b. A
    column of zeros gets 0; R2 of a constant is 0.
    """
    # Centring by the weights takes the intercept out.
    share = weight / weight.sum(1, keepdim=True)
    mean_design = (share[..., None] * design).sum(1, keepdim=True)
    mean_y = (share * y).sum(1, keepdim=True)
    z = design - mean_design
    centred = y - mean_y

    weighted = z.mT * weight[:, None]
    penalty = strength * torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    gram = weighted @ z + penalty
    moments = weighted @ centred[..., None]
    slope = torch.linalg.solve(gram, moments)

    predicted = (z @ slope)[..., 0]
    remaining = centred - predicted
    spread = (weight * centred.square()).sum(1)
    unexplained = (weight * remaining.square()).sum(1)
    explained_share = 1 - unexplained / spread.clamp(min=1e-300)
    r2 = torch.where(spread > 0, explained_share, 0)
    return slope[..., 0], r2
