"""Random examples: training samples drawn without replacement, the control of examples.

A random explainer as the reference of example-based scores: Bareeva et al. 2024
(bareeva2024quanda). Index and weight depend on (seed, sample) alone; the weights are sorted uniform
numbers without a meaning.
"""

import torch

from gpex_bench.types import Examples, Explainer, Need, Query, Role, Task, settings


@settings
class RandomExamples(Explainer):
    """k different training samples in random order."""

    reference = "bareeva2024quanda"
    kind = "control"
    relative_to = "nothing"
    role = Role.RANDOM
    explains = Examples
    needs = frozenset({Need.TRAINING})
    cost = "none"

    k: int = 10  # examples per explained sample

    def explain(self, task: Task, query: Query) -> Examples:
        """Return k rows of the training split for each sample."""
        n_train = len(task.data.train.y)
        if not 1 <= self.k <= n_train:
            raise ValueError(
                f"k must be between 1 and the {n_train} training samples, got {self.k}."
            )

        indices, weights = [], []
        for sample in query.sample.tolist():
            generator = task.generator(sample)
            order = torch.randperm(n_train, generator=generator)
            weight = torch.rand(self.k, generator=generator)
            indices.append(order[: self.k])
            weights.append(weight.sort(descending=True).values)
        device = query.x.device
        return Examples(
            index=torch.stack(indices).to(device), weight=torch.stack(weights).to(device)
        )
