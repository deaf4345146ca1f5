"""The network's own embedding, on which surrogates without a trained kernel rest."""

from __future__ import annotations

from copy import deepcopy

from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.types import Model, demands
from gpex_bench.types.batches import in_chunks

WIDEST = 2048  # numbers in the embedding vector of a network with features per place


class Embedding(FeatureMap):
    """The features that a network's explained outputs are affine in: [batch, group, width].

    The network is held and not owned: its weights are in its own artefact and stay out of this
        module's state_dict.
    """

    def __init__(self, network: Model) -> None:
        super().__init__()
        self._held = (network,)  # a tuple hides it from nn.Module

    @property
    def network(self) -> Model:
        """The network."""
        return self._held[0]

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch group width"]:
        """Return the features: one group for all heads, or one group per head."""
        return self.network.explained_features(x)

    def vector(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return one vector per input.

        Features per place are averaged to a coarser map if they are too many.
        """
        u = self(x)
        grid = self.network.grid(x) if u.shape[1] > 1 else None
        if grid is None:
            return u.flatten(1)

        height, width = grid
        share = min(1.0, (WIDEST / u[0].numel()) ** 0.5)
        coarse = (max(1, int(height * share)), max(1, int(width * share)))
        maps = u.mT.unflatten(2, grid)
        return nn.functional.adaptive_avg_pool2d(maps, coarse).flatten(1)


def embedded(
    model: Model, x: Float[Tensor, "n *feature"], device: str = "cpu"
) -> tuple[Float[Tensor, "n width"], Float[Tensor, "n head"]]:
    """Return embedding vectors and explained outputs, both on the CPU, without gradients.

    Raises:
        ValueError: fewer than 2 inputs, a network without heads, or features or outputs that are
            not finite.
    """
    if len(x) < 2:
        raise ValueError(f"data.train must have at least 2 samples, got {len(x)}.")
    network = deepcopy(model).to(device).eval()
    u = in_chunks(Embedding(network).vector, x, device)
    y = in_chunks(network.explained, x, device)

    demands.has_heads(y)
    for name, values in (("embedding", u), ("output", y)):
        if not values.isfinite().all():
            worst = values[~values.isfinite()][0]
            raise ValueError(f"The network's {name} must be finite on data.train, got {worst}.")
    return u, y
