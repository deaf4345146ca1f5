"""How fast the sampled explainers are, and what their evaluations buy: one command, two tables.

    python benchmarks/explainers.py [--output results/published/benchmark_explainers] [--scale 1.0]

Everything that is compared is measured in this one run, on one thread: processor seconds, the best of two blocks that
take turns (one, of what takes longest). 64 training images of mnist5k on a trained `cnn`, and 8 images of 64 x 64
(shapes, enlarged) on an untrained `cnn`, where only speed is looked at. Nothing here touches the test split.
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
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scale_measures import memory
from torch.nn import functional

from gpex_bench import io, masking, removal
from gpex_bench.budget import counted
from gpex_bench.provenance import fingerprint
from gpex_bench.registry import plugins
from gpex_bench.tables import plain_markdown
from gpex_bench.types import Dataset, Explainer, Query, Split, Task

LOG = logging.getLogger("explainers")
SAMPLES, SEED, EPOCHS = 1000, 1, 10
PLUGINS = ("method", "model", "dataset")  # kinds whose code is loaded by name
EVOLVED = (100, 200, 500, 1000, 2000)  # evaluations of E-LIME and LIME on the curve


def method(name: str, **settings: Any) -> Explainer:
    """Return an explainer by name."""
    return plugins("method")[name].cls(**settings)


def source(name: str) -> dict[str, Any]:
    """Return the names of the module that a method lives in."""
    return vars(sys.modules[plugins("method")[name].cls.__module__])


@contextmanager
def batches_of(name: str, chunk: int) -> Iterator[None]:
    """Let a method call the network for so many rows at a time."""
    names = source(name)
    before, names["CHUNK"] = names["CHUNK"], chunk
    try:
        yield
    finally:
        names["CHUNK"] = before


# --- what is explained ----------------------------------------------------------------------------------------------


def digits(n: int, epochs: int) -> tuple[Task, Query]:
    """Return a trained network for digits, and the first training images with their predicted classes."""
    data = plugins("dataset")["mnist5k"].cls().load()
    architecture = plugins("model")["cnn"].cls()
    architecture = replace(architecture, training=replace(architecture.training, epochs=epochs))
    return _asked(architecture.train(data, SEED, lambda text: None), data, n)


def large(n: int) -> tuple[Task, Query]:
    """Return an untrained network for images of 64 x 64, and the first training images."""
    data = plugins("dataset")["shapes"].cls(n_train=300, n_test=100).load()
    x = functional.interpolate(data.train.x[:64], 64, mode="bilinear")
    split = Split(x=x, y=data.train.y[:64], sample=data.train.sample[:64])
    baseline = data.baseline[:, :1, :1].expand(-1, 64, 64).clone()
    data = Dataset(
        name="shapes64", train=split, test=split, classes=data.classes, features=(), baseline=baseline, truth=None
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return _asked(plugins("model")["cnn"].cls().build(data).eval().requires_grad_(False), data, n)


def _asked(model: torch.nn.Module, data: Dataset, n: int) -> tuple[Task, Query]:
    x = data.train.x[:n]
    with torch.no_grad():
        target = model(x).argmax(1)
    return Task(model=model, data=data, surrogate=None, seed=SEED), Query(
        x=x, target=target, sample=data.train.sample[:n]
    )


# --- times ----------------------------------------------------------------------------------------------------------


def explained(explainer: Explainer, task: Task, query: Query) -> Callable[[], object]:
    """Return the call to measure."""
    return lambda: explainer.explain(task, query)


def fastest(calls: list[Callable[[], object]], blocks: int) -> list[float]:
    """Return processor seconds of each call: the best of several, in turn, so that a busy machine hurts all alike."""
    best = [float("inf")] * len(calls)
    for _ in range(blocks):
        for i, call in enumerate(calls):
            began = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - began)
    return best


def forward(task: Task, query: Query, as_masked: bool) -> Callable[[], object]:
    """Return forward passes of 16 chunks; as_masked: laid out in memory as masked images are."""
    x = query.x.repeat(-(-masking.CHUNK // len(query.x)), 1, 1, 1)[: masking.CHUNK]
    x = masking._channels_last(x) if as_masked else x

    def passes() -> None:
        with torch.no_grad():
            for _ in range(16):
                task.model(x)

    return passes


def there_and_back(task: Task, query: Query) -> Callable[[], object]:
    """Return one forward and one backward pass of the query."""

    def both() -> None:
        x = query.x.clone().requires_grad_()
        torch.autograd.grad(task.model(x).gather(1, query.target[:, None]).sum(), x)

    return both


def captum_shap(task: Task, query: Query, together: int) -> Callable[[], torch.Tensor]:
    """Return captum's KernelSHAP on the segments that ours has, so many masks at a time."""
    from captum.attr import KernelShap

    def values() -> torch.Tensor:
        torch.manual_seed(SEED)
        cut, found = masking.regions(query.x, "slic", 50), []
        for i in range(len(query.x)):
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                found.append(
                    KernelShap(task.model).attribute(
                        query.x[i : i + 1],
                        baselines=task.data.baseline[None],
                        target=int(query.target[i]),
                        feature_mask=cut.index[i : i + 1, None].expand_as(query.x[i : i + 1]),
                        n_samples=SAMPLES,
                        perturbations_per_eval=together,
                    )
                )
        values = torch.cat(found)
        size = torch.stack([index.flatten().bincount()[index] for index in cut.index])[:, None]
        return values / size / query.x.shape[1]

    return values


