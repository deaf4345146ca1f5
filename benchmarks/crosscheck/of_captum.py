"""Comparisons with captum."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from captum.metrics import infidelity, sensitivity_max
from subject import Comparison, Subject

from gpex_bench.measurements.noisy import Noisy
from gpex_bench.measurements.subsets import Subsets, cells, draw, squared_error
from gpex_bench.metrics.infidelity import Infidelity, best_scale
from gpex_bench.metrics.infidelity_raw import InfidelityRaw
from gpex_bench.metrics.max_sensitivity import MaxSensitivity
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Query

N = 24


def of_infidelity(about: Subject, normalize: bool) -> torch.Tensor:
    """Return captum's infidelity for the removals that we draw."""
    query = about.query
    cell = cells(query.x.shape[1:], 4)
    n_cells = int(cell.max()) + 1
    subsets = draw(about.task.seed, query.sample, n_cells, n_subsets=N, share=0.25)
    removed = subsets[:, :, cell]
    indicator = removed.flatten(0, 1).view(-1, 1, *query.x.shape[2:]).float()

    def perturb(inputs: torch.Tensor, baselines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return indicator, torch.where(indicator.bool(), baselines.expand_as(inputs), inputs)

    return infidelity(
        about.task.model,
        perturb,
        query.x,
        about.maps,
        baselines=about.task.data.baseline[None],
        target=query.target,
        n_perturb_samples=N,
        normalize=normalize,
    ).detach()


def of_sensitivity(about: Subject) -> torch.Tensor:
    """Return captum's maximum sensitivity for the neighbours that we draw."""
    query, n = about.query, 4
    near = Noisy().neighbours(about.task.seed, query).transpose(0, 1).flatten(0, 1)
    explainer = plugins("method")["gradient_x_input"].cls()

    def explain(inputs: tuple[torch.Tensor, ...] | torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = inputs[0] if isinstance(inputs, tuple) else inputs
        if len(x) == len(query.x):
            return (about.maps,)
        target, sample = (part.repeat_interleave(n) for part in (query.target, query.sample))
        return (
            explainer.explain(about.task, Query(x=x.detach(), target=target, sample=sample)).values,
        )

    return sensitivity_max(explain, query.x, perturb_func=lambda x: near, n_perturb_samples=n)


def comparisons(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons."""
    library = "captum"
    raw, scaled = of_infidelity(about, False), of_infidelity(about, True)
    plain = about.score(InfidelityRaw(n_subsets=N))
    yield Comparison("infidelity_raw", library, "infidelity, the same 24 removals", plain, raw)
    effects = Subsets(n_subsets=N).measure(about.case)
    best = squared_error(
        effects.relevance, effects.drop, best_scale(effects.relevance, effects.drop)
    )
    yield Comparison(
        "infidelity", library, "`best_scale` of either sign, normalize=True", best, scaled
    )
    why = (
        "Ours is divided by the error of a map of zeros and takes no negative scale: 0 ... 1 on "
        "every network."
    )
    relative = about.score(Infidelity(n_subsets=N))
    yield Comparison("infidelity", library, "the score, normalize=True", relative, scaled, why)
    largest, theirs = about.score(MaxSensitivity()), of_sensitivity(about)
    yield Comparison(
        "max_sensitivity", library, "sensitivity_max, the same 4 neighbours", largest, theirs
    )
