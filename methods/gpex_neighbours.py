"""GPEX neighbours: training samples that a Gaussian process holds responsible for an output.

Akbarnejad et al. 2023 (akbarnejad2023gpex), section 4.2: the training samples nearest in the kernel
space of the target's head. Differences: the paper ranks by the raw inner product, we by the
surrogate's similarity, which is centred because learned kernels nearly have rank one; and `rank:
contribution` ranks by the share in the posterior mean instead.
"""

from typing import Literal

from gpex_bench.types import Examples, Explainer, Need, Query, Task, demands, settings


@settings
class GpexNeighbours(Explainer):
    """The k training samples with the largest similarity or contribution, strongest first."""

    reference = "akbarnejad2023gpex"
    kind = "examples"
    relative_to = "nothing"
    explains = Examples
    needs = frozenset({Need.TRAINING})
    cost = "no rows of the network; one row of the surrogate per sample"

    k: int = 10  # examples per explained sample (paper: 10)
    rank: Literal["similarity", "contribution"] = "similarity"
    surrogate: str = "gpex"  # run id of the surrogate

    def __post_init__(self) -> None:
        """Refuse fewer than one example and an unknown rank."""
        demands.at_least(self, 1, "k")
        if self.rank not in ("similarity", "contribution"):
            raise ValueError(f"rank must be 'similarity' or 'contribution', got {self.rank!r}.")

    def explain(self, task: Task, query: Query) -> Examples:
        """Return the k strongest rows of the training split for each sample."""
        if task.surrogate is None:
            raise ValueError(
                f"gpex_neighbours needs the surrogate {self.surrogate!r}, got none; "
                "list it in the config."
            )
        n_train = len(task.data.train.y)
        if self.k > n_train:
            raise ValueError(f"k must be at most the {n_train} training samples, got {self.k}.")
        found = task.surrogate.neighbours(query.x, query.target, self.k, self.rank)
        return Examples(index=found.index, weight=found.weight.detach())
