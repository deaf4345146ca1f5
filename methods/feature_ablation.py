"""Feature ablation: how much the output drops when one segment or one column is absent.

Leave one out, as in Zeiler and Fergus 2014 (zeiler2014visualizing) with segments for windows. What
two regions do only together is credited to both, what either does alone to neither, so the sum has
no meaning. The drop of a segment is spread evenly over its entries.
"""

import torch

from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import ask, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import Segmentation, regions
from gpex_bench.types import Attribution, Query, Task, settings


@settings
class FeatureAblation(Masking):
    """Drop of the output without one region."""

    reference = "zeiler2014visualizing"
    kind = "perturbation"
    cost = "one forward row per region, plus one"

    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    fill: MethodFill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, n_segments=8)

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return each region's drop, shared by its entries."""
        cut = regions(query.x, self.segmentation, self.n_segments, groups=task.data.groups)
        asked = probe(task, query, self.fill, self.output, cut)
        masks = [~torch.eye(count, dtype=torch.bool) for count in cut.count.tolist()]

        drops = []
        for whole, y in zip(asked.even(1), ask(asked, cut, masks), strict=True):
            drops.append(whole - y)
        values = torch.nn.utils.rnn.pad_sequence(drops, batch_first=True)
        return Attribution(values=cut.spread(values, query.x))
