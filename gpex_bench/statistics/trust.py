"""Which metric can be trusted? Properties of the metrics themselves, from the scores of a run.

- planted order: how often, sample by sample, oracle > methods > random > inverted comes out (ties count half); 1 is
  perfect, 0.5 chance.
- seed agreement: Kendall's W of the methods' mean ranks under the training seeds; 1 is the same ranking under each.
- separation: share of the pairs of different methods that are told apart.
- random minus chance: mean score of the random control minus the chance value the metric declares.

Four more are those of MetaQuantus (hedstroem2023meta), where scores under perturbed networks or inputs are given. Each
method's scores are compared with its own unperturbed ones. Under a minor perturbation a metric should say the same
(noise resilience: p value of Wilcoxon's test, and share of methods that keep their rank within a sample), under a
disruptive one something else, and worse (adversary reactivity: 1 - p, and share of scores that get worse). Their mean
is the meta-consistency. Departure: the authors' code compares the methods at each place of the sorted order; we compare
each method's rank, which is what their paper defines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from gpex_bench.statistics.bootstrap import CONFIDENCE, counts, percentile_interval, resampled_means
from gpex_bench.statistics.informative import Roles
from gpex_bench.statistics.pairs import Comparison, families, signed_rank, verdicts
from gpex_bench.statistics.ranking import N_RESAMPLES
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import PERTURBED, TRUST, require
from gpex_bench.tables.order import groups
from gpex_bench.types import Role

STRENGTHS = ("minor", "disruptive")


def table(units: Units, told: Comparison, known: Roles, chance: float | None) -> pd.DataFrame:
    """Return one row for each property of one metric on one network that can be known."""
    rows = [
        ("planted order", planted_order(units, known)),
        ("seed agreement", seed_agreement(units)),
        ("separation", separation(units, told)),
        ("random minus chance", _random(units, known, chance)),
    ]
    dataset, model, metric = units.place
    found = [
        (metric, dataset, model, name, *numbers) for name, numbers in rows if numbers is not None
    ]
    return pd.DataFrame(found, columns=list(TRUST))


def planted_order(units: Units, known: Roles) -> tuple[float, float, float] | None:
    """Return how often the planted order is right, with its interval over samples; None without such controls."""
    scores = sample_means(units.distinct)
    levels = [
        units.groups_of(known.of(Role.ORACLE)),
        np.flatnonzero(units.ranked).tolist(),
        units.groups_of(known.of(Role.RANDOM)),
        units.groups_of(known.inverted),
    ]
    if not (levels[0] or levels[2] or levels[3]):
        return None
    parts = []
    filled = [level for level in levels if level]
    for better, worse in zip(filled, filled[1:], strict=False):
        gaps = scores[better][:, None] - scores[worse][None]
        parts.append(((gaps > 0) + 0.5 * (gaps == 0)).mean((0, 1)))
    return _over_samples(units, np.mean(parts, axis=0)) if parts else None


def _over_samples(units: Units, values: Float[np.ndarray, "sample"]) -> tuple[float, float, float]:
    """Return mean and interval over samples."""
    column = values[np.isfinite(values)][:, None]
    means = resampled_means(column, counts(units.key, len(column)))
    low, high = percentile_interval(means, len(column))
    return float(column.mean()), float(low[0]), float(high[0])


def kendalls_w(ranks: Float[np.ndarray, "... rater item"]) -> Float[np.ndarray, "..."]:
    """Return Kendall's coefficient of concordance, corrected for ties (kendall1939problem); NaN where all are tied."""
    n_raters, n_items = ranks.shape[-2:]
    spread = ((ranks.sum(-2) - n_raters * (n_items + 1) / 2) ** 2).sum(-1)
    same = (ranks[..., :, None] == ranks[..., None, :]).sum(
        (-1,)
    )  # size of the tie each item is in
    ties = (same.astype(float) ** 2 - 1).sum((-1, -2))
    largest = (n_raters**2 * (n_items**3 - n_items) - n_raters * ties) / 12
    return np.where(largest > 0, spread / np.where(largest > 0, largest, 1), np.nan)


def seed_agreement(units: Units) -> tuple[float, float, float] | None:
    """Return Kendall's W over the training seeds, with its interval over samples; None with one seed or method."""
    scores = units.distinct[units.ranked] if units.n_groups else units.scores
    if scores.shape[0] < 2 or scores.shape[2] < 2:
        return None
    n_groups, n_samples, n_seeds = scores.shape
    columns = scores.transpose(1, 2, 0).reshape(n_samples, -1)
    means = resampled_means(columns, counts(units.key, n_samples, N_RESAMPLES)).reshape(
        -1, n_seeds, n_groups
    )
    whole = np.stack([scores.mean(1).T])
    value, resampled = (kendalls_w(stats.rankdata(part, axis=-1)) for part in (whole, means))
    edge = (1 - CONFIDENCE) / 2
    if n_samples < 2 or not np.isfinite(resampled).any():
        return float(value[0]), float("nan"), float("nan")
    low, high = np.nanquantile(resampled, [edge, 1 - edge])
    return float(value[0]), float(low), float(high)


