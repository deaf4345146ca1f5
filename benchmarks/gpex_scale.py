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
PRESETS: tuple[measures.Preset, ...] = ("default", "paper")


def main() -> None:
    """Measure, and write table, figure and provenance."""
    options = _options()
    torch.set_num_threads(1)
    if options.child:
        name, *texts = options.child
        arguments = [int(text) if text.isdigit() else text for text in texts]
        found = getattr(measures, name)(*arguments, Path(options.folder))
        sys.stdout.write(json.dumps(found))
        return

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows, curves = measure(Path(folder), options.device, options.disk_rows, options.scale)
    write(rows, curves, Path(options.output), {"device": options.device, "scale": options.scale})
    LOG.info("wrote %s", options.output)


def _options() -> argparse.Namespace:
    """Return the options of the command line."""
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


def measure(
    folder: Path, device: str, disk_rows: int, scale: float
) -> tuple[list[dict], pd.DataFrame]:
    """Return the rows of the table, and step times over M."""
    sizes = Sizes(scale)
    rows, curves = _step_times(folder, sizes)
    twin_rows, twin_curve = _twin(folder, sizes)
    rows += twin_rows
    curves += twin_curve
    rows += _training_memory(folder, sizes)
    rows += _passes_over_memory(sizes)
    rows += _from_disk(folder, disk_rows)
    rows += _predictions(sizes)
    rows.append(_on_gpu(folder, device))
    return rows, pd.DataFrame(curves)


class Sizes:
    """The numbers of inducing points at which things are measured."""

    def __init__(self, scale: float) -> None:
        """Scale all numbers; below 1 for a trial."""
        self.small = self._scaled(SMALL, scale)
        self.middle = self._scaled(MIDDLE, scale)
        self.large = self._scaled(LARGE, scale)
        self.twin = self._scaled(TWIN, scale)
        self.memory = self._scaled(MEMORY, scale)

    @staticmethod
    def _scaled(n: int, scale: float) -> int:
        return max(measures.POOL, round(n * scale))

    def curve(self) -> list[int]:
        """Return the sizes of the curve of step times."""
        between = [n for n in (5_000, 50_000, 500_000, 5_000_000) if self.small <= n <= self.large]
        return sorted({*between, self.small, self.large})


def _step_times(folder: Path, sizes: Sizes) -> tuple[list[dict], list[dict]]:
    """Return how the time of a step grows with M, as rows and as points of a curve."""
    small, large = sizes.small, sizes.large
    rows = []
    curve = []
    for preset in PRESETS:
        LOG.info("steps of the %s preset", preset)
        trainings = [measures.Training(preset, n, folder) for n in sizes.curve()]
        seconds = dict(zip(sizes.curve(), measures.cheapest(trainings, 8), strict=True))
        for n, time in seconds.items():
            curve.append({"what": f"{preset} preset", "m": n, "seconds": time})

        first = seconds[small]
        last = seconds[large]
        name = f"step time, M = {large:,} over M = {small:,}, {preset} preset"
        detail = f"{1e3 * last:.2f} ms at M = {large:,}, {1e3 * first:.2f} ms at M = {small:,}"
        rows.append(row(name, last / first, 1.2, detail))
    return rows, curve


def _twin(folder: Path, sizes: Sizes) -> tuple[list[dict], list[dict]]:
    """Return how much faster a step is than one of the released code's twin."""
    LOG.info("steps of the released code's twin")
    curve = []
    for n in sorted({sizes.small, min(sizes.twin, 20_000), sizes.twin}):
        trainings = [measures.Training(preset, n, folder) for preset in PRESETS]
        *ours, theirs = measures.cheapest([*trainings, measures.Released(n)], 8)
        curve.append({"what": "released code (twin)", "m": n, "seconds": theirs})

    # the last n is that of the table
    rows = []
    for preset, seconds in zip(PRESETS, ours, strict=True):
        name = f"times faster than a twin of the released code, M = {sizes.twin:,}, {preset} preset"
        detail = f"{theirs:.2f} s against {1e3 * seconds:.2f} ms"
        rows.append(row(name, theirs / seconds, 1000, detail, at_least=True))
    return rows, curve


