"""Our metrics beside those of Quantus and captum.

The same network, images and maps, one row per comparison.

    make crosscheck

Quantus 0.6.0 needs an older numpy than ours, so its packages are laid over the environment in a
folder of their own (`requirements.lock` beside this file). 16 training images of mnist5k on a small
trained `cnn`; the maps are gradient x input with noise, so that no two pixels are equal. What
differs says why; what cannot be compared says so.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before torch is there

import argparse
import logging
import sys
import warnings
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parent))
import of_captum
import of_quantus
from subject import Comparison, Subject, subject

from gpex_bench.run import artefacts
from gpex_bench.run.provenance import fingerprint
from gpex_bench.tables.render import plain_markdown

LOG = logging.getLogger("crosscheck")
SAME = (
    1e-5  # libraries sum in float32: differences below this share of the largest score are rounding
)


def row(comparison: Comparison) -> dict[str, object]:
    """Return the row of a comparison; raises RuntimeError if what should agree does not."""
    names = {
        "metric": comparison.metric,
        "library": comparison.library,
        "compared": comparison.compared,
    }
    if comparison.ours is None or comparison.theirs is None:
        return names | {"difference": None, "verdict": "not compared", "why": comparison.why}
    ours, theirs = (
        torch.as_tensor(scores).double().flatten()
        for scores in (comparison.ours, comparison.theirs)
    )
    if ours.shape != theirs.shape:
        raise RuntimeError(
            f"{comparison.metric}: {tuple(ours.shape)} of ours against {tuple(theirs.shape)}."
        )
    difference = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))
    same = difference < SAME
    if not same and not comparison.why:
        raise RuntimeError(
            f"{comparison.metric} against {comparison.library}: differs by {difference:.3g}, "
            "unexplained."
        )
    return names | {
        "difference": difference,
        "verdict": "same" if same else "differs",
        "why": "" if same else comparison.why,
    }


def compared(about: Subject) -> pd.DataFrame:
    """Return all comparisons, as a table."""
    rows = []
    for comparison in (*of_captum.comparisons(about), *of_quantus.comparisons(about)):
        rows.append(row(comparison))
        LOG.info("%(metric)s, %(library)s: %(verdict)s, %(difference)s", rows[-1])
    return pd.DataFrame(rows)


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", default="results/published/crosscheck")
    folder = Path(parser.parse_args().output)
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore")  # the libraries' own
    about = subject()
    table = compared(about)
    code = fingerprint(
        *sorted(Path(__file__).parent.glob("*.py")),
        *sorted(Path("gpex_bench/metrics").glob("*.py")),
    )
    artefacts.write_bytes(
        folder / "table.csv", table.to_csv(index=False, float_format="%.3g").encode()
    )
    artefacts.describe(
        folder / "table.csv",
        kind="crosscheck",
        params=about.settings,
        seed=about.task.seed,
        fingerprint=code,
    )
    counts = table["verdict"].value_counts()
    shown = table.fillna("").map(
        lambda cell: f"{cell:.1g}" if isinstance(cell, float) else str(cell)
    )
    page = (
        "# Our metrics beside other libraries\n\n" + (__doc__ or "").split("\n\n", 2)[2] + "\n"
        "`difference`: the largest, as a share of the library's largest number; `same` below "
        f"{SAME:g}. "
        + ", ".join(f"{counts.get(word, 0)} {word}" for word in ("same", "differs", "not compared"))
        + ".\n\n"
        + plain_markdown(shown)
    )
    artefacts.write_bytes(folder / "README.md", page.encode())


if __name__ == "__main__":
    main()
