"""LIME, vectorised: the regression of `lime` without its package, all images of a query in shared batches.

Ribeiro, Singh, Guestrin 2016 (ribeiro2016why). As in the authors' package 0.2: fair coin masks with
the whole image first, weights sqrt(exp(-d^2 / width^2)) of the cosine distance d to it (width
0.25), and a ridge regression with strength 1 and a free intercept; tables take Gaussian samples
around the row and the Euclidean distance (width 0.75 sqrt(columns)), in units of the training
standard deviation. With the package's masks it gives the package's weights (a test says so). Ours:
the closed form, and `output` and `fill`. What the values mean stands in `lime`. A constant output
gives zeros.
"""

import torch
from torch import Tensor

from gpex_bench.masking.answers import ask, groups, on_scale, pad, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill, make_fill
from gpex_bench.masking.regions import Regions, Segmentation, regions
from gpex_bench.types import Attribution, Explainer, Query, Task, settings
from gpex_bench.types.passes import CHANGED_ROWS

IMAGE_WIDTH, TABLE_WIDTH = 0.25, 0.75  # kernel widths of the package


@settings
class LimeFast(Explainer):
    """Local surrogate regression, for all images at once."""

    reference = "ribeiro2016why"
    kind = "perturbation"
    cost = "`budget` forward rows per sample"

    budget: int = 1000  # forward rows per sample
    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    fill: MethodFill = "baseline"  # what tables are compared with, too
    output: Output = "probability"
    ridge: float = 1.0  # strength of the penalty

    def __post_init__(self) -> None:
        """Refuse settings that cannot give a regression."""
        check_settings(self, budget=2, n_segments=8)
        if not self.ridge > 0:
            raise ValueError(f"ridge must be positive, got {self.ridge}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, all of them together."""
        one = self._images if task.data.is_image else self._tables
        return Attribution(
            values=torch.cat([one(task, part) for part in groups(query, self.budget)])
        )

    def _images(self, task: Task, query: Query) -> Tensor:
        cut = regions(query.x, self.segmentation, self.n_segments)
        asked = probe(task, query, self.fill, self.output, cut)
        samples = zip(query.sample.tolist(), cut.count.tolist(), strict=True)
        masks = [coins(self.budget, count, task.generator(sample)) for sample, count in samples]
        y = torch.stack(ask(asked, cut, masks))
        design = torch.stack(pad(masks, cut.most)).to(y)
        return cut.spread(
            weighted_ridge(design, y, image_weights(design, cut), self.ridge)[0], query.x
        )

    def _tables(self, task: Task, query: Query) -> Tensor:
        x, train = query.x.double(), task.data.train.x.to(query.x).double()
        scale = train.std(0, correction=0)
        scale = torch.where(scale == 0, 1, scale)
        noise = torch.stack(
            [self._noise(task.generator(sample), x.shape[1]) for sample in query.sample.tolist()]
        )
        rows = (x[:, None] + noise.to(x) * scale).flatten(0, 1)
        target = query.target.repeat_interleave(self.budget)
        with torch.no_grad():
            parts = zip(
                rows.to(query.x).split(CHANGED_ROWS), target.split(CHANGED_ROWS), strict=True
            )
            y = torch.cat(
                [on_scale(task.model(part), wanted, self.output) for part, wanted in parts]
            )
        y = y.view(len(x), -1)
        design = noise.to(y) + ((x - train.mean(0)) / scale)[:, None]
        distance = noise.to(y).norm(dim=2)
        weight = (-((distance / (TABLE_WIDTH * x.shape[1] ** 0.5)) ** 2) / 2).exp()
        slope = weighted_ridge(design, y, weight, self.ridge)[0]
        absent = make_fill(self.fill, task.data, query).double()
        return (slope * (x - absent) / scale).to(query.x)

    def _noise(self, generator: torch.Generator, n_columns: int) -> Tensor:
        """Return standard normal steps; the first is none, so that the first row is the explained one."""
        noise = torch.randn(self.budget, n_columns, generator=generator, dtype=torch.float64)
        noise[0] = 0
        return noise


def coins(n_masks: int, n_regions: int, generator: torch.Generator) -> Tensor:
    """Return fair coin masks [mask, region]; the first shows everything."""
    masks = torch.randint(0, 2, (n_masks, n_regions), generator=generator, dtype=torch.bool)
    masks[0] = True
    return masks


def image_weights(design: Tensor, cut: Regions) -> Tensor:
    """Return the weight of each mask [sample, mask]: for zeros and ones, the cosine to all ones is sqrt(share)."""
    share = design.sum(2) / cut.count.to(design)[:, None]
    return (-(((1 - share.sqrt()) / IMAGE_WIDTH) ** 2) / 2).exp()


def weighted_ridge(
    design: Tensor, y: Tensor, weight: Tensor, strength: float
) -> tuple[Tensor, Tensor]:
    """Return slopes [sample, column] and weighted R2 [sample] of ridge regressions with a free intercept.

    Minimises sum_n w_n (y_n - b - z_n . slope)^2 + strength |slope|^2. A column of zeros gets 0; R2 of a constant is 0.
    """
    share = (weight / weight.sum(1, keepdim=True))[..., None]
    z, centred = (
        design - (share * design).sum(1, keepdim=True),
        y - (share[..., 0] * y).sum(1, keepdim=True),
    )
    weighed = z.mT * weight[:, None]
    penalty = strength * torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    slope = torch.linalg.solve(weighed @ z + penalty, weighed @ centred[..., None])
    left = centred - (z @ slope)[..., 0]
    spread, unexplained = ((weight * part.square()).sum(1) for part in (centred, left))
    return slope[..., 0], torch.where(spread > 0, 1 - unexplained / spread.clamp(min=1e-300), 0)