def separation(units: Units, told: Comparison) -> tuple[float, float, float] | None:
    """Return the share of pairs of different methods that are told apart; None for fewer than two methods."""
    ours = np.flatnonzero(units.ranked)
    if len(ours) < 2:
        return None
    verdict = verdicts(told, families(units, told))[np.ix_(ours, ours)]
    return float((verdict != 0).sum() / (len(ours) * (len(ours) - 1))), float("nan"), float("nan")


def _random(units: Units, known: Roles, chance: float | None) -> tuple[float, float, float] | None:
    """Return how far the random control is from the declared chance value, in units of the score."""
    found = units.groups_of(known.of(Role.RANDOM))
    if chance is None or not found:
        return None
    return _over_samples(units, units.sign * sample_means(units.distinct[found]).mean(0) - chance)


# --- under perturbation ---------------------------------------------------------------------------------------------


def meta_consistency(
    scores: pd.DataFrame,
    perturbed: pd.DataFrame,
    higher_is_better: Mapping[str, bool],
    controls: Sequence[str] = (),
) -> pd.DataFrame:
    """Return noise resilience, adversary reactivity and their mean, of each metric on each network.

    Args:
        scores: the unperturbed ones.
        perturbed: the same under perturbed networks or inputs; `strength` is "minor" or "disruptive", `perturbation`
            counts the repetitions. Samples whose prediction changes under a minor perturbation (or stays under a
            disruptive one) should not be in it.
        higher_is_better: direction of each metric.
        controls: left out.

    Raises:
        ValueError: a column is missing, or a strength is unknown.
    """
    require(perturbed, PERTURBED, "perturbed")
    unknown = sorted(set(perturbed["strength"]) - set(STRENGTHS))
    if unknown:
        raise ValueError(f"perturbed.strength must be one of {STRENGTHS}, got {unknown}.")
    rows = []
    for (metric, dataset, model), part in groups(perturbed, ["metric", "dataset", "model"]):
        here = scores[
            (scores["dataset"] == dataset)
            & (scores["model"] == model)
            & (scores["metric"] == metric)
        ]
        base = _table(here, controls)
        found: dict[str, list[float]] = {}
        for (strength, _), block in groups(part, ["strength", "perturbation"]):
            sign = 1 if higher_is_better[metric] else -1
            for name, number in _reactions(
                sign * base, sign * _table(block, controls), strength
            ).items():
                found.setdefault(name, []).append(number)
        if len(found) == 4:
            found["meta-consistency"] = [
                float(np.mean([np.mean(numbers) for numbers in found.values()]))
            ]
        rows += [
            (
                metric,
                dataset,
                model,
                name,
                float(np.mean(numbers)),
                float(np.min(numbers)),
                float(np.max(numbers)),
            )
            for name, numbers in found.items()
        ]
    return pd.DataFrame(rows, columns=list(TRUST))


def _table(scores: pd.DataFrame, controls: Sequence[str]) -> pd.DataFrame:
    """Return a score for each sample and method that is no control, averaged over the seeds."""
    ours = scores[~scores["method"].isin(list(controls))]
    by_seed = ours.groupby(["sample", "method", "seed"])["score"].mean()
    return by_seed.groupby(["sample", "method"]).mean().unstack("method")


def _reactions(base: pd.DataFrame, other: pd.DataFrame, strength: str) -> dict[str, float]:
    """Return the two properties of one perturbation; `low` and `high` of the table are those over perturbations."""
    before, after = (frame.dropna() for frame in base.align(other, join="inner"))
    before, after = before.align(after, join="inner")
    if before.empty:
        return {}
    p_value, _ = signed_rank((after - before).to_numpy())
    if strength == "minor":
        kept = stats.rankdata(before, axis=1) == stats.rankdata(after, axis=1)
        return {
            "noise resilience (scores)": float(p_value.mean()),
            "noise resilience (ranks)": float(kept.mean()),
        }
    worse = (after < before).to_numpy()
    return {
        "adversary reactivity (scores)": float(1 - p_value.mean()),
        "adversary reactivity (ranks)": float(worse.mean()),
    }
