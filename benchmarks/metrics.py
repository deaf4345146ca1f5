"""How fast the metrics are, beside Quantus and captum on the same maps: one command, one table.

    make crosscheck
    PYTHONPATH=.crosscheck python benchmarks/metrics.py [--output results/published/metrics_speed]

Processor seconds of one process on one thread, the best of rounds in which all calls take turns. 48
training images of mnist5k on a small trained `cnn`; the network and the maps are those of the
cross-check. The passes are the network's own, in batches of 256 rows as they come; our measurements
can be faster than that, since they lay rows out in memory as max pooling on a CPU likes it. Memory:
what scoring adds at its peak to a fresh process, for few and for many images.
"""

from __future__ import annotations

import os

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}  # before torch is there

import argparse
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parent / "crosscheck"))
from scale_measures import memory
from subject import Subject, subject

from gpex_bench.measurements import measured
from gpex_bench.measurements.curves import Curves
from gpex_bench.models.altered.random_weights import n_layers
from gpex_bench.plugins.registry import plugins
from gpex_bench.run import artefacts
from gpex_bench.run.provenance import fingerprint
from gpex_bench.tables.render import plain_markdown
from gpex_bench.types import Case, Dataset, Metric, Query, Split, Task
from gpex_bench.types.batches import CHANGED_ROWS

LOG = logging.getLogger("metrics")
QUIET = {
    "disable_warnings": True,
    "display_progressbar": False,
    "return_aggregate": False,
    "normalise": False,
}
CURVES = {
    "pixels": (Curves(), 56),
    "pixels, blurred": (Curves(fill="blur"), 56),
    "pixels, noise": (Curves(fill="noise"), 56),
    "pixels, painted over": (Curves(fill="inpaint", n_steps=10), 20),
    "patches": (Curves(unit="patch", n_steps=14), 28),
    "segments": (Curves(unit="segment", fill="train_mean"), 32),
}  # and their forward rows per image
SET = ("deletion", "insertion", "srg", "aopc", "comprehensiveness", "sufficiency", "irof")
MEMORY = ("srg", "road", "sensitivity_n", "monotonicity_nguyen")
Call = Callable[[], object]


def metric(name: str, **settings: Any) -> Metric:
    """Return a metric by name."""
    return plugins("metric")[name].cls(**settings)


