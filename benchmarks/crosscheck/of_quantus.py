"""Comparisons with Quantus 0.6.0.

The sound part of it in the same conventions, and a line on what is not sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import quantus
import torch
from quantus.functions.perturb_func import noisy_linear_imputation
from subject import Comparison, Subject
from torch import Tensor

from gpex_bench.masking.inpainting import inpainted
from gpex_bench.masking.order import area
from gpex_bench.measurements import curves
from gpex_bench.measurements.chunks import Chunks
from gpex_bench.measurements.curves import Curves
from gpex_bench.measurements.maps import relevance
from gpex_bench.measurements.noisy import Noisy
from gpex_bench.measurements.planted import top_inside
from gpex_bench.measurements.similarity import pearson, spearman
from gpex_bench.metrics.aopc import AOPC
from gpex_bench.metrics.average_sensitivity import AverageSensitivity
from gpex_bench.metrics.complexity import entropy
from gpex_bench.metrics.faithfulness_estimate import FaithfulnessEstimate
from gpex_bench.metrics.irof import IROF
from gpex_bench.metrics.local_lipschitz import LocalLipschitz
from gpex_bench.metrics.localisation_auc import roc_area
from gpex_bench.metrics.mass_accuracy import mass_inside
from gpex_bench.metrics.max_sensitivity import MaxSensitivity
from gpex_bench.metrics.pointing_game import hit
from gpex_bench.metrics.relevant_positions import n_above
from gpex_bench.metrics.road import ROAD
from gpex_bench.metrics.selectivity import Selectivity
from gpex_bench.metrics.sparseness import gini
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Query

QUIET = {"disable_warnings": True, "display_progressbar": False, "return_aggregate": False}
RAW = QUIET | {"normalise": False, "abs": False}
SIDE = 7  # of the square segments that both sides are given
UNSOUND = {
    "monotonicity_arya": (
        "Monotonicity",
        "It fills a baseline with baseline values: 1 for every map.",
    ),
    "sensitivity_n": (
        "SensitivityN",
        "It correlates cumulative drops with the sums of single steps, across images.",
    ),
    "infidelity": (
        "Infidelity",
        "It perturbs cumulatively and repeats one deterministic pass; see captum's.",
    ),
    "completeness_error": (
        "Completeness",
        "It compares floats with ==, after normalising the map.",
    ),
    "sufficiency": (
        "Sufficiency",
        "Another metric of that name: shares of predictions among near maps.",
    ),
    "dummy_error": ("NonSensitivity", "Raises for steps of more than one pixel in 0.6.0."),
    "relative_input_stability": (
        "RelativeInputStability",
        "Noise on one side only, no value if one neighbour changes class, and divided entry by "
        "entry.",
    ),
    "mprt": (
        "MPRT",
        "Other random weights: it seeds torch's global generator, each layer with the same number.",
    ),
    "mprt_entropy": ("EfficientMPRT", "Other random weights."),
    "random_logit": (
        "RandomLogit",
        "SSIM of maps, and classes drawn from 1000 by default; ours is a rank correlation.",
    ),
}


def theirs(about: Subject, name: str, softmax: bool | None = None, **settings: Any) -> np.ndarray:
    """Return the scores that a metric of Quantus gives the maps."""
    extra = {} if softmax is None else {"softmax": softmax}
    masks = settings.pop("s_batch", None)
    metric = getattr(quantus, name)(**(RAW | settings))
    return np.asarray(
        metric(model=about.task.model, **about.arrays(), s_batch=masks, device="cpu", **extra)
    )


def removal(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons of removal curves.

    Quantus' fill `black` is the least value of an image, here 0 as ours.
    """
    ours = Curves().measure(about.case).of("probability")
    flipped = theirs(about, "PixelFlipping", softmax=True, features_in_step=28)
    yield Comparison(
        "deletion", "Quantus", "PixelFlipping, the curve", ours.most_first[:, 1:], flipped
    )
    flipped = theirs(
        about, "PixelFlipping", softmax=True, features_in_step=28, return_auc_per_sample=True
    )
    why = (
        "Theirs leaves out the intact input and takes steps of length 1: the area grows with "
        "their number."
    )
    share = area(ours.most_first, ours.fraction)
    yield Comparison("deletion", "Quantus", "PixelFlipping, the area", share, flipped, why)
    unit = torch.trapezoid(ours.most_first[:, 1:].double())
    yield Comparison(
        "deletion", "Quantus", "PixelFlipping, the area in their convention", unit, flipped
    )
    patches = Curves(unit="patch").measure(about.case)
    falls = theirs(about, "RegionPerturbation", softmax=True, patch_size=4)
    curve = patches.of("probability").most_first
    yield Comparison(
        "aopc", "Quantus", "RegionPerturbation, the falls", curve[:, :1] - curve[:, 1:], falls
    )
    why = (
        "Ours goes in 14 steps and counts the intact input, whose fall is 0: 15 points, theirs "
        "has 49."
    )
    yield Comparison(
        "aopc", "Quantus", "RegionPerturbation, their mean", about.score(AOPC()), falls.mean(1), why
    )
    logits = theirs(about, "Selectivity", softmax=False, patch_size=4)
    chosen = patches.of("logit").most_first
    yield Comparison(
        "selectivity", "Quantus", "Selectivity of logits, the curve", chosen[:, 1:], logits
    )
    why = (
        "Ours goes in 14 steps; theirs leaves out the intact input, and its area has steps of "
        "length 1."
    )
    yield Comparison(
        "selectivity", "Quantus", "the area", about.score(Selectivity()), np.trapezoid(logits), why
    )


