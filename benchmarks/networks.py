"""Every gradient and propagation method on torchvision's networks as they come: right, or refused.

    python benchmarks/networks.py [--docs docs/networks.md] [--families resnet18 ...]

Random weights from a seed, batch norms that have seen random images, small images, two samples. The
right values come from a description of the network that is read below the level of modules
(`networks_tape.py`), in float64, without the code of the methods: autograd for gradients, one rule
an operation for relevance and contributions. Exit status 1 if a cell is wrong or crashes.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before torch is there

import argparse
import gc
import logging
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import fuzz_cells
import fuzz_right
import networks_subjects
import pandas as pd
import torch
from networks_report import page

LOG = logging.getLogger("networks")
# SISE has no twin here: `fuzz.py` compares it with the plainest form of the same network
LEFT_OUT = ("sise", "lrp (composite gamma)", "lrp (composite epsilon_alpha2_beta1)")
LEFT_OUT += ("lrp (composite epsilon_plus_flat)", "lrp (composite gamma, bias ignored)")
LEFT_OUT += ("lrp (composite gamma, bias spread)", "deep_taylor (domain positive)")
LEFT_OUT += ("lrp (composite epsilon_plus, bias ignored)", "gradient_x_input (relative_to zero)")
CELLS = tuple(
    cell for cell in (*fuzz_right.CELLS, *fuzz_right.OF_TRANSFORMERS) if cell.name not in LEFT_OUT
)
FAILED = ("wrong", "crash")


def outcomes(
    families: Iterable[networks_subjects.Family],
    cells: Iterable[fuzz_cells.Cell] = CELLS,
) -> pd.DataFrame:
    """Return what came out in each cell: network, method, outcome, check, detail, seconds."""
    cells = list(cells)
    rows = []
    for family in families:
        about = networks_subjects.subject(family)
        for cell in cells:
            began = time.perf_counter()
            found = fuzz_cells.judged(about, cell)
            rows.append(
                {
                    "network": family.name,
                    "method": cell.name,
                    "outcome": found.word,
                    "check": found.check,
                    "detail": found.detail,
                    "seconds": time.perf_counter() - began,
                }
            )
            LOG.info("%(network)s, %(method)s: %(outcome)s %(check)s %(detail)s", rows[-1])
        del about
        gc.collect()
    return pd.DataFrame(rows)


def main() -> int:
    """Judge, print, and write the page where asked; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--docs", default="", help="the page to write; empty: print only")
    parser.add_argument("--families", nargs="*", default=[], help="names of networks to try")
    parser.add_argument("--methods", nargs="*", default=[], help="words of methods to try")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torchvision's own
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    families = [
        family
        for family in networks_subjects.FAMILIES
        if not options.families or family.name in options.families
    ]
    cells = [
        cell
        for cell in CELLS
        if not options.methods or any(word in cell.name for word in options.methods)
    ]
    found = outcomes(families, cells)
    if options.docs:
        Path(options.docs).write_text(page(found, f"python {' '.join(sys.argv)}"))

    counts = found["outcome"].value_counts()
    print(f"seed {networks_subjects.SEED}, torch {torch.__version__}: {counts.to_dict()}")
    print(found[found["outcome"].isin(FAILED)].to_string(index=False))
    return int(found["outcome"].isin(FAILED).any())


if __name__ == "__main__":
    sys.exit(main())
