"""On random network: another explainer's map of the network with all weights re-randomised.

The control of adebayo2018sanity: a method that does not score better than on an untrained network
shows the input, or the method itself, but not what was learnt. The weights are those of the metrics
of randomisation, and follow the seed. Explainers of a surrogate are refused, because it is fitted
to the trained network.
"""

import dataclasses

from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.models.altered.random_weights import redraw
from gpex_bench.types import Attribution, Query, Role, Task, settings


@settings
class OnRandomNetwork(Wrapper):
    """Another explainer's attribution of a fully random network."""

    reference = "adebayo2018sanity"
    kind = "control"
    role = Role.CONTROL
    asks_again = True
    cost = "that of the other explainer"

    def __post_init__(self) -> None:
        """Refuse explainers that look at a surrogate."""
        super().__post_init__()
        if self.of.surrogate is not None:
            name, surrogate = type(self.of).__name__, self.of.surrogate
            raise ValueError(
                f"of must be an explainer of the network alone; {name} looks at the "
                f"surrogate {surrogate}."
            )

    def change(self, values: Tensor) -> Tensor:
        """Return the map as it is."""
        return values

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the map of the random network."""
        random = dataclasses.replace(task, model=redraw(task.model, task.seed))
        return Attribution(values=self.inner(random, query).values)