def times(setting: str, task: Task, query: Query, blocks: int) -> list[dict[str, Any]]:
    """Return seconds, rows and ratios of the sampled explainers on one network."""
    calls = {
        "forward rows": forward(task, query, False),
        "forward rows, as masked images lie in memory": forward(task, query, True),
        "one forward and backward pass": there_and_back(task, query),
    }
    explainers = {
        "lime": method("lime"),
        **{name: method(name, budget=SAMPLES) for name in ("lime_fast", "kernel_shap", "shapley_sampling", "elime")},
        **{name: method(name) for name in ("rise", "sobol", "hsic", "occlusion", "feature_ablation", "sise")},
        "lrp": method("lrp"),
    }
    calls |= {name: explained(one, task, query) for name, one in explainers.items()}
    slow = {
        "lime, the package's batches of 10": _slow_lime(task, query),
        "KernelSHAP of captum, 250 masks at a time": captum_shap(task, query, 250),
        "KernelSHAP of captum, one mask at a time (its default)": captum_shap(task, query, 1),
    }
    LOG.info("%s: %d calls", setting, len(calls) + len(slow))
    few = Query(x=query.x[:1], target=query.target[:1], sample=query.sample[:1])
    for one in explainers.values():
        one.explain(task, few)  # imports
    seconds = dict(zip(calls, fastest(list(calls.values()), blocks), strict=True))
    seconds |= dict(zip(slow, fastest(list(slow.values()), 1), strict=True))
    plain, masked = (seconds[name] / (16 * masking.CHUNK) for name in list(calls)[:2])
    found = []
    for name, cost in seconds.items():
        rows = None
        if name in explainers:
            with counted(task.model) as spent:
                explainers[name].explain(task, query)
            rows = spent.forward / len(query.x)
        sampled = rows is not None and rows > 10
        per_image = cost / (16 * masking.CHUNK) if name.startswith("forward") else cost / len(query.x)
        found.append(
            {
                "setting": setting,
                "what": name,
                "milliseconds an image": 1e3 * per_image,
                "rows an image": rows,
                "over its forward rows": per_image / (rows * plain) if sampled else None,
                "over its forward rows, laid out alike": per_image / (rows * masked) if sampled else None,
            }
        )
    return found


def _slow_lime(task: Task, query: Query) -> Callable[[], object]:
    def call() -> None:
        with batches_of("lime", 10):
            method("lime").explain(task, query)

    return call


# --- what they find -------------------------------------------------------------------------------------------------


def local_fit(task: Task, query: Query, values: torch.Tensor) -> float:
    """Return the mean weighted R2 of the segments' weights on 1,000 masks that nobody was fitted to."""
    cut, names = masking.regions(query.x, "slic", 50), source("lime_fast")
    generators = [torch.Generator().manual_seed(10**6 + i) for i in range(len(query.x))]
    masks = [names["coins"](SAMPLES, n, g) for n, g in zip(cut.count.tolist(), generators, strict=True)]
    probe = masking.probe(task, query, "baseline", "probability", cut)
    y = torch.stack(masking.ask(probe, cut, masks))
    design = torch.stack(masking.pad(masks, cut.most)).double()
    slope = torch.zeros(len(query.x), cut.most, dtype=torch.float64)
    slope.scatter_add_(1, cut.index.flatten(1), values.sum(1).flatten(1).double())
    share = names["image_weights"](design, cut)
    share = share / share.sum(1, keepdim=True)
    left = y - (design @ slope[..., None])[..., 0]
    variance = [(share * (part - (share * part).sum(1, keepdim=True)).square()).sum(1) for part in (left, y)]
    fits = 1 - variance[0] / variance[1]
    return float(fits.median())


