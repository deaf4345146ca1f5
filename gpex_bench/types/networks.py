"""The nouns that are networks: what is explained, and what is fitted to stand in for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from gpex_bench.types.values import Examples, Posterior


class Model(nn.Module, ABC):
    """A network whose outputs are linear in its embedding: forward = head(embed(x))."""

    head: nn.Linear

    @abstractmethod
    def embed(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the penultimate features."""

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch head"]:
        """Return the logits."""
        return self.head(self.embed(x))

    def explained(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch head"]:
        """Return what a surrogate is fitted to: the logits, unless a network says otherwise."""
        return self(x)

    def explained_features(
        self, x: Float[Tensor, "batch *feature"]
    ) -> Float[Tensor, "batch group width"]:
        """Return the features that the explained outputs are affine in.

        One group for all heads, or one per head.
        """
        return self.embed(x)[:, None]

    def grid(self, x: Float[Tensor, "batch *feature"]) -> tuple[int, int] | None:
        """Return height and width of the map that the explained outputs form, or None."""
        return None


class Surrogate(nn.Module, ABC):
    """A fitted stand-in for a network, conditioned on inducing points.

    Its state_dict is its artefact, with the factor that calibrates its intervals beside it.
    """

    #: why its variance is not about how far the network is from its mean; "": it is
    no_intervals: ClassVar[str] = ""
    #: [head], by which `calibrated` multiplies variances; None: it was not calibrated
    interval_factor: Tensor | None = None

    @abstractmethod
    def posterior(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior of every head."""

    def calibrated(self, x: Float[Tensor, "batch *feature"]) -> Posterior:
        """Return the posterior with calibrated variances; as it is where there is no factor."""
        found = self.posterior(x)
        if self.interval_factor is None:
            return found
        return Posterior(
            mean=found.mean, variance=found.variance * self.interval_factor.to(found.variance)
        )

    def without(self, index: Int[Tensor, "k"]) -> Surrogate | None:
        """Return the same surrogate, its predictions not conditioned on some training samples.

        None: it takes another fit.
        """
        return None

    def similarity(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return how near each inducing point is in the kernel space of the target's head."""
        raise self._lacks("similarity to training samples")

    def contribution(
        self, x: Float[Tensor, "batch *feature"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch n_train"]:
        """Return the share of each inducing point in the posterior mean.

        The shares and `offset` sum to it.
        """
        raise self._lacks("contributions of training samples")

    def neighbours(
        self,
        x: Float[Tensor, "batch *feature"],
        target: Int[Tensor, "batch"],
        k: int,
        by: str = "similarity",
    ) -> Examples:
        """Return the k inducing points with the largest similarity or contribution.

        Raises: ValueError: k is not in [1, n_train], or `by` is neither "similarity" nor
            "contribution".
        """
        if by not in ("similarity", "contribution"):
            raise ValueError(f"by must be 'similarity' or 'contribution', got {by!r}.")
        found = (self.similarity if by == "similarity" else self.contribution)(x, target)
        if not 1 <= k <= found.shape[1]:
            raise ValueError(
                f"k must be between 1 and the {found.shape[1]} training samples, got {k}."
            )
        weight, index = found.topk(k, dim=1)
        return Examples(index=index, weight=weight)

    @abstractmethod
    def offset(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return the prior mean of each target's head."""

    def relevance(
        self, x: Float[Tensor, "batch channel height width"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch height width"] | None:
        """Return where in an image the posterior mean comes from (sum: mean - offset), or None."""
        return None

    def effective_rank(self, is_centred: bool = False) -> Float[Tensor, "group"] | None:
        """Return how many directions each kernel uses, or None without a weight space.

        On the training samples: the exponential of the entropy of the eigenvalues' shares in the
        trace of A = U'U, in [1, dim] (roy2007effective); `is_centred`: of embeddings minus their
        mean. A kernel serves head / group successive heads.
        """
        return None

    def _lacks(self, what: str) -> NotImplementedError:
        """Return the error of a surrogate that cannot say this."""
        return NotImplementedError(
            f"{type(self).__name__} has no {what}; choose a surrogate that has, such as gpex."
        )
