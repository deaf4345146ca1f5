"""Do shares differ between networks? Paired by image and seed, under every combination of choices.

All is about one statistic: the slope per step of an image and a training seed. A change is
significant where two tests agree at the 5 % level:

- image by image: means over the seeds (`statistics.means`), Holm's correction over the combinations
  of a question. This is about these networks on other images.
- seed by seed: means over the images, t test. This is about other trainings.

That a change is significant under one combination and not under another is no evidence that the two
differ: `compare_choices` tests the difference. How sure a network is moves its shares, so each
change is also given for the images of which the compared networks are about equally sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.statistics.means import means
from gpex_bench.statistics.pairs import holm
from gpex_bench.statistics.seeds import difference
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.order import groups
from gpex_bench.types import value

SCORES = ("interaction", "background")
# of the table only: known for binary masks alone
PAIRS = "object_background"
CHOICES = ("output", "fill", "mask")
QUESTION = ("dataset", "score", "question")
# largest difference of the probabilities of a label between networks that are equally sure
EQUALLY_SURE = 0.05
NOT_SIGNIFICANT = "not significant"


@value
class Slopes:
    """How a share changes from a network to the next, under one combination of choices."""

    # dataset, score, question
    question: dict[str, str]
    # output, fill, mask
    choice: dict[str, str]
    # [image, seed]; images without a slope for some seed are left out
    slopes: pd.DataFrame
    # means over the seeds, of images of which the networks are about equally sure
    matched: np.ndarray


def summarise(shares: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval of every network and combination.

    Intervals are over the images, of means over the seeds.

    Args:
        shares: dataset, model, seed, sample, output, fill, mask, interaction, background,
            object_background; NaN where there is none.
    """
    columns = ["dataset", *CHOICES, "score", "model", "mean", "low", "high"]
    columns += ["seed_sd", "n_images", "n_seeds"]
    rows: list[dict[str, Any]] = []
    for (dataset, *options), block in groups(shares, ["dataset", *CHOICES]):
        key = {"dataset": dataset} | dict(zip(CHOICES, options, strict=True))
        for score in (*SCORES, PAIRS):
            known = block.dropna(subset=[score])
            for model, part in known.groupby("model", sort=False):
                images = part.groupby("sample")[score].mean()
                seeds = part.groupby("seed")[score].mean()
                of_model = {
                    "score": score,
                    "model": model,
                    "seed_sd": seeds.std(ddof=1),
                    "n_images": len(images),
                    "n_seeds": len(seeds),
                }
                mean = _mean_of_images(images.to_numpy())
                rows.append(key | of_model | mean)

    return pd.DataFrame(rows, columns=columns)