def fastest(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return processor seconds of each call.

    The best of several, in turn, so that a busy machine hurts all alike.
    """
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - began)
    return best


def scored(about: Subject, metrics: Iterable[Metric]) -> Call:
    """Return the call that scores with what is measured once for all of them."""
    chosen = list(metrics)

    def score() -> None:
        case = measured(about.case, chosen)
        for one in chosen:
            one.score(case)

    return score


def passes(about: Subject, n_each: int) -> Call:
    """Return the network's own passes of so many rows per image."""
    x = about.query.x.repeat(-(-CHANGED_ROWS // len(about.query.x)), 1, 1, 1)[:CHANGED_ROWS]
    n_rows = n_each * len(about.query.x)

    def forward() -> None:
        with torch.no_grad():
            for start in range(0, n_rows, CHANGED_ROWS):
                about.task.model(x[: n_rows - start])

    return forward


# --- the other libraries --------------------------------------------------------------------------


def quantus_call(about: Subject, name: str, sign: int = 1, **settings: Any) -> Call:
    """Return the call of a metric of Quantus on the maps, or on their negation."""
    import quantus

    asked = {key: settings.pop(key) for key in ("softmax", "explain_func") if key in settings}
    made, arrays = getattr(quantus, name)(**(QUIET | settings)), about.arrays()
    arrays["a_batch"] = sign * arrays["a_batch"]
    return lambda: made(
        model=about.task.model, **arrays, device="cpu", batch_size=len(about.query.x), **asked
    )


def captum_infidelity(about: Subject, n: int) -> Call:
    """Return the call of captum's infidelity with removals of a quarter of the 4 x 4 cells."""
    from captum.metrics import infidelity

    def perturb(inputs: torch.Tensor, baselines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells = (
            (torch.rand(len(inputs), 1, 7, 7) < 0.25)
            .repeat_interleave(4, 2)
            .repeat_interleave(4, 3)
        )
        return cells.float(), torch.where(cells, baselines.expand_as(inputs), inputs)

    given = {
        "baselines": about.task.data.baseline[None],
        "target": about.query.target,
        "n_perturb_samples": n,
    }
    return lambda: infidelity(
        about.task.model, perturb, about.query.x, about.maps, max_examples_per_batch=640, **given
    )


def saliency(about: Subject) -> Call:
    """Return the explainer that both sides call, as Quantus wants it."""

    def explain(model: torch.nn.Module, inputs: Any, targets: Any, **ignored: Any) -> np.ndarray:
        x = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_()
        picked = model(x).gather(1, torch.as_tensor(targets)[:, None]).sum()
        return torch.autograd.grad(picked, x)[0].abs().sum(1, keepdim=True).numpy()

    return explain


# --- rows of the table ----------------------------------------------------------------------------


def of_curves(about: Subject, rounds: int) -> list[dict[str, Any]]:
    """Return the time of each removal curve beside that of as many rows."""
    calls: dict[str, Call] = {}
    for name, (key, n_each) in CURVES.items():
        calls |= {
            name: lambda key=key: key.measure(about.case),
            f"{name}: passes": passes(about, n_each),
        }
    found = fastest(calls, rounds)
    return [
        line(
            f"removal curve of {name}",
            found[name],
            found[f"{name}: passes"],
            "the passes",
            "<= 1.15",
        )
        for name in CURVES
    ]


def line(what: str, ours: float, other: float, beside: str, target: str = "") -> dict[str, Any]:
    """Return a row: curves are judged by cost over their passes, others by speed."""
    at_most = target.startswith("<=")
    ratio = ours / other if at_most else other / ours
    names = {
        "what": what,
        "ours, s": ours,
        "beside": beside,
        "theirs, s": other,
        "ratio": ratio,
        "target": target,
    }
    bound = float(target[3:]) if target else 0.0
    return names | {
        "reached": ""
        if not target
        else "yes"
        if (ratio <= bound if at_most else ratio >= bound)
        else "no"
    }


def of_sharing(about: Subject, rounds: int) -> list[dict[str, Any]]:
    """Return the time of the set together, one by one, and one by one in Quantus."""
    alone = {name: scored(about, [metric(name)]) for name in SET}
    alone["aopc of pixels"] = scored(about, [metric("aopc", unit="position")])
    together = {
        "patches": scored(about, [metric(name) for name in SET]),
        "pixels": scored(
            about,
            [metric(name, **({"unit": "position"} if name == "aopc" else {})) for name in SET],
        ),
    }
    flipping = {"softmax": True, "features_in_step": 28}
    quantus = {
        "deletion": quantus_call(about, "PixelFlipping", **flipping),
        "insertion": quantus_call(about, "PixelFlipping", -1, **flipping),
        "aopc": quantus_call(about, "RegionPerturbation", softmax=True, patch_size=4),
        "irof": quantus_call(about, "IROF", softmax=True),
    }
    found = fastest(
        together
        | {f"alone {k}": v for k, v in alone.items()}
        | {f"q {k}": v for k, v in quantus.items()},
        rounds,
    )
    by_one = sum(found[f"alone {name}"] for name in SET)
    pixels = by_one - found["alone aopc"] + found["alone aopc of pixels"]
    flips = found["q deletion"] + found["q insertion"]
    theirs = (
        2 * flips + flips + found["q aopc"] + found["q irof"]
    )  # SRG takes both, so do the two ERASER scores
    name = "the set of seven"
    return [
        line(f"{name}, AOPC of pixels", found["pixels"], pixels, "ours, one by one", ">= 3"),
        line(f"{name}, AOPC of patches", found["patches"], by_one, "ours, one by one", ">= 3"),
        line(
            f"{name}, AOPC of patches",
            found["patches"],
            theirs,
            "Quantus, one by one, 49 patches",
            ">= 3",
        ),
    ]


def of_others(about: Subject, rounds: int) -> list[dict[str, Any]]:
    """Return the times of infidelity, ROAD, the correlations and MPRT."""
    explainer = plugins("method")["saliency"].cls()
    case = Case(
        task=about.task, query=about.query, explanation=about.case.explanation, explainer=explainer
    )
    stages = metric("mprt", n_stages=n_layers(about.task.model))
    ours = {
        "infidelity 49": scored(about, [metric("infidelity", n_subsets=49)]),
        "infidelity 100": scored(about, [metric("infidelity", n_subsets=100)]),
        "estimate": scored(about, [metric("faithfulness_estimate", n_chunks=28)]),
        "correlation": scored(about, [metric("faithfulness_correlation", n_subsets=100)]),
        "road": scored(about, [metric("road")]),
        "mprt": lambda: stages.score(measured(case, [stages])),
    }
    repeated = {"softmax": False, "perturb_patch_sizes": [4], "n_perturb_samples": 10}
    levels = list(range(10, 100, 10))
    theirs = {
        "infidelity 49": (
            "Quantus, 49 removals ten times over",
            quantus_call(about, "Infidelity", **repeated),
        ),
        "infidelity 100": ("captum, 640 rows a batch", captum_infidelity(about, 100)),
        "estimate": (
            "Quantus",
            quantus_call(about, "FaithfulnessEstimate", softmax=False, features_in_step=28),
        ),
        "correlation": (
            "Quantus",
            quantus_call(about, "FaithfulnessCorrelation", softmax=False, nr_runs=100),
        ),
        "road": (
            "Quantus, one order",
            quantus_call(about, "ROAD", softmax=True, percentages=levels),
        ),
        "mprt": (
            "Quantus",
            quantus_call(about, "MPRT", explain_func=saliency(about), layer_order="bottom_up"),
        ),
    }
    calls = {f"ours {k}": v for k, v in ours.items()} | {
        f"theirs {k}": v for k, (_, v) in theirs.items()
    }
    found = fastest(calls, rounds)
    names = {
        "infidelity 49": ("infidelity, 49 removals", ">= 10"),
        "infidelity 100": ("infidelity, 100 removals", ""),
        "estimate": ("faithfulness_estimate, 28 chunks", ""),
        "correlation": ("faithfulness_correlation, 100 subsets", ""),
        "road": ("road, nine levels, both orders", ""),
        "mprt": (f"mprt, saliency, {stages.n_stages} layers", ">= 3"),
    }
    return [
        line(names[k][0], found[f"ours {k}"], found[f"theirs {k}"], theirs[k][0], names[k][1])
        for k in ours
    ]


def peak(name: str, n_images: int) -> dict[str, float]:
    """Return the megabytes that scoring adds to this process at its peak, and its seconds.

    For a fresh process.
    """
    torch.manual_seed(0)
    x, y = torch.rand(n_images, 1, 28, 28), torch.arange(n_images) % 10
    split = Split(x=x, y=y, sample=torch.arange(n_images))
    names = tuple("0123456789")
    data = Dataset(
        name="noise",
        train=split,
        test=split,
        classes=names,
        features=(),
        baseline=torch.zeros(1, 28, 28),
    )
    model = plugins("model")["cnn"].cls().build(data).eval().requires_grad_(False)
    task, maps, one = (
        Task(model=model, data=data, surrogate=None, seed=1),
        torch.randn(x.shape),
        metric(name),
    )
    few = Query(x=x[:4], target=y[:4], sample=split.sample[:4])
    scored(Subject(task, few, maps[:4]), [one])()  # loads what is loaded once
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, began = memory("VmRSS"), time.process_time()
    scored(Subject(task, Query(x=x, target=y, sample=split.sample), maps), [one])()
    return {"megabytes": (memory() - before) / 2**20, "seconds": time.process_time() - began}


def memories(sizes: tuple[int, int]) -> pd.DataFrame:
    """Return memory that each metric adds to a fresh process, and time, for few and many images."""
    rows = []
    for name in MEMORY:
        found = []
        for size in sizes:
            command = [sys.executable, __file__, "--child", name, str(size)]
            found.append(
                json.loads(
                    subprocess.run(command, check=True, capture_output=True, text=True).stdout
                )
            )
        few, many = found
        rows.append(
            {
                "metric": name,
                f"megabytes, {sizes[0]} images": few["megabytes"],
                f"megabytes, {sizes[1]} images": many["megabytes"],
                "kilobytes for each more": 1024
                * (many["megabytes"] - few["megabytes"])
                / (sizes[1] - sizes[0]),
                "times the seconds": many["seconds"] / few["seconds"],
            }
        )
        LOG.info("%s", rows[-1])
    return pd.DataFrame(rows)


def write(folder: Path, tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> None:
    """Write the tables, all of them as one page, and where they come from."""
    parts = [
        Path(__file__),
        *Path(__file__).parent.glob("crosscheck/*.py"),
        *Path("gpex_bench").glob("me*/*.py"),
    ]
    code, page = (
        fingerprint(*parts),
        ["# Speed of the metrics\n\n", (__doc__ or "").split("\n\n", 2)[2]],
    )
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        artefacts.write_bytes(path, table.to_csv(index=False, float_format="%.4g").encode())
        artefacts.describe(path, kind="benchmark", params=settings, seed=1, fingerprint=code)
        shown = table.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) else str(cell))
        page.append(f"\n## {name}\n\n{plain_markdown(shown)}")
    artefacts.write_bytes(folder / "README.md", "".join(page).encode())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", default="results/published/metrics_speed")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the libraries' own
    if options.child:
        sys.stdout.write(json.dumps(peak(options.child[0], int(options.child[1]))))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    about = subject(options.images)
    rows = []
    for part in (of_curves, of_sharing, of_others):
        rows += part(about, options.rounds)
        LOG.info("%s", rows)
    tables = {"speed": pd.DataFrame(rows), "memory": memories((64, 512))}
    write(
        Path(options.output),
        tables,
        about.settings | {"rounds": options.rounds, "chunk": CHANGED_ROWS},
    )


if __name__ == "__main__":
    main()
