"""Do shares differ between networks? Paired by image and by training seed, under every combination of choices.

All is about one statistic: the slope per step of an image and a training seed. A change is told where two tests agree
at the 5 % level: image by image (means over the seeds, Wilcoxon's test of `inference.pairs`, Holm's correction over the
combinations of a question), which is about these networks on other images; and seed by seed (means over the images, t
test of `seed_pairs`), which is about other trainings. That one combination tells a change and another does not is no
evidence that they differ: `dependence` tests the difference. How sure a network is moves its shares, so each change is
also given for the images of which the compared networks are about equally sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from gpex_bench.statistics.bootstrap import counts, percentile_interval, resampled_means
from gpex_bench.statistics.pairs import holm, signed_rank
from gpex_bench.statistics.seeds import difference
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import groups

SCORES = ("interaction", "background")
PAIRS = "object_background"  # of the table only: known for binary masks alone
CHOICES = ("output", "fill", "mask")
EQUALLY_SURE = 0.05  # largest difference of the probabilities of a label between compared networks
SUMMARY = (
    "dataset",
    *CHOICES,
    "score",
    "model",
    "mean",
    "low",
    "high",
    "seed_sd",
    "n_images",
    "n_seeds",
)
TESTED = (
    "slope_per_step",
    "low",
    "high",
    "p_images",
    "seed_low",
    "seed_high",
    "p_seeds",
    "n_images",
    "n_seeds",
)
MATCHED = ("matched_slope", "matched_low", "matched_high", "n_matched")
QUESTION = ("dataset", "score", "question")
DEPENDENCE = (
    *QUESTION,
    "choice",
    "first",
    "second",
    "difference",
    "low",
    "high",
    "p_images",
    "n_images",
    "depends",
)


def summary(shares: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval over the images (means over the seeds) of every network and combination.

    Args:
        shares: dataset, model, seed, sample, output, fill, mask, interaction, background, object_background; NaN where
            there is none.
    """
    rows = []
    for (dataset, *choice), block in groups(shares, ["dataset", *CHOICES]):
        for score in (*SCORES, PAIRS):
            for model, part in block.dropna(subset=[score]).groupby("model", sort=False):
                images = part.groupby("sample")[score].mean().to_numpy()
                seeds = part.groupby("seed")[score].mean()
                ends = (float(images.mean()), *_interval(images, str(dataset)))
                rows.append(
                    (
                        dataset,
                        *choice,
                        score,
                        model,
                        *ends,
                        seeds.std(ddof=1),
                        len(images),
                        len(seeds),
                    )
                )
    return pd.DataFrame(rows, columns=list(SUMMARY))