def compare_networks(
    shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Return how shares change along a ladder of networks, and from a plain twin to a robust one.

    Args:
        shares: as for `summarise`, with the column `probability`.
        ladder: models in order.
        twins: pairs of a model and the one that it is compared with.

    Returns:
        One row per dataset, score, question and combination, with the slope per step. `change` is
        up, down or "not significant".
    """
    rows = []
    for found in _all_slopes(shares, ladder, twins):
        dataset = found.question["dataset"]
        matched = _mean_of_images(found.matched)
        of_matched = {
            "matched_slope": matched["mean"],
            "matched_low": matched["low"],
            "matched_high": matched["high"],
            "n_matched": len(found.matched),
        }
        tests = _test(found.slopes, dataset)
        rows.append(found.question | found.choice | tests | of_matched)

    table = _corrected(pd.DataFrame(rows))
    is_significant = (table["p_images"] < LEVEL) & (table["p_seeds"] < LEVEL)
    direction = np.where(table["slope_per_step"] > 0, "up", "down")
    table["change"] = np.where(is_significant, direction, NOT_SIGNIFICANT)
    return table


def compare_choices(
    shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Return whether the slopes of a question depend on the output, on the fill and on the mask.

    Every two options of a choice are compared image by image: means over the seeds and over the
    options of the other choices, Wilcoxon's test, Holm's correction over the comparisons of a
    question.

    Args:
        shares: as for `compare_networks`.
        ladder: models in order.
        twins: pairs of a model and the one that it is compared with.
    """
    columns = [*QUESTION, "choice", "first", "second"]
    columns += ["difference", "low", "high", "p_images", "n_images"]
    rows: list[dict[str, Any]] = []
    for question, images in _by_question(_all_slopes(shares, ladder, twins)):
        for choice in CHOICES:
            options = images.T.groupby(level=choice, sort=False).mean().T
            for first, second in combinations(options, 2):
                gap = (options[second] - options[first]).to_numpy(float)
                mean = _mean_of_images(gap)
                compared = {
                    "choice": choice,
                    "first": first,
                    "second": second,
                    "difference": mean["mean"],
                    "low": mean["low"],
                    "high": mean["high"],
                    "p_images": _p_value_of_images(gap),
                    "n_images": len(gap),
                }
                rows.append(question | compared)

    table = _corrected(pd.DataFrame(rows, columns=columns))
    table["depends"] = table["p_images"] < LEVEL
    return table


# --- slopes ---


def _all_slopes(
    shares: pd.DataFrame, ladder: Sequence[str], twins: Sequence[Sequence[str]]
) -> Iterator[Slopes]:
    """Yield the slopes of every dataset, score, question and combination."""
    questions = {" → ".join(ladder): list(ladder)}
    for robust, plain in twins:
        questions[f"{plain} → {robust}"] = [plain, robust]

    for (dataset,), block in groups(shares, ["dataset"]):
        for score in SCORES:
            for question, models in questions.items():
                of_models = block[block["model"].isin(models)]
                asked = {"dataset": str(dataset), "score": score, "question": question}
                for options, part in of_models.groupby(list(CHOICES), sort=False):
                    choice = dict(zip(CHOICES, map(str, options), strict=True))
                    yield _slopes(part, models, asked, choice)


def _slopes(
    part: pd.DataFrame, models: Sequence[str], question: dict[str, str], choice: dict[str, str]
) -> Slopes:
    """Return the slopes of one question under one combination."""
    keys = ["sample", "seed"]
    share = part.pivot_table(index=keys, columns="model", values=question["score"])
    share = share.reindex(columns=list(models)).dropna()
    slopes = pd.Series(_slope(share.to_numpy(float)), index=share.index, dtype=float)

    probability = part.pivot_table(index=keys, columns="model", values="probability")
    apart = probability.max(axis=1) - probability.min(axis=1)
    is_matched = apart.reindex(share.index) <= EQUALLY_SURE

    return Slopes(
        question=question,
        choice=choice,
        # each seed's mean is over the same images
        slopes=slopes.unstack("seed").dropna(),
        matched=slopes[is_matched].groupby("sample").mean().to_numpy(),
    )


def _slope(numbers: np.ndarray) -> np.ndarray:
    """Return the Theil-Sen slope of each row along the columns (sen1968estimates)."""
    first, second = np.triu_indices(numbers.shape[1], 1)
    rise = numbers[:, second] - numbers[:, first]
    steps = second - first
    return np.median(rise / steps, axis=1)


def _by_question(every: Iterator[Slopes]) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Yield each question with its slopes [image, combination], means over the seeds."""
    questions: dict[tuple[str, ...], list[Slopes]] = {}
    for found in every:
        question = tuple(found.question.values())
        questions.setdefault(question, []).append(found)

    for combinations_of_one in questions.values():
        by_choice = {}
        for found in combinations_of_one:
            combination = tuple(found.choice.values())
            by_choice[combination] = found.slopes.mean(axis=1)

        images = pd.DataFrame(by_choice).dropna()
        images.columns = pd.MultiIndex.from_tuples(by_choice, names=CHOICES)
        yield combinations_of_one[0].question, images


# --- tests and intervals ---


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Correct the p values of each question for their number (holm1979simple)."""

    def correct(p_values: pd.Series) -> np.ndarray:
        known = p_values.fillna(1.0)
        return holm(known.to_numpy())

    by_question = table.groupby(list(QUESTION), sort=False)
    table["p_images"] = by_question["p_images"].transform(correct)
    return table


def _test(slopes: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """Return mean, interval and p value over the images, then interval and p value over the seeds.

    NaN for fewer than two images.
    """
    n_images = len(slopes)
    if n_images < 2:
        unknown = ["slope_per_step", "low", "high", "p_images"]
        unknown += ["seed_low", "seed_high", "p_seeds"]
        return dict.fromkeys(unknown, np.nan) | {"n_images": n_images, "n_seeds": 0}

    images = slopes.mean(axis=1).to_numpy()
    seeds = slopes.mean(axis=0)
    over_images = _mean_of_images(images)
    over_seeds = difference(seeds, 0 * seeds)
    return {
        "slope_per_step": over_images["mean"],
        "low": over_images["low"],
        "high": over_images["high"],
        "p_images": _p_value_of_images(images),
        "seed_low": over_seeds.low,
        "seed_high": over_seeds.high,
        "p_seeds": over_seeds.p_value,
        "n_images": n_images,
        "n_seeds": over_seeds.n_seeds,
    }


def _p_value_of_images(images: np.ndarray) -> float:
    """Return the p value of "the mean is 0"; NaN for fewer than two images."""
    if len(images) < 2:
        return np.nan
    _, _, p_value = means(images[None]).test
    return float(p_value[0])


def _mean_of_images(images: np.ndarray) -> dict[str, float]:
    """Return the mean over the images with its 95 % interval, from the procedure of the p value.

    NaN for no image; the ends are NaN for few (`statistics.means`).

    Args:
        images: a number for each image.
    """
    found = means(images[None])
    low, high, _ = found.test
    return {"mean": float(found.mean[0]), "low": float(low[0]), "high": float(high[0])}