def faithfulness(task: Task, query: Query, values: torch.Tensor) -> float:
    """Return the mean gain of the symmetric removal curves (SRG): least relevant first minus most relevant first."""
    curves = removal.removal_curves(task.model, query, values, task.data.baseline)
    area = [removal.area(curve, curves.fraction) for curve in (curves.least_first, curves.most_first)]
    return float((area[0] - area[1]).mean())


def evolution(task: Task, query: Query, package_seconds: float) -> list[dict[str, Any]]:
    """Return faithfulness over evaluations for E-LIME's variants and for LIME; seconds against the lime package."""
    variants = {
        "elime, probability": {"fitness": "probability"},
        "elime, log-odds": {"fitness": "log_odds"},
        "elime, probability, size penalty 0.5": {"fitness": "probability", "size_penalty": 0.5},
        "elime, log-odds, size penalty 5": {"fitness": "log_odds", "size_penalty": 5.0},
    }
    rows = []
    for budget in EVOLVED:
        population = 10 if budget <= 200 else 50
        runs = {name: method("elime", budget=budget, population=population, **more) for name, more in variants.items()}
        runs["lime_fast"] = method("lime_fast", budget=budget)
        for name, explainer in runs.items():
            with counted(task.model) as spent:
                began = time.process_time()
                values = explainer.explain(task, query).values
                seconds = time.process_time() - began
            rows.append(
                {
                    "what": name,
                    "budget": budget,
                    "rows an image": spent.forward / len(query.x),
                    "milliseconds an image": 1e3 * seconds / len(query.x),
                    "times faster than the lime package, 1000 samples": package_seconds / seconds,
                    "srg": faithfulness(task, query, values),
                }
            )
            LOG.info("%s", rows[-1])
    return rows


def exact_shapley(task: Task, query: Query, n: int) -> dict[str, float]:
    """Return how far both KernelSHAPs are from long sampled values, relative to the norm of these."""
    few = Query(x=query.x[:n], target=query.target[:n], sample=query.sample[:n])
    true = method("shapley_sampling", budget=20_000).explain(task, few).values
    ours = method("kernel_shap", budget=SAMPLES).explain(task, few).values
    theirs = captum_shap(task, few, 250)()
    off = [float(((one - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)).mean()) for one in (ours, theirs)]
    return dict(zip(("ours", "captum"), off, strict=True))


# --- memory, each in a process of its own ---------------------------------------------------------------------------


def peak(name: str, rows: int) -> dict[str, float]:
    """Return megabytes beyond what is needed before explaining one image of 64 x 64 with so many rows."""
    task, query = large(1)
    method(name, budget=300).explain(task, query)
    before = memory("VmRSS")
    method(name, budget=rows).explain(task, query)
    return {"extra": max(0, memory() - before) / 1e6}


