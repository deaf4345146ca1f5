"""Expected gradients: integrated gradients averaged over baselines from the training data.

Erion, Janizek, Sturmfels, Lundberg, Lee 2021 (erion2021improving), their sampling estimator: the
mean over draws of (x - x') df/dx(x' + a (x - x')) with a training sample x' and a uniform a in [0,
1]. In expectation the values sum to f(x) minus the mean logit of the training samples, for one draw
they do not. Captum's GradientShap adds noise and draws from numpy's global state; it is not used.
"""

import torch
from torch import Tensor

from gpex_bench.families.gradients import logit_gradient
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, demands, settings
from gpex_bench.types.batches import CHANGED_ROWS, rows_at_once


@settings
class ExpectedGradients(Explainer):
    """Gradients on random points between input and training samples, times the difference."""

    reference = "erion2021improving"
    kind = "gradient"
    relative_to = "training samples"
    needs = frozenset({Need.GRADIENT, Need.TRAINING})
    axioms = frozenset({Axiom.DUMMY})
    cost = "`budget` forward and backward rows per sample"

    budget: int = 200  # forward rows per sample: random points

    def __post_init__(self) -> None:
        """Refuse a mean of nothing."""
        demands.at_least(self, 1, "budget")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean over the draws of each sample."""
        samples = zip(query.x, query.target, query.sample.tolist(), strict=True)
        values = [self._mean(task, x, target, sample) for x, target, sample in samples]
        return Attribution(values=torch.stack(values))

    def _mean(self, task: Task, x: Tensor, target: Tensor, sample: int) -> Tensor:
        """Return the mean over the draws of one sample."""
        generator = task.generator(sample)
        train = task.data.train.x
        row = torch.randint(len(train), (self.budget,), generator=generator)
        place = torch.rand(self.budget, *[1] * x.ndim, generator=generator)

        total = torch.zeros_like(x)
        size = rows_at_once(CHANGED_ROWS, x[None])
        for start in range(0, self.budget, size):
            part = slice(start, start + size)
            step = x - train[row[part].to(train.device)].to(x)
            point = x - (1 - place[part].to(x)) * step
            gradient = logit_gradient(task.model, point, target.expand(len(step)))
            total += (step * gradient).sum(0)
        return total / self.budget