def segments(about: Subject) -> Iterator[Comparison]:
    """Yield the comparison of IROF: 16 squares are the segments on both sides, filled with 0."""
    rows = torch.arange(28) // SIDE
    square = (rows[:, None] * (28 // SIDE) + rows).numpy()
    with mock.patch(
        "quantus.helpers.utils.get_superpixel_segments", lambda *args, **kwargs: square
    ):
        found = theirs(about, "IROF", softmax=True, perturb_baseline=0.0)
    with mock.patch.object(curves, "slic", lambda *args: square):
        ours = Curves(unit="segment").measure(about.case).of("probability")
    ratio = ours.most_first.double() / ours.most_first[:, :1]
    unit = 16 - torch.trapezoid(ratio[:, 1:])
    yield Comparison("irof", "Quantus", "IROF, same segments, in their convention", unit, found)
    why = (
        "Theirs leaves out the intact input, and its area has steps of length 1: about n_segments "
        "times as much."
    )
    yield Comparison(
        "irof", "Quantus", "IROF, same segments, the score", IROF().summarise(ours), found, why
    )


def road(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons of the in-painted pixels, and of the accuracies."""
    order = relevance(about.case).argsort(1, descending=True)
    filled, x = [], about.query.x.double()
    for tenth in (1, 5, 9):
        k = int(784 * tenth / 10)
        gone = torch.zeros(len(x), 784, dtype=torch.bool).scatter_(1, order[:, :k], True)
        painted = inpainted(x, gone, torch.zeros_like(x))
        tops = order[:, :k].numpy()
        other = [
            noisy_linear_imputation(one, top, noise=0.0)
            for one, top in zip(x.numpy(), tops, strict=True)
        ]
        filled.append((painted, torch.from_numpy(np.stack(other))))
    ours, others = (torch.stack(part) for part in zip(*filled, strict=True))
    yield Comparison(
        "road", "Quantus", "noisy linear imputation of 10, 50, 90 %, without noise", ours, others
    )
    np.random.seed(0)
    metric = quantus.ROAD(**RAW, percentages=list(range(10, 100, 10)), noise=0.01)
    accuracy = metric(model=about.task.model, **about.arrays(), device="cpu", softmax=True)
    curve = (
        Curves(fill="inpaint", n_steps=10)
        .measure(about.case)
        .of("correct")
        .most_first[:, 1:-1]
        .mean(0)
    )
    their_curve = np.array([accuracy[p] for p in sorted(accuracy)])
    why = (
        "Other noise, and theirs rounds the number of pixels down; one image in 16 is a step of "
        "0.06."
    )
    yield Comparison("road", "Quantus", "ROAD, accuracy at 10 ... 90 %", curve, their_curve, why)
    score = about.score(ROAD())[None].mean(1)
    yield Comparison(
        "road", "Quantus", "the mean accuracy", score, their_curve.mean(keepdims=True), why
    )


def single(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons of subsets and chunks."""
    np.random.seed(1)
    found = theirs(about, "FaithfulnessCorrelation", softmax=False, nr_runs=100, subset_size=224)
    yield Comparison(
        "faithfulness_correlation",
        "Quantus",
        "the same 100 subsets of 224 pixels",
        replayed(about),
        found,
    )
    estimate = theirs(about, "FaithfulnessEstimate", softmax=False, features_in_step=98)
    ours = about.score(FaithfulnessEstimate(n_chunks=8))
    yield Comparison(
        "faithfulness_estimate", "Quantus", "8 chunks of 98 pixels, logits", ours, estimate
    )
    chunks = {"features_in_step": 98, "nr_samples": 1, "perturb_baseline": 0.0}
    metric = quantus.MonotonicityCorrelation(**(RAW | {"abs": True}), **chunks)
    order = np.asarray(metric(model=about.task.model, **about.arrays(), device="cpu", softmax=True))
    removed = Chunks(n_chunks=8, by="magnitude").measure(about.case)
    change = (removed.without[0, :, :, 0] - removed.intact[0][:, None]).square()
    own = spearman(removed.worth, change)
    yield Comparison(
        "monotonicity_nguyen",
        "Quantus",
        "MonotonicityCorrelation, 8 chunks, filled with 0",
        own,
        order,
    )


def replayed(about: Subject) -> Tensor:
    """Return our correlation over the subsets that Quantus draws after the same seed."""
    x, y, a = (about.arrays()[name] for name in ("x_batch", "y_batch", "a_batch"))
    flat, worth, drop = a.reshape(len(a), -1), [], []
    np.random.seed(1)
    with torch.no_grad():
        intact = about.task.model(about.query.x)
        for _ in range(100):
            subset = np.stack([np.random.choice(784, 224, replace=False) for _ in range(len(x))])
            np.random.uniform(size=len(x))  # drawn and not used: one of its baselines is noise
            changed = x.reshape(len(x), -1).copy()
            np.put_along_axis(changed, subset, 0.0, 1)
            logits = about.task.model(torch.from_numpy(changed.reshape(x.shape)))
            drop.append((intact - logits)[torch.arange(len(x)), torch.from_numpy(y)])
            worth.append(torch.from_numpy(np.take_along_axis(flat, subset, 1).sum(1)))
    return pearson(torch.stack(worth, 1), torch.stack(drop, 1))


def of_maps(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons of metrics that look at the map alone, or at a mask.

    The brightest pixels.
    """
    values = relevance(about.case)
    yield Comparison(
        "complexity",
        "Quantus",
        "Complexity",
        entropy(values),
        theirs(about, "Complexity", abs=True),
    )
    yield Comparison(
        "sparseness", "Quantus", "Sparseness", gini(values), theirs(about, "Sparseness", abs=True)
    )
    largest = values.abs().amax(1)
    counts = torch.stack(
        [n_above(row[None], 0.1 * float(largest.max() / row.abs().max()))[0] for row in values]
    )
    metric = quantus.EffectiveComplexity(**(QUIET | {"normalise": True, "abs": True}), eps=0.1)
    effective = metric(model=about.task.model, **about.arrays(), device="cpu")
    yield Comparison(
        "relevant_positions",
        "Quantus",
        "counts above a tenth of the batch's largest",
        counts,
        effective,
    )
    why = (
        "Theirs divides by the largest relevance of all images given, so that a score depends on "
        "its batch."
    )
    yield Comparison(
        "relevant_positions", "Quantus", "the score", n_above(values, 0.1), effective, why
    )
    inside = (about.query.x > 0.5).flatten(1)
    masks = (about.query.x > 0.5).numpy()
    auc = theirs(about, "AUC", s_batch=masks)
    yield Comparison("localisation_auc", "Quantus", "AUC", roc_area(values, inside), auc)
    rank = theirs(about, "RelevanceRankAccuracy", s_batch=masks)
    yield Comparison(
        "rank_accuracy", "Quantus", "RelevanceRankAccuracy", top_inside(values, inside), rank
    )
    mass = theirs(about, "RelevanceMassAccuracy", s_batch=masks)
    yield Comparison(
        "mass_accuracy", "Quantus", "signed mass", mass_inside(values, inside, signed=True), mass
    )
    why = (
        "Theirs sums signed relevance, so that the share can leave [0, 1]; ours counts what "
        "speaks for the target."
    )
    yield Comparison(
        "mass_accuracy", "Quantus", "RelevanceMassAccuracy", mass_inside(values, inside), mass, why
    )
    pointed = theirs(about, "PointingGame", s_batch=masks).astype(float)
    yield Comparison("pointing_game", "Quantus", "PointingGame", hit(values, inside), pointed)


def robustness(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons of maps of the same neighbours."""
    explainer = plugins("method")["gradient_x_input"].cls()
    near = Noisy().neighbours(about.task.seed, about.query)

    def explain(
        model: torch.nn.Module, inputs: np.ndarray, targets: np.ndarray, **settings: Any
    ) -> np.ndarray:
        x, target = torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(targets)
        return explainer.explain(
            about.task, Query(x=x, target=target, sample=about.query.sample)
        ).values.numpy()

    def scores(name: str) -> np.ndarray:
        draws = iter(near.flatten(2).numpy())
        settings = RAW | {
            "nr_samples": len(near),
            "perturb_func": lambda arr, **ignored: next(draws).copy(),
        }
        metric = getattr(quantus, name)(**settings)
        return np.asarray(
            metric(model=about.task.model, **about.arrays(), device="cpu", explain_func=explain)
        )

    largest, mean, lipschitz = (
        about.score(metric()) for metric in (MaxSensitivity, AverageSensitivity, LocalLipschitz)
    )
    same = "the same 4 neighbours"
    yield Comparison(
        "max_sensitivity", "Quantus", f"MaxSensitivity, {same}", largest, scores("MaxSensitivity")
    )
    yield Comparison(
        "average_sensitivity", "Quantus", f"AvgSensitivity, {same}", mean, scores("AvgSensitivity")
    )
    found, size = scores("LocalLipschitzEstimate"), about.maps.flatten(1).double().norm(dim=1)
    yield Comparison(
        "local_lipschitz", "Quantus", f"ours in the map's units, {same}", lipschitz * size, found
    )
    why = "Ours divides the map by its norm, so that units do not count."
    yield Comparison("local_lipschitz", "Quantus", "the score", lipschitz, found, why)


def comparisons(about: Subject) -> Iterator[Comparison]:
    """Yield the comparisons."""
    for part in (removal, segments, road, single, of_maps, robustness):
        yield from part(about)
    for metric, (name, why) in UNSOUND.items():
        yield Comparison(metric, "Quantus", name, why=why)
