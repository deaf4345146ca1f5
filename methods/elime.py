"""E-LIME: a genetic algorithm evolves the subset of segments for which the network is surest of the target.

Wang, Pei, Xue, Zhang 2022 (wang2022explaining). OUR RECONSTRUCTION: only the abstract was at hand, and there is no
public code. From it: individuals are bit strings over superpixels, fitness is the probability given the kept segments
alone, how many are kept is free. Undetermined there, chosen here, and settings below: population, generations,
operators, rates, segmentation, fill. Ours altogether: the fitness `log_odds` (a probability saturates) and
`size_penalty` (without it neutral segments drift and nothing is localised), and the attribution, which is how often a
segment is kept in the final populations. It lies in [0, 1], ranks segments, and does not say by how much they matter;
where all answers are equal it is noise around `density`.

Binary tournaments, uniform crossover, bit flips, elitism; a mask is evaluated once per run. A
generation of all images is one batch, each image with a generator of its own. Answers are rounded
to DIGITS, so that images without a difference tie on every machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gpex_bench.masking.answers import ask, groups, pad, probe
from gpex_bench.masking.choices import check_budget, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import Regions, Segmentation, regions
from gpex_bench.types import Attribution, Explainer, Query, Task, settings

DIGITS = 5  # decimals of an answer; smaller differences are rounding errors of the network

Answer = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evolution:
    """What the algorithm found; a run is one restart for one sample, the restarts of a sample side by side."""

    cut: Regions
    population: Tensor  # bool [run, individual, region], the fittest first
    fitness: Tensor  # [run, individual]
    best: Tensor  # [run, generation]: the convergence curve
    rows: Tensor  # [run, generation]: forward rows spent so far


@settings
class ELime(Explainer):
    """How often a segment is kept by subsets evolved for the network's confidence (reconstruction)."""

    reference = "wang2022explaining"
    kind = "evolutionary"
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
            found = self.evolve(task, part)
            kept = found.population.double().mean(1).view(len(part.x), self.restarts, -1).mean(1)
            values.append(found.cut.paint(kept, part.x))
        return Attribution(values=torch.cat(values))

    def evolve(self, task: Task, query: Query) -> Evolution:
        """Return the final populations and the convergence curves of all samples of a query, evolved together."""
        cut = regions(query.x, self.segmentation, self.n_segments)
        once = probe(task, query, self.fill, self.fitness, cut)

        def answer(masks: list[Tensor]) -> list[Tensor]:
            each = [
                torch.cat(masks[i : i + self.restarts]) for i in range(0, len(masks), self.restarts)
            ]
            lengths = [len(mask) for mask in masks]
            return list(torch.cat(ask(once, cut, each)).cpu().split(lengths))

        generators = [
            one
            for sample in query.sample.tolist()
            for one in self._generators(task.generator(sample))
        ]
        counts = [count for count in cut.count.tolist() for _ in range(self.restarts)]
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
        """Run the algorithm on the CPU; `answer` is asked for each mask once per run, all runs together."""
        width, known = max(counts), [dict[bytes, float]() for _ in counts]
        first = [
            torch.rand(self.population, count, generator=generator) < self.density
            for count, generator in zip(counts, generators, strict=True)
        ]
        population, best, rows = torch.stack(pad(first, width)), [], []
        idle = torch.zeros(len(counts), dtype=torch.int64)
        fitness = self._judge(population, counts, known, answer)
        for generation in range(self.budget // (self.restarts * self.population)):
            if generation:
                children = self._children(population, fitness, counts, generators)
                stopped = (idle >= self.patience) & (self.patience > 0)
                population = torch.where(stopped[:, None, None], population, children)
                fitness = self._judge(population, counts, known, answer)
            order = fitness.argsort(dim=1, descending=True, stable=True)
            fitness, population = (
                fitness.gather(1, order),
                population.gather(1, order[..., None].expand(-1, -1, width)),
            )
            idle = torch.where(fitness[:, 0] > best[-1], 0, idle + 1) if best else idle
            best.append(fitness[:, 0])
            rows.append(torch.tensor([len(seen) for seen in known]))
        return Evolution(
            cut=cut,
            population=population,
            fitness=fitness,
            best=torch.stack(best, 1),
            rows=torch.stack(rows, 1),
        )

    def _judge(
        self,
        population: Tensor,
        counts: Sequence[int],
        known: list[dict[bytes, float]],
        answer: Answer,
    ) -> Tensor:
        """Return the fitness of every individual; asks for masks that a run has not met."""
        keys = [[row.tobytes() for row in one.numpy()] for one in population]
        new = [
            {key: i for i, key in reversed(list(enumerate(names))) if key not in seen}
            for names, seen in zip(keys, known, strict=True)
        ]
        masks = [
            one[list(fresh.values()), :count]
            for one, fresh, count in zip(population, new, counts, strict=True)
        ]
        for seen, fresh, y in zip(known, new, answer(masks), strict=True):
            seen.update(zip(fresh, y.double().round(decimals=DIGITS).tolist(), strict=True))
        answers = torch.tensor(
            [[seen[key] for key in names] for names, seen in zip(keys, known, strict=True)]
        )
        size = population.sum(2) / torch.tensor(counts)[:, None]
        return answers - self.size_penalty * size

    def _children(
        self,
        population: Tensor,
        fitness: Tensor,
        counts: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Return the next generation of populations that are sorted by fitness: the elite, then children."""
        n, width = self.population - self.elite, population.shape[2]
        drawn = [
            (
                torch.randint(self.population, (4, n), generator=generator),
                torch.rand(n, 1, generator=generator) < self.crossover,
                torch.rand(n, count, generator=generator) < 0.5,
                torch.rand(n, count, generator=generator) < self.flips / count,
            )
            for count, generator in zip(counts, generators, strict=True)
        ]
        contest, crossed = (torch.stack([one[i] for one in drawn]) for i in (0, 1))
        second, flipped = (torch.stack(pad([one[i] for one in drawn], width)) for i in (2, 3))
        mother, father = (  # populations are sorted: the smaller place wins a tournament
            population.gather(1, contest[:, pair].amin(1)[..., None].expand(-1, -1, width))
            for pair in ([0, 1], [2, 3])
        )
        children = torch.where(crossed & second, father, mother) ^ flipped
        return torch.cat([population[:, : self.elite], children], 1)
