"""GPEX attribution: where in the input the posterior mean of the Gaussian process comes from.

Images: the embedding is a mean over the locations of a feature map, so the posterior mean splits
exactly into a map (Akbarnejad et al. 2023, akbarnejad2023gpex, supplement 2.2, there for the
similarity to one neighbour); it is divided evenly over the channels. Tables have no locations:
integrated gradients of the posterior mean, from the dataset's baseline (sundararajan2017axiomatic).

The values sum to a difference of the *surrogate* (mean minus prior mean, or mean at x minus mean at
the baseline), not of the network, so that no completeness is claimed.
"""

from torch import Tensor

from gpex_bench.types import Attribution, Explainer, Query, Task, demands, settings


@settings
class GpexAttribution(Explainer):
    """The posterior mean's share of each pixel, or its integrated gradients."""

    reference = "akbarnejad2023gpex"
    kind = "surrogate"
    relative_to = "prior mean"
    cost = (
        "no rows of the network; one row of the surrogate per sample, and for tables `n_steps`"
        " forward and backward rows of it"
    )

    n_steps: int = 50  # points on the path (tables)
    surrogate: str = "gpex"  # run id of the surrogate

    def __post_init__(self) -> None:
        """Refuse a path without points."""
        demands.at_least(self, 2, "n_steps")

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the relevance of each entry for the target's posterior mean."""
        surrogate = task.surrogate
        if surrogate is None:
            raise ValueError(
                f"gpex_attribution needs the surrogate {self.surrogate!r}, got none; "
                "list it in the config."
            )
        if task.data.is_image:
            relevance = surrogate.relevance(query.x, query.target)
            if relevance is None:
                raise ValueError(
                    f"surrogate must split its mean over the locations of an image, which "
                    f"{self.surrogate!r} cannot; choose another one, such as gpex."
                )
            n_channels = query.x.shape[1]
            return Attribution(
                values=(relevance[:, None] / n_channels).expand_as(query.x).detach().clone()
            )
        return Attribution(values=self._integrated(task, query))

    def _integrated(self, task: Task, query: Query) -> Tensor:
        """Return the integrated gradients of the posterior mean."""
        from captum.attr import IntegratedGradients

        values = IntegratedGradients(lambda x: task.surrogate.posterior(x).mean).attribute(
            query.x.clone(),
            baselines=task.data.baseline[None].to(query.x),
            target=query.target,
            n_steps=self.n_steps,
            internal_batch_size=max(
                256, 2 * len(query.x)
            ),  # captum wants two points on the path at a time, or it warns
        )
        return values.detach().to(query.x.dtype)
