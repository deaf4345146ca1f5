"""Explains inputs near a query again: what every robustness metric looks at."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.masking.units import in_groups
from gpex_bench.measurements.maps import explained_again, values
from gpex_bench.types import Case, Kind, Measurement, Metric, Query, demands, settings, value
from gpex_bench.types.draws import uniform
from gpex_bench.types.outputs import prediction

LEAST = 1e-5  # smallest relative change of what a map follows: rounding of float32


@value
class Neighbours:
    """Inputs near each query, their maps, and the network's outputs for them and for the query."""

    x: Float[Tensor, "batch draw *feature"]
    values: Float[Tensor, "batch draw *feature"]
    embeddings: Float[Tensor, "batch draw width"]
    logits: Float[Tensor, "batch draw head"]
    own_embedding: Float[Tensor, "batch width"]
    own_logits: Float[Tensor, "batch head"]
    kind: Kind = Kind.CLASSES

    @property
    def keeps_class(self) -> Bool[Tensor, "batch draw"]:
        """Which neighbours the network puts into the class of the query, or gives its labels.

        All of them where it keeps none, and where the network gives a number.
        """
        if self.kind is Kind.NUMBER:
            return torch.ones_like(self.logits[..., 0], dtype=torch.bool)
        near = prediction(self.logits.flatten(0, 1), self.kind)
        near = near.view(*self.logits.shape[:2], -1)
        own = prediction(self.own_logits, self.kind).view(len(near), 1, -1)
        keeps = (near == own).all(2)
        return keeps | ~keeps.any(1, keepdim=True)


@settings
class Noisy(Measurement):
    """Maps of random neighbours in an L-infinity ball; each draw costs one more explanation.

    The target stays fixed and the explainer keeps its seed, so its own randomness does not count. A
    neighbour may leave the range of the data. Groups of columns stay: a category has no neighbours.

    Attributes:
        n_draws: neighbours per sample.
        radius: largest change of an input entry, in units of the input.
    """

    n_draws: int = 4
    radius: float = 0.02
    re_explains = True

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "n_draws")
        if not 0 < self.radius < float("inf"):
            raise ValueError(f"radius must be positive and finite, got {self.radius}.")

    def neighbours(
        self, seed: int, query: Query, of_group: Bool[Tensor, "column"] | None = None
    ) -> Float[Tensor, "draw batch *feature"]:
        """Return random inputs around each query; columns that are `of_group` stay."""
        n_entries = query.x[0].numel()
        draws = uniform("neighbours", seed, query.sample, self.n_draws * n_entries).to(query.x)
        shape = (len(query.x), self.n_draws, *query.x.shape[1:])
        noise = (2 * draws - 1).view(shape)
        if of_group is not None:
            noise = noise * ~of_group.to(noise.device)
        return query.x + self.radius * noise.transpose(0, 1)

    def measure(self, case: Case) -> Neighbours:
        """Return the neighbours of each query.

        Raises ValueError for another kind of explanation.
        """
        data = case.task.data
        of_group = in_groups(data) if data.groups else None
        near = self.neighbours(case.task.seed, case.query, of_group)
        maps = [explained_again(case, x=x) for x in near]

        # The query itself comes first.
        model = case.task.model
        with torch.no_grad():
            embeddings = [model.embed(x) for x in (case.query.x, *near)]
            logits = [model.head(embedding) for embedding in embeddings]

        return Neighbours(
            x=near.transpose(0, 1),
            values=torch.stack(maps, 1),
            embeddings=torch.stack(embeddings[1:], 1),
            logits=torch.stack(logits[1:], 1),
            own_embedding=embeddings[0],
            own_logits=logits[0],
            kind=case.task.data.kind,
        )


def relative_change(
    before: Float[Tensor, "batch *feature"], after: Float[Tensor, "batch *feature"]
) -> Float[Tensor, "batch"]:
    """Return ||after - before|| / ||before||, Euclidean over all entries.

    Only the numerator if before is all zero.
    """
    before = before.flatten(1).double()
    after = after.flatten(1).double()
    size = before.norm(dim=1)
    change = (after - before).norm(dim=1)

    divisor = torch.where(size > 0, size, 1.0)
    return change / divisor


def relative_changes(
    before: Float[Tensor, "batch *feature"], after: Float[Tensor, "batch draw *feature"]
) -> Float[Tensor, "batch draw"]:
    """Return the relative change of the map from each query to each of its neighbours."""
    return torch.stack([relative_change(before, one) for one in after.unbind(1)], 1)


def relative_stability(
    maps: Float[Tensor, "batch draw"], reason: Float[Tensor, "batch draw"], near: Neighbours
) -> Float[Tensor, "batch draw"]:
    """Return the change of maps per change of what they follow; 0 for neighbours that do not count.

    What they follow is taken to have changed by LEAST at least.
    """
    return torch.where(near.keeps_class, maps / reason.clamp(min=LEAST), 0.0)


@settings
class NoisyMetric(Metric):
    """A change of the map under small changes of the input; lower is steadier.

    All of them read one measurement. A map that ignores its input scores 0, and so does a map that
    is zero everywhere here and nearby: steady, and nothing else.

    Attributes:
        n_draws: neighbours per sample; each costs one more explanation.
        radius: largest change of an input entry, in units of the input.
    """

    measures = "robustness"
    blind_can_be_perfect = True  # a constant map never changes
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = 0.0  # a random map that does not look at x never changes

    n_draws: int = 4
    radius: float = 0.02

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Noisy]:
        """Return the maps of the neighbours."""
        return (Noisy(n_draws=self.n_draws, radius=self.radius),)

    @abstractmethod
    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return how much the map changes from the query to each of its neighbours."""

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the largest change of each sample."""
        near = case.read(self.measurements()[0])
        return self.change(case, values(case.explanation), near).amax(1)
