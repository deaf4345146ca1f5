"""DeepLiftShap: DeepLift averaged over baselines from the training data.

Lundberg and Lee 2017 (lundberg2017unified); DeepLift with the rescale rule (shrikumar2017learning)
by captum (kokhlikyan2020captum), on a copy of the network: methods/deeplift.py says for which
networks. Captum's own DeepLiftShap gives all samples the same baselines; here each sample draws its
own. The values sum to f(x) minus the mean logit of the sample's baselines, except through max
pooling; `residual` is what is missing.
"""

from typing import Any

import torch
from torch import Tensor

from gpex_bench.families.gradients import hooked
from gpex_bench.types import Attribution, Axiom, Explainer, Need, Query, Task, settings
from gpex_bench.types.batches import PAIRED_ROWS


@settings
class DeepLiftShap(Explainer):
    """Mean of DeepLift over training samples as baselines."""

    reference = "lundberg2017unified"
    kind = "propagation"
    relative_to = "training samples"
    needs = frozenset({Need.GRADIENT, Need.MODULES})
    offers = frozenset({Need.RESIDUAL})
    axioms = frozenset({Axiom.DUMMY})
    cost = "`budget` forward and backward rows per sample; half are baselines"

    budget: int = 40  # forward rows per sample: twice the number of baselines

    def __post_init__(self) -> None:
        """Refuse a mean of nothing."""
        if self.budget < 2:
            raise ValueError(
                f"budget must be at least 2, a sample and a baseline, got {self.budget}."
            )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the mean over the baselines of each sample."""
        from captum.attr import DeepLift

        train = task.data.train.x
        values, changes = [], []
        samples = zip(query.x, query.target.tolist(), query.sample.tolist(), strict=True)
        with hooked(task.model) as (network, outputs):
            lift = DeepLift(network)
            for x, target, sample in samples:
                generator = task.generator(sample)
                rows = torch.randint(len(train), (self.budget // 2,), generator=generator)
                baselines = train[rows.to(train.device)].to(x)
                value, change = _mean(lift, outputs, x, target, baselines)
                values.append(value)
                changes.append(change)

        maps = torch.stack(values)
        return Attribution(values=maps, residual=torch.stack(changes) - maps.flatten(1).sum(1))


def _mean(
    lift: Any, outputs: list, x: Tensor, target: int, baselines: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the mean map of one sample, and the logit's mean difference to the baselines.

    Args:
        lift: captum's DeepLift.
        outputs: where the network's outputs are put: those of samples, then those of baselines.
        x: the sample.
        target: its head.
        baselines: the inputs that it is compared with.
    """
    total = torch.zeros_like(x)
    change = x.new_zeros(())
    for part in baselines.split(PAIRED_ROWS):
        point = x.expand(len(part), *x.shape).clone().requires_grad_()
        total += lift.attribute(point, part, target=target).detach().sum(0)
        above, below = outputs.pop()[:, target].chunk(2)
        change += (above - below).sum()
    return total / len(baselines), change / len(baselines)
