"""Explains again with one thing redrawn: the weights, the class, or the explainer's own seed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.units import in_groups
from gpex_bench.measurements.maps import explained_again
from gpex_bench.measurements.noisy import Noisy
from gpex_bench.models.altered.random_weights import cascade, n_layers, redraw
from gpex_bench.types import Case, Measurement, Metric, demands, settings, value
from gpex_bench.types.demands import Refused
from gpex_bench.types.draws import uniform


@value
class RandomisedMaps:
    """Maps of the same queries under ever more random weights.

    The last ones are of a fully random network.
    """

    share: Float[Tensor, "stage"]  # of the layers with random weights, from the input
    values: Float[Tensor, "batch stage *feature"]


@settings
class Randomised(Measurement):
    """Maps under a cascade from the input upwards; each stage costs one more explanation.

    All samples meet the same random weights, which depend on the seed of the cell. The explainer
    keeps its seed.

    Attributes:
        n_stages: stages, evenly spaced over the layers; the last one has random weights in all of
            them. A network with fewer layers has fewer stages.
    """

    n_stages: int = 2
    re_explains = True
    changes_network = True

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "n_stages")

    def measure(self, case: Case) -> RandomisedMaps:
        """Return the maps of each stage; raises ValueError for another kind of explanation."""
        model = case.task.model
        total = n_layers(model)
        # Evenly spaced over the layers, rounded up; a small network has fewer stages.
        numbers = range(1, self.n_stages + 1)
        layers = {-(-total * number // self.n_stages) for number in numbers}
        stages = sorted(layers)

        twins = cascade(model, case.task.seed, stages)
        maps = [explained_again(case, model=twin) for twin in twins]
        share = torch.tensor(stages) / total
        return RandomisedMaps(share=share, values=torch.stack(maps, 1))


@settings
class RandomisedMetric(Metric):
    """How much the map changes when the weights of the network are random.

    Attributes:
        n_stages: networks, the last one fully random; each costs one more explanation.
    """

    measures = "randomisation"

    n_stages: int = 2

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Randomised]:
        """Return the maps of the random networks."""
        return (Randomised(n_stages=self.n_stages),)

    def maps(self, case: Case) -> Float[Tensor, "batch stage *feature"]:
        """Return the maps under ever more random weights."""
        return case.read(self.measurements()[0]).values


@value
class OtherMaps:
    """Maps that were made under another condition."""

    values: Float[Tensor, "batch draw *feature"]


@settings
class NoisyRandomised(Measurement):
    """Maps of noisy inputs on the fully random network; each draw costs one more explanation.

    Attributes:
        n_draws: noisy inputs per sample, those of `Noisy`.
        radius: largest change of an input entry, in units of the input.
    """

    n_draws: int = 4
    radius: float = 0.02
    re_explains = True
    changes_network = True

    def __post_init__(self) -> None:
        self.noise()  # checks the settings

    def noise(self) -> Noisy:
        """Return the measurement on the trained network that has the same inputs."""
        return Noisy(n_draws=self.n_draws, radius=self.radius)

    def measure(self, case: Case) -> OtherMaps:
        """Return the maps; raises ValueError for another kind of explanation."""
        model = redraw(case.task.model, case.task.seed)
        data = case.task.data
        of_group = in_groups(data) if data.groups else None
        near = self.noise().neighbours(case.task.seed, case.query, of_group)
        return OtherMaps(
            values=torch.stack([explained_again(case, x=x, model=model) for x in near], 1)
        )


@settings
class OtherTarget(Measurement):
    """Maps of the same inputs for another class or label; costs one more explanation.

    The other one is the target plus a step that depends on the seed of the cell, the same for all
    samples.
    """

    re_explains = True

    @staticmethod
    def step(case: Case) -> int:
        """Return how far the other class is from the target.

        ValueError if there is no other one.
        """
        n_heads = case.task.model.head.out_features
        if n_heads < 2:
            raise Refused(
                "The map for another output needs a network with at least 2 outputs, this one has "
                f"{n_heads}; leave this metric out."
            )
        draw = uniform("other target", case.task.seed, torch.zeros(1, dtype=torch.long), 1)
        return 1 + int(draw * (n_heads - 1))

    def measure(self, case: Case) -> OtherMaps:
        """Return the maps.

        Raises ValueError for another kind of explanation, or if there is no other class.
        """
        other = (case.query.target + self.step(case)) % case.task.model.head.out_features
        return OtherMaps(values=explained_again(case, target=other)[:, None])


@settings
class Reseeded(Measurement):
    """Maps of the same inputs when the explainer draws other random numbers.

    Each draw costs one more explanation.

    Attributes:
        n_draws: other seeds.
    """

    n_draws: int = 1
    re_explains = True

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "n_draws")

    def measure(self, case: Case) -> OtherMaps:
        """Return the maps; raises ValueError for another kind of explanation."""
        draws = uniform(
            "explainer seeds", case.task.seed, torch.zeros(1, dtype=torch.long), self.n_draws
        )[0]
        seeds = (draws * 2**31).long().tolist()
        return OtherMaps(
            values=torch.stack([explained_again(case, seed=seed) for seed in seeds], 1)
        )
