"""Do shares differ between networks? Paired by image and by training seed, under every combination of choices.

A change is told where two tests agree at the 5 % level: image by image (means over the seeds, Wilcoxon's test of
`inference.pairs`, Holm's correction over the combinations of a question), which is about these networks on other
images; and seed by seed (means over the images, t test of `seed_pairs`), which is about other trainings. How sure a
network is moves its shares, so each change is also given for the images of which the compared networks are about
equally sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from gpex_bench.frames import groups
from gpex_bench.inference.bootstrap import counts, percentile_interval, resampled_means
from gpex_bench.inference.pairs import LEVEL, holm, signed_rank
from gpex_bench.seed_pairs import trend

SCORES = ("interaction", "background")
CHOICES = ("output", "fill", "mask")
EQUALLY_SURE = 0.05  # largest difference of the probabilities of a label between compared networks
SUMMARY = ("dataset", *CHOICES, "score", "model", "mean", "low", "high", "seed_sd", "n_images", "n_seeds")
TESTED = ("mean", "low", "high", "p_images", "seed_low", "seed_high", "p_seeds", "n_images", "n_seeds")
MATCHED = ("matched_mean", "matched_low", "matched_high", "n_matched")


def summary(shares: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval over the images (means over the seeds) of every network and combination.

    Args:
        shares: dataset, model, seed, sample, output, fill, mask, interaction, background; NaN where there is none.
    """
    rows = []
    for (dataset, *choice), block in groups(shares, ["dataset", *CHOICES]):
        for score in SCORES:
            for model, part in block.dropna(subset=[score]).groupby("model", sort=False):
                images = part.groupby("sample")[score].mean().to_numpy()
                seeds = part.groupby("seed")[score].mean()
                ends = (float(images.mean()), *_interval(images, str(dataset)))
                rows.append((dataset, *choice, score, model, *ends, seeds.std(ddof=1), len(images), len(seeds)))
    return pd.DataFrame(rows, columns=list(SUMMARY))


def compared(shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return how shares change along a ladder of networks (mean step from one to the next), and from a twin to another.

    Args:
        shares: likewise, with the column `probability`.
        ladder: models in order.
        twins: pairs of a model and the one that it is compared with.

    Returns:
        One row per dataset, score, question and combination. `change` is up, down or "not told".
    """
    asked = [(" → ".join(ladder), list(ladder))] + [(f"{plain} → {own}", [plain, own]) for own, plain in twins]
    rows = []
    for (dataset,), block in groups(shares, ["dataset"]):
        for score in SCORES:
            for question, models in asked:
                rows += list(_every_choice(block, (str(dataset), score, question), models))
    keys = ("dataset", "score", "question", *CHOICES)
    table = pd.DataFrame(rows, columns=[*keys, *TESTED, *MATCHED])
    corrected = table.groupby(["dataset", "score", "question"])["p_images"].transform(
        lambda p_values: holm(p_values.fillna(1.0).to_numpy())
    )
    table["p_images"] = corrected
    is_told = (table["p_images"] < LEVEL) & (table["p_seeds"] < LEVEL)
    table["change"] = np.where(is_told, np.where(table["mean"] > 0, "up", "down"), "not told")
    return table


def _every_choice(block: pd.DataFrame, place: tuple[str, str, str], models: Sequence[str]) -> Iterator[tuple]:
    """Yield the row of each combination."""
    dataset, score, _ = place
    known = block[block["model"].isin(list(models))]
    for choice, part in known.groupby(list(CHOICES), sort=False):
        wide = part.pivot_table(index=["sample", "seed"], columns="model", values=score).reindex(columns=list(models))
        sure = part.pivot_table(index=["sample", "seed"], columns="model", values="probability").reindex(wide.index)
        wide = wide.dropna()
        matched = wide[(sure.max(axis=1) - sure.min(axis=1)).reindex(wide.index) <= EQUALLY_SURE]
        steps, equal = (_by_image(frame) for frame in (wide, matched))
        yield (*place, *choice, *_tested(steps, wide, dataset), *_mean(equal, dataset), len(equal))


def _by_image(wide: pd.DataFrame) -> np.ndarray:
    """Return the mean step of each image: over the seeds, of the mean step from one network to the next."""
    return pd.Series(_slope(wide.to_numpy(float)), index=wide.index).groupby("sample").mean().to_numpy()


def _slope(numbers: np.ndarray) -> np.ndarray:
    """Return the Theil-Sen slope of each row along the columns (sen1968estimates), as `seed_pairs.trend` has it."""
    first, second = np.triu_indices(numbers.shape[1], 1)
    return np.median((numbers[:, second] - numbers[:, first]) / (second - first), axis=1)


def _tested(steps: np.ndarray, wide: pd.DataFrame, dataset: str) -> tuple:
    """Return mean, interval and p value over the images, then interval and p value over the seeds."""
    n = len(steps)
    if n < 2:
        return (np.nan,) * 7 + (n, 0)
    means = wide.groupby("seed").mean().reset_index().melt("seed", var_name="model", value_name="value")
    places = {model: place for place, model in enumerate(wide.columns)}
    along = trend(means.assign(place=means["model"].map(places)))
    chance, _ = signed_rank(steps[:, None])
    return (*_mean(steps, dataset), float(chance[0]), along.low, along.high, along.p_value, n, along.n_seeds)


def _mean(images: np.ndarray, key: str) -> tuple[float, float, float]:
    """Return mean and interval over the images; NaN for none."""
    return (float(images.mean()), *_interval(images, key)) if len(images) else (np.nan, np.nan, np.nan)


def _interval(images: np.ndarray, key: str) -> tuple[float, float]:
    """Return the 95 % interval of a mean over images."""
    n = len(images)
    if n < 2:
        return np.nan, np.nan
    low, high = percentile_interval(resampled_means(images[:, None], counts(key, n)), n)
    return float(low[0]), float(high[0])
