"""How fast the explainers are, and what their evaluations buy.

One command, one table of targets and its details.

    python benchmarks/explainers.py [--output results/published/explainers] [--scale 1.0]

64 training images of mnist5k on a trained `cnn`, and 8 images of 64 x 64 (shapes, enlarged) on an
untrained one, where only speed is looked at. One thread; everything that is compared takes turns in
this one run. Nothing here touches the test split. The number of evaluations of E-LIME is chosen on
half of the images and measured on the other half.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before torch is there

import argparse
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import explainers_measures as measures
import explainers_subjects as subjects
import pandas as pd
import torch
from explainers_report import row, write

from gpex_bench.masking import answers

LOG = logging.getLogger("explainers")
SMALL, LARGE = "cnn, 28 x 28", "cnn, 64 x 64"
SIZES = (500, 2500)  # rows of the memory table


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", default="results/published/explainers")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the images; below 1 for a trial"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        sys.stdout.write(json.dumps(subjects.peaks(SIZES)))
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    began = time.perf_counter()
    n, n_large = (max(least, round(size * options.scale)) for size, least in ((64, 16), (8, 4)))
    targets, tables = measured(n, n_large)
    settings = {
        "images": n,
        "large images": n_large,
        "epochs": subjects.EPOCHS,
        "samples": subjects.SAMPLES,
    }
    settings |= {
        "chunk": answers.CHANGED_ROWS,
        "minutes": round((time.perf_counter() - began) / 60, 1),
    }
    write(targets, tables, Path(options.output), settings)
    LOG.info("wrote %s after %s minutes", options.output, settings["minutes"])


def measured(n: int, n_large: int) -> tuple[list[dict], dict[str, pd.DataFrame]]:
    """Return the table of targets, and the tables behind it."""
    small, large = subjects.digits(n), subjects.large(n_large)
    LOG.info("speed of what samples")
    seconds, speed = measures.sampled(SMALL, *small, n_turns=4)
    seconds_large, more = measures.sampled(LARGE, *large, n_turns=2)
    LOG.info("passes of what propagates")
    passes = measures.propagated(SMALL, *small, n_turns=9)
    passes = pd.concat([passes, measures.propagated(LARGE, *large, n_turns=5)])
    LOG.info("local fit and Shapley values")
    fits = measures.local_fits(small[0], subjects.rows(small[1], 0, n // 4))
    errors = measures.shapley_errors(small[0], subjects.rows(small[1], 0, 4))
    LOG.info("evolution")
    curve = measures.evolution(*small)
    LOG.info("memory")
    child = subprocess.run(
        [sys.executable, __file__, "--child"], capture_output=True, text=True, check=True
    )
    memory = pd.DataFrame(json.loads(child.stdout))
    rows = [
        *_sampled(seconds, speed),
        *_sampled(seconds_large, more),
        *_quality(fits, errors),
        *_passes(passes),
    ]
    rows += [*_evolved(small, curve), *_memory(memory)]
    tables = {
        "speed": pd.concat([speed, more]),
        "passes": passes,
        "elime_curve": curve,
        "memory": memory,
    }
    return rows, tables


def _sampled(seconds: pd.DataFrame, speed: pd.DataFrame) -> list[dict]:
    """Return what holds of forward rows and of the packages on one network."""
    found = []
    table, setting = speed.set_index("what"), speed["setting"].iloc[0]
    three = 3 if setting == SMALL else None  # asked of small images only
    for name, target in (("lime_fast", 1.3), ("sobol", 1.2), ("rise", 1.2)):
        for column in ("over its forward rows", "over its rows laid out alike"):
            detail = (
                f"{table['rows an image'][name]:.0f} rows, "
                f"{table['milliseconds an image'][name]:.0f} ms an image"
            )
            found.append(row(f"{name} {column}, {setting}", table[column][name], target, detail))
    pairs = (
        ("lime_fast", measures.PACKAGE, three),
        ("lime_fast", measures.PACKAGE_256, three),
        ("kernel_shap", measures.CAPTUM, 2),
        ("kernel_shap", measures.CAPTUM_1, 2),
    )
    for ours, theirs, target in pairs:
        ratio = (seconds[theirs] / seconds[ours]).median()
        detail = (
            f"{1e3 * seconds[theirs].median():.0f} against {1e3 * seconds[ours].median():.0f} ms "
            "an image"
        )
        found.append(
            row(
                f"{ours} times faster than {theirs}, {setting}",
                ratio,
                target,
                detail,
                at_least=True,
            )
        )
    return found


def _quality(fits: dict[str, torch.Tensor], errors: dict[str, float]) -> list[dict]:
    """Return whether the faster ones are as good."""
    gain = fits["lime_fast"] - fits["lime"]
    error = float(gain.std() / len(gain) ** 0.5)
    means = [float(fits[name].mean()) for name in ("lime_fast", "lime")]
    detail = (
        f"mean of {len(gain)} images: {means[0]:.4f} against {means[1]:.4f}, standard error "
        f"{error:.4f}"
    )
    name = "weighted R2 on 1,000 fresh masks, lime_fast minus the package, in standard errors"
    ratio = f"{errors['ours']:.3f} and {errors['captum']:.3f} of the norm of the values, 4 images"
    off = "error against 20,000 rows of Shapley sampling, kernel_shap over captum's"
    return [
        row(name, float(gain.mean()) / error, -2, detail, at_least=True),
        row(off, errors["ours"] / errors["captum"], 1, ratio),
    ]


def _passes(passes: pd.DataFrame) -> list[dict]:
    """Return what propagation costs in passes."""
    table = passes[passes["setting"] == SMALL].set_index("what")
    unit = table["milliseconds"][measures.BOTH_WAYS]
    return [
        row(
            f"{name}, forward and backward passes",
            one["over a pass"],
            4,
            f"{one['milliseconds']:.0f} / {unit:.0f} ms",
        )
        for name, one in table.iterrows()
        if name != measures.BOTH_WAYS
    ]


def _evolved(small: tuple, curve: pd.DataFrame) -> list[dict]:
    """Return what E-LIME's chosen evaluations give on the other half."""
    lime = float(curve.set_index("what").loc["lime package", "srg, choosing half"])
    variant, budget, has_enough = measures.chosen(curve)
    more = measures.VARIANTS[variant] | {"population": measures.population(budget)}
    found = measures.race(*small, subjects.method("elime", budget=budget, **more), n_turns=4)
    words = "the least that has" if has_enough else "the most faithful, though none has"
    detail = (
        f"{variant}, {budget} evaluations: {words} LIME's SRG ({lime:.3f}) on the choosing half"
    )
    name = (
        "E-LIME with the evaluations that it needs for LIME's SRG, times faster than the lime "
        "package"
    )
    gain = f"mean over the other half, standard error {found['error']:.3f}"
    return [
        row(name, found["faster"] if has_enough else None, 5, detail, at_least=True),
        row("that E-LIME times faster than the package's batches of 10", found["faster"], None, ""),
        row(
            "that E-LIME times faster than the package's batches of 256",
            found["faster_256"],
            None,
            "",
        ),
        row("SRG of that E-LIME minus the package's", found["gain"], None, gain),
    ]


def _memory(memory: pd.DataFrame) -> list[dict]:
    """Return what bounds the memory."""
    first, last = (memory[f"MB, {size} rows"] for size in SIZES)
    detail = (
        f"peak beyond the start, one image of 64 x 64: {first.max():.0f} MB at most with "
        f"{SIZES[0]} rows"
    )
    batch = row(
        "largest batch of a perturbation explainer, rows",
        memory["largest batch"].max(),
        answers.CHANGED_ROWS,
        "",
    )
    name = f"MB more with {SIZES[1]} rows than with {SIZES[0]}, at most"
    return [batch, row(name, float((last - first).max()), None, detail)]


if __name__ == "__main__":
    main()
