"""How GPEX scales with the number of inducing points: one command, a table and a figure.

    python benchmarks/gpex_scale.py [--device cuda] [--disk-rows 20000000] [--output
    results/published/gpex_scale]

Everything that is compared is measured in this one run, on one thread. Times are processor seconds
(the best of several blocks, which take turns), memory is that of fresh processes. Nothing depends
on the network or the data: embeddings and outputs are random numbers with L = 10 heads of D = 20
dimensions, 64 queries and 64 new rows a step. A step of the default preset is its GP part as a fit
takes it, with the density that trains the noise of intervals.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before torch is there

import argparse
import json
import logging
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import scale_measures as measures
import torch
from scale_report import write

LOG = logging.getLogger("gpex_scale")
SMALL, LARGE, MIDDLE, TWIN = 5_000, 5_000_000, 50_000, 100_000
MEMORY = 1_000_000  # rows of the pass over memory


def main() -> None:
    """Measure, and write table, figure and provenance."""
    options = _options()
    torch.set_num_threads(1)
    if options.child:
        name, *arguments = options.child
        found = getattr(measures, name)(
            *(int(a) if a.isdigit() else a for a in arguments), Path(options.folder)
        )
        sys.stdout.write(json.dumps(found))
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scale = options.scale
        rows, curves = measured(Path(folder), options.device, options.disk_rows, scale)
    write(rows, curves, Path(options.output), {"device": options.device, "scale": options.scale})
    LOG.info("wrote %s", options.output)


def _options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--device",
        default="cpu",
        help="where the GPU's row is measured: cpu (then it is not) or cuda",
    )
    parser.add_argument(
        "--disk-rows",
        type=int,
        default=20_000_000,
        help="rows of the pass over the disk, 440 bytes each",
    )
    parser.add_argument(
        "--folder",
        default=None,
        help="where the temporary files go (10 GB); the system's by default",
    )
    parser.add_argument(
        "--output",
        default="results/published/gpex_scale",
        help="folder of the table and the figure",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="share of the numbers of points; below 1 for a trial",
    )
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(
    folder: Path, device: str, disk_rows: int, scale: float
) -> tuple[list[dict], pd.DataFrame]:
    """Return the rows of the table, and step times over M."""
    small, large, middle, twin = (
        max(measures.POOL, round(n * scale)) for n in (SMALL, LARGE, MIDDLE, TWIN)
    )
    sizes = sorted(
        {n for n in (5_000, 50_000, 500_000, 5_000_000) if small <= n <= large} | {small, large}
    )
    rows, curves = [], []
    times = {}
    for preset in ("default", "paper"):
        LOG.info("steps of the %s preset", preset)
        trainings = [measures.Training(preset, n, folder) for n in sizes]
        times[preset] = dict(zip(sizes, measures.cheapest(trainings, 8), strict=True))
        curves += [
            {"what": f"{preset} preset", "m": n, "seconds": s} for n, s in times[preset].items()
        ]
        first, last = times[preset][small], times[preset][large]
        detail = f"{1e3 * last:.2f} ms at M = {large:,}, {1e3 * first:.2f} ms at M = {small:,}"
        rows.append(
            row(
                f"step time, M = {large:,} over M = {small:,}, {preset} preset",
                last / first,
                1.2,
                detail,
            )
        )

    LOG.info("steps of the released code's twin")
    for n in sorted({small, min(twin, 20_000), twin}):
        *ours, theirs = measures.cheapest(
            [measures.Training(p, n, folder) for p in ("default", "paper")]
            + [measures.Released(n)],
            8,
        )
        curves.append({"what": "released code (twin)", "m": n, "seconds": theirs})
    for preset, our in zip(("default", "paper"), ours, strict=True):
        detail = f"{theirs:.2f} s against {1e3 * our:.2f} ms"
        name = f"times faster than a twin of the released code, M = {twin:,}, {preset} preset"
        rows.append(row(name, theirs / our, 1000, detail, at_least=True))

    LOG.info("memory of training")
    for preset in ("default", "paper"):
        a, b = (_child(folder, "trained", preset, str(n)) for n in (middle, large))
        extra = [(part["peak"] - part["before"]) / 1e6 for part in (a, b)]
        detail = (
            f"{b['peak'] / 1e6:.0f} over {a['peak'] / 1e6:.0f} MB; beyond what any size needs {extra[1]:.0f} and "
            f"{extra[0]:.0f} MB"
        )
        name = f"training memory, M = {large:,} over M = {middle:,}, {preset} preset"
        rows.append(row(name, b["peak"] / a["peak"], 1.3, detail))

    LOG.info("passes over memory")
    n = max(measures.POOL, round(MEMORY * scale))
    found = measures.passes(n)
    for products in ("float32", "float64"):
        detail = (
            f"{found[products]:.3f} s against {found['read']:.3f} s to read {n:,} rows and targets"
        )
        name = f"exact pass over rows in memory over the read floor, {products} products"
        rows.append(row(name, found[products] / found["read"], 6, detail))

    rows += _from_disk(folder, disk_rows)
    a, b = measures.predictions([small, large])
    detail = f"{1e6 * b:.2f} and {1e6 * a:.2f} microseconds an item"
    rows.append(row(f"prediction of an item, M = {large:,} over M = {small:,}", b / a, 1.2, detail))
    seconds = measures.search(n)
    rows.append(
        row(
            f"seconds for the 10 nearest of {n:,} rows, 64 queries of a head",
            seconds,
            None,
            "blocked top-k",
        )
    )
    rows.append(_on_gpu(folder, device))
    return rows, pd.DataFrame(curves)


def row(
    what: str, value: float | None, target: float | None, detail: str, at_least: bool = False
) -> dict:
    """Return a row of the table."""
    reached = None
    if value is not None and target is not None:
        reached = value >= target if at_least else value <= target
    sign = "" if target is None else (">= " if at_least else "<= ") + f"{target:g}"
    return {"what": what, "value": value, "target": sign, "reached": reached, "detail": detail}


def _from_disk(folder: Path, wanted: int) -> list[dict]:
    """Return what a pass over rows on disk takes; fewer rows than wanted if there is no room for them."""
    room = int(0.8 * shutil.disk_usage(folder).free / (measures.HEADS * (2 * measures.DIM + 4)))
    n = min(wanted, room) // measures.POOL * measures.POOL
    LOG.info("pass over %s rows on disk", f"{n:,}")
    size = _child(folder, "written", str(n))["bytes"]
    found = _child(folder, "read", str(n))
    less = "" if n >= wanted else f" (of {wanted:,} wanted: the disk has no more room)"
    detail = (
        f"{n:,} rows{less}, {size / 1e9:.1f} GB in 16-bit numbers, {found['wall']:.0f} s ({found['cpu']:.0f} s of the "
        f"processor); largest error of A {found['error']:.0e}"
    )
    return [
        row(
            "GB of extra memory for an exact pass over rows on disk",
            found["extra"] / 1e9,
            0.5,
            detail,
        )
    ]


def _on_gpu(folder: Path, device: str) -> dict:
    """Return the share of the GP part of a step, or that there was nothing to measure it on."""
    name = "GP part of a step over a ResNet-18's forward and backward pass, 128 images of 32 x 32, on a GPU"
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return row(name, None, 0.1, "not measured: no GPU")
    ours, network = measures.network_share(device, folder)
    detail = (
        f"{1e3 * ours:.2f} ms against {1e3 * network:.2f} ms, {torch.cuda.get_device_name(device)}"
    )
    return row(name, ours / network, 0.1, detail)


def _child(folder: Path, *command: str) -> dict[str, float]:
    """Return what a measurement gives in a process of its own."""
    with (
        tempfile.TemporaryDirectory(dir=folder)
        if command[0] == "trained"
        else nullcontext(folder) as place
    ):
        call = [sys.executable, __file__, "--folder", str(place), "--child", *command]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
