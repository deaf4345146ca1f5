"""DeepLiftShap: DeepLift averaged over baselines from the training data.

Lundberg and Lee 2017 (lundberg2017unified); DeepLift with the rescale rule (shrikumar2017learning):
methods/deeplift.py says for which networks. Each sample draws its own baselines. The values sum to
f(x) minus the mean logit of the sample's baselines; `residual` is what is missing, which is
rounding.
"""

import torch
from torch import Tensor

from gpex_bench.families.rescale import DeepLift
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings
from gpex_bench.types.batches import PAIRED_ROWS, rows_at_once


@settings
class DeepLiftShap(Explainer):
    """Mean of DeepLift over training samples as baselines."""

    reference = "lundberg2017unified"
    kind = "propagation"
    relative_to = "training samples"
    needs = frozenset({Need.GRADIENT, Need.MODULES, Need.TRAINING})
    offers = frozenset({Need.RESIDUAL})
    axioms = frozenset({Axiom.DUMMY})
    sum_tolerance = 1e-3
    cost = "`budget` forward rows per sample, half of baselines, and half as many backward rows"

    budget: int = 40  # forward rows per sample: twice the number of baselines

    def __post_init__(self) -> None:
        """Refuse a mean of nothing."""
        if self.budget < 2:
            raise ValueError(
                f"budget must be at least 2, a sample and a baseline, got {self.budget}."
            )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean over the baselines of each sample."""
        train = task.data.train.x
        rules = DeepLift(task.model, query.x)
        values, changes = [], []
        for row, sample in enumerate(query.sample.tolist()):
            generator = task.generator(sample)
            drawn = torch.randint(len(train), (self.budget // 2,), generator=generator)
            baselines = train[drawn.to(train.device)].to(query.x)

            value, change = _mean(rules, query.x[row], query.target[row], baselines)
            values.append(value)
            changes.append(change)

        maps = torch.stack(values)
        total = maps.flatten(1).sum(1)
        return Attribution(values=maps, residual=torch.stack(changes) - total)


def _mean(rules: DeepLift, x: Tensor, target: Tensor, baselines: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean map of one sample, and the logit's mean difference to the baselines."""
    total = torch.zeros_like(x)
    change = x.new_zeros(())
    for part in baselines.split(rows_at_once(PAIRED_ROWS, baselines)):
        n = len(part)
        values, changes = rules(x.expand(n, *x.shape), part, target.expand(n))
        total += values.sum(0)
        change += changes.sum()
    return total / len(baselines), change / len(baselines)
