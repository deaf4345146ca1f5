"""SmoothGrad: the mean gradient of the target's logit at noisy copies of the input.

Smilkov, Thorat, Kim, Viegas, Wattenberg 2017 (smilkov2017smoothgrad): Gaussian noise whose s.d. is
a share of the range (largest minus smallest entry) of the sample. The paper shows the absolute
value; the sign is kept here (`absolute` drops it).
"""

import torch
from torch import Tensor

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, demands, settings
from gpex_bench.types.batches import CHANGED_ROWS, rows_at_once


@settings
class SmoothGrad(Explainer):
    """Mean gradient of the logit around the input."""

    reference = "smilkov2017smoothgrad"
    kind = "gradient"
    relative_to = "nothing"
    needs = frozenset({Need.GRADIENT})
    axioms = frozenset({Axiom.DUMMY})
    cost = "`budget` forward and backward rows per sample"

    budget: int = 50  # forward rows per sample: noisy copies
    noise: float = 0.15  # s.d. of the noise as a share of the sample's range (paper: 0.1 to 0.2)

    def __post_init__(self) -> None:
        """Refuse a mean of nothing and negative noise."""
        demands.at_least(self, 1, "budget")
        if not self.noise >= 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}.")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean over the draws of each sample."""
        samples = zip(query.x, query.target, query.sample.tolist(), strict=True)
        values = [self._mean(task, x, target, sample) for x, target, sample in samples]
        return Attribution(values=torch.stack(values))

    def _mean(self, task: Task, x: Tensor, target: Tensor, sample: int) -> Tensor:
        """Return the mean over the noisy copies of one sample."""
        generator = task.generator(sample)
        scale = self.noise * (x.max() - x.min())
        total = torch.zeros_like(x)
        size = rows_at_once(CHANGED_ROWS, x[None])
        for start in range(0, self.budget, size):
            n = min(size, self.budget - start)
            noise = torch.randn(n, *x.shape, generator=generator).to(x)
            total += logit_gradient(task.model, x + scale * noise, target.expand(n)).sum(0)
        return total / self.budget
