"""Every gradient and propagation method on random small networks, beside what is right.

    python benchmarks/fuzz.py [--networks 300] [--seed 1] [--output results/published/fuzz]

A network is drawn as a description (layers, norms, activations, poolings, skips, gates, attention),
and built as people write networks: as modules, functions, in place, shared, subclassed, by keyword.
The right values are worked out from the description in float64, without the code of the methods;
where no rule is written for them here, the same network in its plainest form must get the same
values. Outcomes: `equal` (relative error below 1e-3 of a sample's largest value, or below 1e-5 in
float64 where sums cancel), `refused` (an error that the project raises, with its reason), `wrong`,
`crash` (any other error), `undetermined` (the twin itself changes where the input changes in its
13th digit), `unchecked` (nothing to compare with). Exit status 1 if a cell is wrong or crashes.
A network depends on the seed and its number only: `--only NUMBER` does it again.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before torch is there

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import fuzz_cells
import fuzz_right
import fuzz_subjects
import pandas as pd
import torch

from gpex_bench.run import artefacts, provenance
from gpex_bench.run.provenance import fingerprint
from gpex_bench.tables.render import plain_markdown

LOG = logging.getLogger("fuzz")
WORDS = ("equal", "refused", "wrong", "crash", "undetermined", "unchecked")
N_SHOWN = 5  # failures of a method that are described


def outcomes(
    seed: int, numbers: Iterable[int], cells: Iterable[fuzz_cells.Cell] = fuzz_right.CELLS
) -> pd.DataFrame:
    """Return what came out in each cell: network, method, outcome, check, detail."""
    cells = list(cells)
    rows = []
    for number in numbers:
        about = fuzz_subjects.subject(seed, number)
        for cell in cells:
            if cell.of_images and not about.description.is_image:
                continue
            found = fuzz_cells.judged(about, cell)
            rows.append(
                {
                    "network": number,
                    "method": cell.name,
                    "outcome": found.word,
                    "check": found.check,
                    "detail": found.detail,
                }
            )
        if number % 50 == 49:
            LOG.info("%s networks", number + 1)
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return the number of cells of each outcome by method, in the order of the methods."""
    counts = pd.crosstab(found["method"], found["outcome"])
    counts = counts.reindex(columns=list(WORDS), fill_value=0)
    counts = counts.loc[list(dict.fromkeys(found["method"]))]
    checks = found[found["outcome"] == "equal"].groupby("method")["check"]
    counted = checks.agg(
        lambda words: ", ".join(f"{n} {w}" for w, n in words.value_counts().items())
    )
    counts["equal to"] = counted.reindex(counts.index).fillna("")
    return counts.reset_index()


def failures(found: pd.DataFrame, seed: int) -> str:
    """Return the first failures of each method, with the descriptions of their networks."""
    lines = []
    failed = found[found["outcome"].isin(("wrong", "crash"))]
    for method, rows in failed.groupby("method", sort=False):
        for row in rows.head(N_SHOWN).itertuples():
            lines.append(
                f"{method}, network {row.network}: {row.outcome}, {row.check} {row.detail}"
            )
    for number in failed["network"].drop_duplicates().head(N_SHOWN):
        lines += ["", fuzz_subjects.subject(seed, int(number)).description.text]
    return "\n".join(lines)


def reasons(found: pd.DataFrame) -> pd.DataFrame:
    """Return the most frequent reasons of refusals, without names of modules and numbers."""
    refused = found[found["outcome"] == "refused"]
    kinds = refused["detail"].str.replace(r"'[^']*'|\d+", "…", regex=True)
    counts = kinds.value_counts().head(25)
    return counts.rename_axis("reason").reset_index(name="cells")


def write(folder: Path, found: pd.DataFrame, seed: int, command: str) -> None:
    """Write the cells, their summary as a page, and where they come from."""
    here = Path(__file__).parent
    sources = [*sorted(here.glob("fuzz*.py")), *sorted((here.parent / "methods").glob("*.py"))]
    code = fingerprint(*sources)
    n_networks = found["network"].nunique()

    table = folder / "table.csv"
    counts = summary(found)
    artefacts.write_bytes(table, counts.to_csv(index=False).encode())
    artefacts.describe(
        table, kind="fuzz", params={"networks": n_networks}, seed=seed, fingerprint=code
    )
    machine = provenance.environment()
    page = [
        "# Methods on random networks\n",
        (__doc__ or "").split("\n\n", 2)[2],
        f"`{command}`: {n_networks} networks of seed {seed}, Python {machine['python']}, torch "
        f"{machine['torch']}; commit {str(provenance.commit()['commit'])[:12]}, code {code}.\n",
        plain_markdown(counts.astype(str)),
        "\n## Reasons of refusals\n",
        plain_markdown(reasons(found).astype(str)),
    ]
    artefacts.write_bytes(folder / "README.md", "\n".join(page).encode())


def main() -> int:
    """Draw, judge, print, and write where asked; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of networks")
    parser.add_argument("--methods", nargs="*", default=[], help="words of methods to try")
    parser.add_argument("--output", default="", help="folder for the table; empty: print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch's own, about old forms of weight norm
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    began = time.perf_counter()
    cells = [
        cell
        for cell in fuzz_right.CELLS
        if not options.methods or any(word in cell.name for word in options.methods)
    ]
    found = outcomes(options.seed, options.only or range(options.networks), cells)
    seconds = time.perf_counter() - began

    print(f"seed {options.seed}, {found['network'].nunique()} networks, {seconds:.0f} s")
    print(f"torch {torch.__version__}, {len(found)} cells")
    print(summary(found).to_string(index=False))
    print(failures(found, options.seed))
    if options.output:
        write(Path(options.output), found, options.seed, f"python {' '.join(sys.argv)}")
    return int(found["outcome"].isin(("wrong", "crash")).any())


if __name__ == "__main__":
    sys.exit(main())