def memories(sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """Return how the peak grows with the number of samples."""
    found = []
    for name in ("lime_fast", "kernel_shap", "shapley_sampling", "rise", "sobol", "hsic", "elime"):
        calls = [[sys.executable, __file__, "--child", name, str(size)] for size in sizes]
        few, many = (json.loads(subprocess.run(c, capture_output=True, text=True, check=True).stdout) for c in calls)
        found.append({"what": name, **{f"MB, {n} rows": p["extra"] for n, p in zip(sizes, (few, many), strict=True)}})
    return found


# --- the tables -----------------------------------------------------------------------------------------------------


def claims(speed: pd.DataFrame, more: dict[str, float], curve: pd.DataFrame) -> pd.DataFrame:
    """Return each target with what was measured."""
    cost = {key: group.set_index("what") for key, group in speed.groupby("setting")}
    small = cost["cnn, 28 x 28"]
    ms = small["milliseconds an image"]
    alike, plain = "over its forward rows, laid out alike", "over its forward rows"
    package, shap = "lime, the package's batches of 10", "KernelSHAP of captum, 250 masks at a time"
    rows = [
        ("lime_fast over its forward rows", small[plain]["lime_fast"], "<= 1.3"),
        ("lime_fast over its forward rows, laid out alike", small[alike]["lime_fast"], "<= 1.3"),
        ("lime_fast times faster than the lime package, its batches of 10", ms[package] / ms["lime_fast"], ">= 3"),
        ("lime_fast times faster than the lime package, batches of 256", ms["lime"] / ms["lime_fast"], ">= 3"),
        ("median weighted R2 on fresh masks, lime_fast minus lime", more["lime_fast"] - more["lime"], ">= -0.01"),
        ("kernel_shap times faster than captum's, 250 at a time", ms[shap] / ms["kernel_shap"], ">= 2"),
        ("error against 20,000 rows of Shapley sampling, kernel_shap over captum's", more["shap"], "<= 1"),
        *((f"{name} over its forward rows", small[plain][name], "<= 1.2") for name in ("sobol", "rise")),
        *(
            (f"{name} over its forward rows, laid out alike", small[alike][name], "<= 1.2")
            for name in ("sobol", "rise")
        ),
        ("lrp over a forward and backward pass", ms["lrp"] / ms["one forward and backward pass"], "<= 4"),
    ]
    lime = float(curve.query("what == 'lime_fast' and budget == 1000")["srg"].iloc[0])
    equal = curve[curve["what"].str.startswith("elime") & (curve["srg"] >= lime)]
    gain = equal["times faster than the lime package, 1000 samples"].max() if len(equal) else float("nan")
    rows.append((f"elime with LIME-1000's SRG ({lime:.3f}), times faster than the lime package", gain, ">= 5"))
    table = pd.DataFrame(rows, columns=["what", "value", "target"])
    sign, bound = table["target"].str.split(" ").str[0], table["target"].str.split(" ").str[1].astype(float)
    table["reached"] = [v >= b if s == ">=" else v <= b for v, s, b in zip(table["value"], sign, bound, strict=True)]
    return table


def write(folder: Path, tables: dict[str, pd.DataFrame], settings: dict[str, Any]) -> None:
    """Write the tables as CSV, all of them as one page, and where they come from."""
    page = ["# Speed of the sampled explainers\n\n", (__doc__ or "").split("\n\n", 2)[2]]
    code = fingerprint(Path(__file__), *(plugin.path for kind in PLUGINS for plugin in plugins(kind).values()))
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        io.write_bytes(path, table.to_csv(index=False, float_format="%.6g").encode())
        io.describe(path, kind="benchmark", params=settings, seed=SEED, fingerprint=code)
        shown = table.map(lambda cell: "" if pd.isna(cell) else f"{cell:.3g}" if isinstance(cell, float) else str(cell))
        page.append(f"\n## {name}\n\n{plain_markdown(shown)}")
    io.write_bytes(folder / "README.md", "".join(page).encode())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", default="results/published/benchmark_explainers")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the images")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        sys.stdout.write(json.dumps(peak(options.child[0], int(options.child[1]))))
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    n, n_large = (max(2, round(size * options.scale)) for size in (64, 8))
    task, query = digits(n, EPOCHS)
    speed = times("cnn, 28 x 28", task, query, 2)
    lime = next(row["milliseconds an image"] for row in speed if row["what"] == "lime, the package's batches of 10")
    more = {name: local_fit(task, query, method(name).explain(task, query).values) for name in ("lime", "lime_fast")}
    error = exact_shapley(task, query, min(n, 8))
    curve = pd.DataFrame(evolution(task, query, lime * n / 1e3))
    speed += times("cnn, 64 x 64", *large(n_large), 2)
    tables = {
        "claims": claims(pd.DataFrame(speed), {**more, "shap": error["ours"] / error["captum"]}, curve),
        "speed": pd.DataFrame(speed),
        "quality": pd.DataFrame(
            [{"what": f"R2, {k}", "value": v} for k, v in more.items()]
            + [{"what": f"error of KernelSHAP, {k}", "value": v} for k, v in error.items()]
        ),
        "elime_curve": curve,
        "memory": pd.DataFrame(memories((1000, 8000))),
    }
    settings = {"images": n, "large images": n_large, "epochs": EPOCHS, "samples": SAMPLES, "chunk": masking.CHUNK}
    write(Path(options.output), tables, settings)


if __name__ == "__main__":
    main()
