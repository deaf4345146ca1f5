"""Random map: standard normal relevance, the control that no explainer may lose to.

Random maps as a reference for faithfulness: Samek et al. 2017 (samek2017evaluating). It depends on
the shape of the input only; the values depend on (seed, sample) alone.
"""

import torch

from gpex_bench.types import Attribution, Explainer, Query, Role, Task, settings


@settings
class RandomMap(Explainer):
    """Independent standard normal values."""

    reference = "samek2017evaluating"
    kind = "control"
    relative_to = "nothing"
    role = Role.RANDOM
    cost = "none"

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return one draw per sample."""
        shape = query.x.shape[1:]
        maps = [
            torch.randn(shape, generator=task.generator(sample)) for sample in query.sample.tolist()
        ]
        return Attribution(values=torch.stack(maps).to(query.x.device))
