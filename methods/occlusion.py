"""Occlusion: how much the target's output drops when a square window shows the dataset's baseline.

Zeiler and Fergus 2014 (zeiler2014visualizing). The window slides with a stride; the last one may
hang over the edge. A pixel gets the mean drop over the windows that cover it, as in captum; all
channels share it evenly (ours), so that windows without overlap give drops that sum over a window
to its drop times its size. Tables: see `feature_ablation`.
"""

import torch
from torch import Tensor

from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.types import Attribution, Need, Query, Task, settings
from gpex_bench.types.demands import Refused


@settings
class Occlusion(Masking):
    """Drop of the output while a window is covered."""

    reference = "zeiler2014visualizing"
    kind = "perturbation"
    needs = frozenset({Need.IMAGE})
    cost = (
        "one forward row per window, plus one (default on 28 x 28: 14 * 14 + 1 = 197; with a "
        "stride s along a side of n pixels there are 1 + ceil((n - window) / s) windows)"
    )

    window: int = 4  # pixels along a side of the window
    # pixels from one window to the next; at most the window, or pixels would be left out
    stride: int = 2
    fill: MethodFill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse windows that leave pixels out."""
        check_settings(self, window=1, stride=1)
        if self.stride > self.window:
            raise ValueError(
                f"stride must be at most window ({self.window}), got {self.stride}: "
                "pixels are left out."
            )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean drop of the windows that cover each pixel."""
        x = query.x
        height, width = x.shape[2:]
        if self.window > min(height, width):
            raise Refused(
                f"window must be at most the image's shorter side {min(height, width)}, "
                f"got {self.window}; set a smaller window and stride."
            )
        rows = self._bands(height).to(x.device)
        columns = self._bands(width).to(x.device)
        n_windows = len(rows) * len(columns)
        image = torch.arange(len(x), device=x.device).repeat_interleave(n_windows)
        window = torch.arange(n_windows, device=x.device).repeat(len(x))

        def present(part: slice) -> Tensor:
            row = window[part] // len(columns)
            column = window[part] % len(columns)
            return ~(rows[row, :, None] & columns[column, None, :])

        asked = probe(task, query, self.fill, self.output)
        whole = asked.even(1)
        total = torch.zeros(len(x), height, width, dtype=torch.float64, device=x.device)
        for part, mask, y in asked.chunks(image, present):
            drop = (whole[image[part]] - y)[:, None, None]
            total.index_add_(0, image[part], drop * (1 - mask.double()))

        n_covering = rows.sum(0)[:, None] * columns.sum(0)
        share = total / n_covering / x.shape[1]
        return Attribution(values=share[:, None].expand_as(x).to(x).clone())

    def _bands(self, side: int) -> Tensor:
        """Return the pixels of a side that each window covers: bool [window, pixel]."""
        starts = self.stride * torch.arange(1 - (self.window - side) // self.stride)
        pixel = torch.arange(side)
        return (pixel >= starts[:, None]) & (pixel < starts[:, None] + self.window)