def _training_memory(folder: Path, sizes: Sizes) -> list[dict]:
    """Return how the memory of training grows with M."""
    LOG.info("memory of training")
    rows = []
    for preset in PRESETS:
        middle = _child(folder, "train_memory", preset, str(sizes.middle))
        large = _child(folder, "train_memory", preset, str(sizes.large))
        extra_middle = (middle["peak"] - middle["before"]) / 1e6
        extra_large = (large["peak"] - large["before"]) / 1e6
        name = f"training memory, M = {sizes.large:,} over M = {sizes.middle:,}, {preset} preset"
        detail = (
            f"{large['peak'] / 1e6:.0f} over {middle['peak'] / 1e6:.0f} MB; beyond what any size "
            f"needs {extra_large:.0f} and {extra_middle:.0f} MB"
        )
        rows.append(row(name, large["peak"] / middle["peak"], 1.3, detail))
    return rows


def _passes_over_memory(sizes: Sizes) -> list[dict]:
    """Return how long an exact pass takes, in units of the time to read the rows."""
    LOG.info("passes over memory")
    n = sizes.memory
    seconds = measures.passes(n)
    rows = []
    for products in ("float32", "float64"):
        name = f"exact pass over rows in memory over the read floor, {products} products"
        detail = (
            f"{seconds[products]:.3f} s against {seconds['read']:.3f} s to read {n:,} rows and "
            "targets"
        )
        rows.append(row(name, seconds[products] / seconds["read"], 6, detail))
    return rows


def _predictions(sizes: Sizes) -> list[dict]:
    """Return how long a prediction and a search for neighbours take."""
    small, large = measures.predictions([sizes.small, sizes.large])
    name = f"prediction of an item, M = {sizes.large:,} over M = {sizes.small:,}"
    detail = f"{1e6 * large:.2f} and {1e6 * small:.2f} microseconds an item"
    prediction = row(name, large / small, 1.2, detail)

    n = sizes.memory
    name = f"seconds for the 10 nearest of {n:,} rows, 64 queries of a head"
    return [prediction, row(name, measures.search(n), None, "blocked top-k")]


def row(
    what: str, value: float | None, target: float | None, detail: str, at_least: bool = False
) -> dict:
    """Return a row of the table."""
    reached = None
    if value is not None and target is not None:
        reached = value >= target if at_least else value <= target
    sign = ">= " if at_least else "<= "
    shown = "" if target is None else f"{sign}{target:g}"
    return {"what": what, "value": value, "target": shown, "reached": reached, "detail": detail}


def _from_disk(folder: Path, wanted: int) -> list[dict]:
    """Return what a pass over rows on disk takes; fewer rows if there is no room for them."""
    bytes_per_row = measures.HEADS * (2 * measures.DIM + 4)
    room = int(0.8 * shutil.disk_usage(folder).free / bytes_per_row)
    n = min(wanted, room) // measures.POOL * measures.POOL
    LOG.info("pass over %s rows on disk", f"{n:,}")
    size = _child(folder, "write_rows", str(n))["bytes"]
    found = _child(folder, "read_rows", str(n))

    less = "" if n >= wanted else f" (of {wanted:,} wanted: the disk has no more room)"
    name = "GB of extra memory for an exact pass over rows on disk"
    detail = (
        f"{n:,} rows{less}, {size / 1e9:.1f} GB in 16-bit numbers, {found['wall']:.0f} s "
        f"({found['cpu']:.0f} s of the processor); largest error of A {found['error']:.0e}"
    )
    return [row(name, found["extra"] / 1e9, 0.5, detail)]


def _on_gpu(folder: Path, device: str) -> dict:
    """Return the share of the GP part of a step, or that there was nothing to measure it on."""
    name = (
        "GP part of a step over a ResNet-18's forward and backward pass, 128 images of 32 x 32, "
        "on a GPU"
    )
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return row(name, None, 0.1, "not measured: no GPU")

    ours, network = measures.network_share(device, folder)
    processor = torch.cuda.get_device_name(device)
    detail = f"{1e3 * ours:.2f} ms against {1e3 * network:.2f} ms, {processor}"
    return row(name, ours / network, 0.1, detail)


def _child(folder: Path, *command: str) -> dict[str, float]:
    """Return the result of a measurement in a process of its own."""
    # a training's files go at once: they are large
    is_training = command[0] == "train_memory"
    with tempfile.TemporaryDirectory(dir=folder) if is_training else nullcontext(folder) as place:
        call = [sys.executable, __file__, "--folder", str(place), "--child", *command]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
