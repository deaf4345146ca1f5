"""E-LIME: a genetic algorithm evolves the segments for which the network is surest.

Wang, Pei, Xue, Zhang 2022 (wang2022explaining). OUR RECONSTRUCTION: only the abstract was at hand,
and there is no public code. From it: individuals are bit strings over superpixels, fitness is the
probability given the kept segments alone, the number of kept segments is free. Undetermined there,
chosen here, and settings below: population, generations, operators, rates, segmentation, fill. Ours
altogether: the fitness `log_odds` (a probability saturates) and `size_penalty` (without it neutral
segments drift and nothing is localised), and the attribution, which is how often a segment is kept
in the final populations. It lies in [0, 1], ranks segments, and does not say by how much they
matter; where all answers are equal it is `density` everywhere.

Binary tournaments, uniform crossover, bit flips, elitism; a mask is evaluated once per run. A
generation of all images is one batch, each image with a generator of its own. Answers are rounded
to DIGITS of the size by which those to the first subsets differ, so that subsets without a
difference tie on every machine, and the units of the network's outputs do not count.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import ask, groups, pad, probe
from gpex_bench.masking.choices import check_budget, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import Regions, Segmentation, regions
from gpex_bench.types import Attribution, Need, Query, Task, settings

DIGITS = 5  # of the spread of the answers; smaller differences are rounding errors of the network

Answer = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evolution:
    """The result of the algorithm; a run is one restart for one sample.

    The restarts of a sample are consecutive runs.
    """

    cut: Regions
    population: Tensor  # bool [run, individual, region], the fittest first
    fitness: Tensor  # [run, individual]
    best: Tensor  # [run, generation]: the convergence curve
    rows: Tensor  # [run, generation]: forward rows spent so far
    differs: Tensor  # bool [run]: whether the answers to some subsets differ


@settings
class ELime(Masking):
    """How often subsets evolved for the network's confidence keep a segment (reconstruction)."""

    reference = "wang2022explaining"
    kind = "evolutionary"
    needs = frozenset({Need.PROBABILITY})  # a number has no confidence
    cost = "at most `budget` forward rows per sample, fewer when masks recur"

    budget: int = 1000  # forward rows per sample, at most: restarts * population * generations
    population: int = 50  # subsets per generation
    restarts: int = 1  # independent runs per sample
    fitness: Literal["probability", "log_odds"] = "probability"
    size_penalty: float = 0.0  # what keeping all segments costs, in units of the fitness
    crossover: float = 0.9  # probability that a child has two parents
    flips: float = 1.0  # mutation: bits of a child that flip on average
    elite: int = 2  # fittest subsets that live on
    density: float = 0.5  # share of the segments that the first subsets keep on average
    patience: int = 0  # generations without improvement after which a run stops; 0: it never does
    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    fill: MethodFill = "baseline"

    def __post_init__(self) -> None:
        """Refuse settings without evolution."""
        check_settings(self, population=2, restarts=1, elite=1, patience=0, n_segments=8)
        if self.fitness not in ("probability", "log_odds"):
            raise ValueError(f"fitness must be 'probability' or 'log_odds', got {self.fitness!r}.")
        for name in ("crossover", "density"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}.")
        for name in ("size_penalty", "flips"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if self.elite >= self.population:
            raise ValueError(
                f"elite must be smaller than population ({self.population}), got {self.elite}."
            )
        size = self.restarts * self.population
        check_budget(
            self.budget, 2 * size, f"two generations of {self.restarts} x {self.population} subsets"
        )

    def explain(self, task: Task, query: Query) -> Attribution:
        """Return the share of the final subsets that keep each segment."""
        values = []
        for part in groups(query, self.restarts * self.population):
            evolution = self.evolve(task, part)
            kept = evolution.population.double().mean(1)
            # without a difference nothing was selected: no segment before another
            kept[~evolution.differs] = self.density
            kept = kept.view(len(part.x), self.restarts, -1).mean(1)
            cut = evolution.cut
            # columns of a group share its value, as its relevance is their sum
            share = cut.paint if task.data.is_image else cut.spread
            values.append(share(kept, part.x))
        return Attribution(values=torch.cat(values))

    def evolve(self, task: Task, query: Query) -> Evolution:
        """Return final populations and convergence curves of all samples, evolved together."""
        cut = regions(query.x, self.segmentation, self.n_segments, groups=task.data.groups)
        asked = probe(task, query, self.fill, self.fitness, cut)

        def answer(masks: list[Tensor]) -> list[Tensor]:
            """Return the answers to each run's masks; the runs of a sample share a batch."""
            n = self.restarts
            of_sample = [torch.cat(masks[i : i + n]) for i in range(0, len(masks), n)]
            answers = torch.cat(ask(asked, cut, of_sample)).cpu()
            return list(answers.split([len(mask) for mask in masks]))

        generators: list[torch.Generator] = []
        counts: list[int] = []
        for sample, count in zip(query.sample.tolist(), cut.count.tolist(), strict=True):
            generators += self._generators(task.generator(sample))
            counts += [count] * self.restarts
        return self.search(answer, counts, generators, cut)

    def _generators(self, generator: torch.Generator) -> list[torch.Generator]:
        """Return a generator for each restart of a sample."""
        seeds = torch.randint(2**31, (self.restarts,), generator=generator).tolist()
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def search(
        self,
        answer: Answer,
        counts: Sequence[int],
        generators: Sequence[torch.Generator],
        cut: Regions,
    ) -> Evolution:
        """Run the algorithm on the CPU, all runs together.

        Args:
            answer: returns the network's answers to the masks of each run; asked for a mask once.
            counts: how many regions each run has.
            generators: one for each run.
            cut: the regions of the samples.
        """
        width = max(counts)
        known = [dict[bytes, float]() for _ in counts]
        decimals: list[int] = []
        population = torch.stack(pad(self._first(counts, generators), width))
        fitness = self._judge(population, counts, known, answer, decimals)

        best: list[Tensor] = []
        rows = []
        idle = torch.zeros(len(counts), dtype=torch.int64)  # generations without improvement
        for generation in range(self.budget // (self.restarts * self.population)):
            if generation:
                children = self._children(population, fitness, counts, generators)
                stopped = (idle >= self.patience) & (self.patience > 0)
                population = torch.where(stopped[:, None, None], population, children)
                fitness = self._judge(population, counts, known, answer, decimals)

            # the fittest first
            order = fitness.argsort(dim=1, descending=True, stable=True)
            fitness = fitness.gather(1, order)
            population = population.gather(1, order[..., None].expand(-1, -1, width))

            if best:
                idle = torch.where(fitness[:, 0] > best[-1], 0, idle + 1)
            best.append(fitness[:, 0])
            rows.append(torch.tensor([len(answers) for answers in known]))

        return Evolution(
            cut=cut,
            population=population,
            fitness=fitness,
            best=torch.stack(best, 1),
            rows=torch.stack(rows, 1),
            differs=torch.tensor([len(set(answers.values())) > 1 for answers in known]),
        )

    def _first(self, counts: Sequence[int], generators: Sequence[torch.Generator]) -> list[Tensor]:
        """Return the first population of each run, bool [individual, region]."""
        populations = []
        for count, generator in zip(counts, generators, strict=True):
            draw = torch.rand(self.population, count, generator=generator)
            populations.append(draw < self.density)
        return populations

    def _judge(
        self,
        population: Tensor,
        counts: Sequence[int],
        known: list[dict[bytes, float]],
        answer: Answer,
        decimals: list[int],
    ) -> Tensor:
        """Return the fitness of every individual; each mask is evaluated once per run.

        The first call fills `decimals`: those that the answers of each run are rounded to.
        """
        keys = [[mask.tobytes() for mask in masks.numpy()] for masks in population]

        # each mask that a run has not met, once; in an order that the results depend on
        new_keys, new_masks = [], []
        for masks, names, answers, count in zip(population, keys, known, counts, strict=True):
            places: dict[bytes, int] = {}
            for place in reversed(range(len(names))):
                if names[place] not in answers:
                    places[names[place]] = place
            new_keys.append(list(places))
            new_masks.append(masks[list(places.values()), :count])

        found = answer(new_masks)
        if not decimals:
            decimals += [decimals_of(y) for y in found]
        for answers, names, y, digits in zip(known, new_keys, found, decimals, strict=True):
            answers.update(zip(names, y.double().round(decimals=digits).tolist(), strict=True))

        fitness = [
            [answers[name] for name in names] for names, answers in zip(keys, known, strict=True)
        ]
        size = population.sum(2) / torch.tensor(counts)[:, None]
        return torch.tensor(fitness) - self.size_penalty * size

    def _children(
        self,
        population: Tensor,
        fitness: Tensor,
        counts: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Return the next generation of sorted populations: the elite, then children."""
        n_children = self.population - self.elite
        width = population.shape[2]
        contests, crossings, seconds, flips = [], [], [], []
        for count, generator in zip(counts, generators, strict=True):
            shape = (n_children, count)
            contests.append(torch.randint(self.population, (4, n_children), generator=generator))
            crossings.append(torch.rand(n_children, 1, generator=generator) < self.crossover)
            seconds.append(torch.rand(shape, generator=generator) < 0.5)
            flips.append(torch.rand(shape, generator=generator) < self.flips / count)

        # populations are sorted: the smaller place wins a tournament of two
        contest = torch.stack(contests)
        mother = _individuals(population, contest[:, [0, 1]].amin(1))
        father = _individuals(population, contest[:, [2, 3]].amin(1))

        is_father = torch.stack(crossings) & torch.stack(pad(seconds, width))
        children = torch.where(is_father, father, mother) ^ torch.stack(pad(flips, width))
        return torch.cat([population[:, : self.elite], children], 1)


def decimals_of(answers: Tensor) -> int:
    """Return how many decimals show DIGITS digits of the spread of some answers."""
    spread = float(answers.max() - answers.min())
    if spread == 0:
        return DIGITS
    return DIGITS - math.ceil(math.log10(spread))


def _individuals(population: Tensor, place: Tensor) -> Tensor:
    """Return the individuals at these places of each run's population."""
    return population.gather(1, place[..., None].expand(-1, -1, population.shape[2]))