def compared(
    shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Return how shares change along a ladder of networks (slope per step), and from a twin to another.

    Args:
        shares: likewise, with the column `probability`.
        ladder: models in order.
        twins: pairs of a model and the one that it is compared with.

    Returns:
        One row per dataset, score, question and combination. `change` is up, down or "not told".
    """
    rows = [
        (*place, *choice, *_tested(slopes, place[0]), *_mean(equal, place[0]), len(equal))
        for place, choice, slopes, equal in _asked(shares, ladder, twins)
    ]
    table = _corrected(pd.DataFrame(rows, columns=[*QUESTION, *CHOICES, *TESTED, *MATCHED]))
    is_told = (table["p_images"] < LEVEL) & (table["p_seeds"] < LEVEL)
    table["change"] = np.where(
        is_told, np.where(table["slope_per_step"] > 0, "up", "down"), "not told"
    )
    return table


def dependence(
    shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Return whether the slopes of a question depend on the output, on the fill and on the mask.

    Every two options of a choice are compared image by image: means over the seeds and over the options of the other
    choices, Wilcoxon's test, Holm's correction over the comparisons of a question.

    Args:
        shares: as for `compared`.
        ladder: models in order.
        twins: pairs of a model and the one that it is compared with.
    """
    held: dict[tuple, dict[tuple, pd.Series]] = {}
    for place, choice, slopes, _ in _asked(shares, ladder, twins):
        held.setdefault(place, {})[choice] = slopes.mean(axis=1)
    rows: list[tuple] = []
    for place, by_choice in held.items():
        images = pd.DataFrame(by_choice).dropna()
        images.columns = pd.MultiIndex.from_tuples(by_choice, names=CHOICES)
        for name in CHOICES:
            options = images.T.groupby(level=name, sort=False).mean().T
            for first, second in combinations(options, 2):
                gap = (options[second] - options[first]).to_numpy(float)
                rows.append(
                    (*place, name, first, second, *_mean(gap, place[0]), _chance(gap), len(gap))
                )
    table = _corrected(pd.DataFrame(rows, columns=list(DEPENDENCE[:-1])))
    table["depends"] = table["p_images"] < LEVEL
    return table


def _asked(
    shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]
) -> Iterator[tuple[tuple[str, str, str], tuple, pd.DataFrame, np.ndarray]]:
    """Yield (dataset, score, question), combination, slopes [image, seed], slopes of images of like certainty."""
    questions = [(" → ".join(ladder), list(ladder))] + [
        (f"{plain} → {own}", [plain, own]) for own, plain in twins
    ]
    for (dataset,), block in groups(shares, ["dataset"]):
        for score in SCORES:
            for question, models in questions:
                known = block[block["model"].isin(models)]
                for choice, part in known.groupby(list(CHOICES), sort=False):
                    slopes, is_matched = _slopes(part, score, models)
                    equal = slopes[is_matched].groupby("sample").mean().to_numpy()
                    complete = slopes.unstack(
                        "seed"
                    ).dropna()  # each seed's mean is over the same images
                    yield (str(dataset), score, question), choice, complete, equal


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Correct the p values of each question for their number (holm1979simple)."""
    by_question = table.groupby(list(QUESTION), sort=False)["p_images"]
    table["p_images"] = by_question.transform(
        lambda p_values: holm(p_values.fillna(1.0).to_numpy())
    )
    return table


def _slopes(part: pd.DataFrame, score: str, models: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """Return the slope of each image and seed, and whether the networks are about equally sure there."""
    wide, sure = (
        part.pivot_table(index=["sample", "seed"], columns="model", values=value)
        for value in (score, "probability")
    )
    wide = wide.reindex(columns=list(models)).dropna()
    apart = (sure.max(axis=1) - sure.min(axis=1)).reindex(wide.index)
    return pd.Series(
        _slope(wide.to_numpy(float)), index=wide.index, dtype=float
    ), apart <= EQUALLY_SURE


def _slope(numbers: np.ndarray) -> np.ndarray:
    """Return the Theil-Sen slope of each row along the columns (sen1968estimates), as `seed_pairs.trend` has it."""
    first, second = np.triu_indices(numbers.shape[1], 1)
    return np.median((numbers[:, second] - numbers[:, first]) / (second - first), axis=1)


def _tested(slopes: pd.DataFrame, dataset: str) -> tuple:
    """Return mean, interval and p value over the images, then interval and p value over the seeds."""
    n = len(slopes)
    if n < 2:
        return (np.nan,) * 7 + (n, 0)
    images, seeds = slopes.mean(axis=1).to_numpy(), slopes.mean(axis=0)
    other = difference(seeds, 0 * seeds)
    return (
        *_mean(images, dataset),
        _chance(images),
        other.low,
        other.high,
        other.p_value,
        n,
        other.n_seeds,
    )


def _chance(images: np.ndarray) -> float:
    """Return the p value of "it is 0" over the images (Wilcoxon's test); NaN for fewer than two."""
    return float(signed_rank(images[:, None])[0][0]) if len(images) > 1 else np.nan


def _mean(images: np.ndarray, key: str) -> tuple[float, float, float]:
    """Return mean and interval over the images; NaN for none."""
    return (
        (float(images.mean()), *_interval(images, key)) if len(images) else (np.nan, np.nan, np.nan)
    )


def _interval(images: np.ndarray, key: str) -> tuple[float, float]:
    """Return the 95 % interval of a mean over images."""
    n = len(images)
    if n < 2:
        return np.nan, np.nan
    low, high = percentile_interval(resampled_means(images[:, None], counts(key, n)), n)
    return float(low[0]), float(high[0])
