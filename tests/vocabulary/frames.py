"""A made-up run of realistic size for the tests of statistics, tables, figures and the report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gpex_bench import plots
from gpex_bench.surrogates.agreement import statistics
from gpex_bench.surrogates.agreement.statistics import Outputs
from gpex_bench.tables.columns import MAIN_CURVE
from gpex_bench.types import Role

NETWORKS = {"breast_cancer": "mlp", "mnist5k": "cnn", "shapes": "thin_resnet"}
HEADS = {
    "breast_cancer": ["malignant", "benign"],
    "mnist5k": [str(digit) for digit in range(10)],
    "shapes": ["square and disc", "cross", "triangle", "ring", "two bars", "star"],
}
QUALITY = {  # how good each method is, and its cost in (forward, backward) rows per sample
    "gradient_x_input": ("gradient", 0.71, 1, 1),
    "integrated_gradients": ("gradient", 0.81, 50, 50),
    "lrp_epsilon_plus": ("propagation", 0.80, 1, 1),
    "lrp_epsilon": ("propagation", 0.72, 1, 1),
    "sensitivity": ("gradient", 0.50, 1, 1),
    "lime": ("perturbation", 0.76, 500, 0),
    "sobol": ("perturbation", 0.70, 1600, 0),
    "gpex": ("surrogate", 0.66, 0, 0),
    "gpex_neighbours": ("examples", 0.60, 0, 0),
    "random_examples": ("control", 0.10, 0, 0),
    "random_map": ("control", 0.02, 0, 0),
    "edge_detector": ("control", 0.20, 0, 0),
    "inverted_ig": ("control", -0.70, 50, 50),
    "oracle": ("control", 0.60, 0, 0),
}
METRICS = {  # what it measures, direction, scale
    "srg": ("faithfulness", True, 1.0),
    "deletion": ("faithfulness", False, 1.0),
    "insertion": ("faithfulness", True, 1.0),
    "faithfulness_correlation": ("faithfulness", True, 1.0),
    "infidelity": ("faithfulness", False, 250.0),
    "max_sensitivity": ("robustness", False, 1.0),
    "sparseness": ("complexity", True, 1.0),
    "mass_accuracy": ("truth", True, 1.0),
    "rank_accuracy": ("truth", True, 1.0),
    "class_purity": ("examples", True, 1.0),
}
EXAMPLES = {"gpex_neighbours", "random_examples"}
ROLES = {
    "random_examples": Role.RANDOM,
    "random_map": Role.RANDOM,
    "edge_detector": Role.EDGES,
    "oracle": Role.ORACLE,
}


def role_of(name: str, kind: str) -> str:
    """Return the role of a method of this run."""
    other = "control" if kind == "control" else "method"
    return ROLES.get(name, Role(other)).value


def methods() -> list[dict]:
    return [
        {
            "method": name,
            "class": name.title().replace("_", ""),
            "kind": kind,
            "reference": "sundararajan2017axiomatic",
            "relative_to": "nothing" if kind == "control" else "baseline",
            "description": f"Says what {name} does in one line of plain English.",
            "hyperparameters": {"n_steps": "50", "rule": "'trapezoid'"}
            if kind != "control"
            else {},
            "role": role_of(name, kind),
            "of": "",
            "is_blind": Role(role_of(name, kind)).is_blind,
            "title": name.replace("_", " ").capitalize(),
            "adds_up": name in ("integrated_gradients", "lrp_epsilon"),
            "needs": ["gradient"] if kind == "gradient" else [],
            "surrogate": "gpex" if name.startswith("gpex") else None,
            "explains": "Examples" if name in EXAMPLES else "Attribution",
        }
        for name, (kind, *_) in QUALITY.items()
    ]


def metrics() -> list[dict]:
    return [
        {
            "metric": name,
            "class": name.title().replace("_", ""),
            "measures": measures,
            "reference": "bluecher2024decoupling",
            "description": f"Defines {name} in one line.",
            "higher_is_better": up,
            "range": (-1.0, 1.0) if name == "srg" else (0.0, float("inf")),
            "chance": 0.0 if name == "srg" else None,
            "is_share_of_truth": name == "mass_accuracy",
            "hyperparameters": {},
        }
        for name, (measures, up, _) in METRICS.items()
    ]


def applies(dataset: str, method: str, metric: str) -> str:
    """Return why a pair does not apply, or nothing."""
    if (metric == "class_purity") != (method in EXAMPLES):
        return "scores training examples" if metric == "class_purity" else "scores attributions"
    if METRICS[metric][0] == "truth" and dataset != "shapes":
        return "needs truth"
    return ""


def status(dataset: str, seed: int, method: str) -> tuple[str, str]:
    """Return status and reason of a cell: a few of them failed, in different ways."""
    if method in ("edge_detector", "oracle") and dataset == "breast_cancer":
        return "not_applicable", "needs image"
    if method == "oracle" and dataset == "mnist5k":
        return "not_applicable", "needs truth"
    if method == "sobol" and dataset == "shapes":
        return "timeout", "took longer than 900 s"
    if method == "lrp_epsilon" and dataset == "shapes":
        return "failed", "ValueError: no rule for layer 'downsample'"
    if method == "lime" and dataset == "mnist5k" and seed == 1:
        return "memory", "used more than 4 GiB"
    return "ok", ""


def cells(seeds: int = 3) -> pd.DataFrame:
    rows = []
    for dataset, model in NETWORKS.items():
        for seed in range(seeds):
            for method, (_, _, forward, backward) in QUALITY.items():
                state, reason = status(dataset, seed, method)
                done = 48 if state == "ok" else 0
                surrogate = done * (method.startswith("gpex"))
                rows.append(
                    (
                        dataset,
                        model,
                        seed,
                        method,
                        state,
                        reason,
                        done,
                        forward * done,
                        backward * done,
                        surrogate,
                    )
                )
    names = ["dataset", "model", "seed", "method", "status", "reason", "n_samples"]
    return pd.DataFrame(rows, columns=[*names, "forward_rows", "backward_rows", "surrogate_rows"])


def skipped() -> pd.DataFrame:
    rows = [
        (dataset, model, method, metric, "not_applicable", applies(dataset, method, metric))
        for dataset, model in NETWORKS.items()
        for method in QUALITY
        for metric in METRICS
        if applies(dataset, method, metric) and status(dataset, 0, method)[0] != "not_applicable"
    ]
    return pd.DataFrame(rows, columns=["dataset", "model", "method", "metric", "status", "reason"])


def scores(n_samples: int = 48, seeds: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frames = []
    for dataset, model in NETWORKS.items():
        sample = np.arange(4000, 4000 + n_samples)
        hardness = rng.normal(0, 0.1, n_samples)
        for method, (_, quality, *_) in QUALITY.items():
            for metric, (_, up, scale) in METRICS.items():
                if applies(dataset, method, metric):
                    continue
                few = sample[:8] if metric == "max_sensitivity" else sample
                for seed in range(seeds):
                    noise = hardness + rng.normal(0, 0.08, n_samples) + rng.normal(0, 0.02)
                    if status(dataset, seed, method)[0] != "ok":
                        continue
                    value = scale * ((quality if up else 1 - quality) + noise)
                    key = {
                        "dataset": dataset,
                        "model": model,
                        "seed": seed,
                        "method": method,
                        "metric": metric,
                    }
                    frames.append(
                        pd.DataFrame(
                            {**key, "sample": few, "target": few % 7, "score": value[: len(few)]}
                        )
                    )
    return pd.concat(frames, ignore_index=True)


def costs() -> pd.DataFrame:
    done = cells().query("status == 'ok'")
    rows = done["forward_rows"] + 2 * done["backward_rows"]
    return done[["dataset", "model", "seed", "method"]].assign(
        wall_seconds=0.2 + rows / 9000, peak_bytes=400_000_000 + rows * 100
    )


SURROGATES = {"gpex": 1.0, "last_layer": 1e-3, "knn": 4.0}  # how large the errors of each are


def predictions(
    n_samples: int = 300, seeds: int = 3, surrogates: tuple[str, ...] = ("gpex",)
) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    no_place = pd.array([pd.NA] * n_samples, dtype="Int64")
    frames = []
    for dataset, model in NETWORKS.items():
        for seed in range(seeds):
            for split in ("test", "mixed", "ood"):
                for place, head in enumerate(HEADS[dataset]):
                    network = rng.normal(0, 4, n_samples) * (1 + rng.integers(0, 2, n_samples))
                    doubt = (0.2 + 0.12 * place) * rng.uniform(0.5, 1.5, n_samples)
                    error = rng.normal(0, doubt)
                    for name in surrogates:
                        size = SURROGATES[name]
                        key = {
                            "dataset": dataset,
                            "model": model,
                            "seed": seed,
                            "surrogate": name,
                            "split": split,
                        }
                        frame = {"sample": np.arange(n_samples), "head": head}
                        frame |= {"row": no_place, "column": no_place, "network": network}
                        variance = (size * doubt) ** 2
                        means = {"mean": network + size * error, "variance": variance}
                        means["calibrated_variance"] = variance
                        frames.append(pd.DataFrame({**key, **frame, **means}))
    return pd.concat(frames, ignore_index=True)


def agreement(data: pd.DataFrame) -> pd.DataFrame:
    rows = []
    key = ["dataset", "model", "seed", "surrogate", "split"]
    for place, part in data.groupby(key):
        found = Outputs(
            *(
                part.pivot(index="sample", columns="head", values=column).to_numpy()
                for column in ("network", "mean", "variance")
            )
        )
        columns = statistics.per_head(found)
        of_intervals = statistics.of_intervals(found)
        columns |= {f"calibrated_{name}": column for name, column in of_intervals.items()}
        if place[-1] == "test":
            columns |= {"effective_rank": np.full(found.network.shape[1], 1.5)}
        for name, column in columns.items():
            rows += [
                (*place, head, name, value)
                for head, value in zip(sorted(set(part["head"])), column, strict=True)
            ]
        overall = statistics.over_heads(found, columns) | statistics.of_classes(found)
        if place[-1] == "test":
            overall |= {"accuracy_network": 0.978, "accuracy_surrogate": 0.975}
        rows += [(*place, "all", statistic, value) for statistic, value in overall.items()]
    return pd.DataFrame(rows, columns=[*key, "head", "statistic", "value"])


def surrogates() -> list[dict]:
    return [
        {
            "surrogate": name,
            "class": name.title(),
            "description": f"Stands in as {name}.",
            "hyperparameters": {"dim": "20"} if name == "gpex" else {},
            "exact": name == "last_layer",
        }
        for name in SURROGATES
    ]


def surrogate_costs(seeds: int = 3) -> pd.DataFrame:
    rows = [
        (dataset, model, seed, name, 60 * size, 10**9)
        for dataset, model in NETWORKS.items()
        for seed in range(seeds)
        for name, size in SURROGATES.items()
    ]
    return pd.DataFrame(
        rows, columns=["dataset", "model", "seed", "surrogate", "wall_seconds", "peak_bytes"]
    )


def curves(steps: int = 21) -> pd.DataFrame:
    """Mean removal curves, as `stages.curves` makes them."""
    fraction = np.linspace(0, 1, steps)
    frames = []
    for row in cells(1).query("status == 'ok'").itertuples():
        if row.method in EXAMPLES:
            continue
        for order, sign in (("most_first", 1), ("least_first", -1)):
            mean = 0.98 - 0.88 * fraction ** np.exp(-sign * QUALITY[row.method][1] * 2)
            half = 0.02 * np.sin(np.pi * fraction)
            key = {"dataset": row.dataset, "model": row.model, "method": row.method}
            kind = {**MAIN_CURVE, "output": "probability", "order": order}
            ends = {"mean": mean, "low": mean - half, "high": mean + half}
            frames.append(
                pd.DataFrame({**key, **kind, "fraction": fraction, **ends, "n_samples": 48})
            )
    return pd.concat(frames, ignore_index=True)


def gallery(dataset: str, n_images: int = 5) -> dict:
    """Return the fields of a plots.Gallery."""
    rng = np.random.default_rng(3)
    names = [
        name for name in QUALITY if name not in EXAMPLES and status(dataset, 0, name)[0] == "ok"
    ]
    heads = HEADS[dataset]
    true = [heads[place % len(heads)] for place in range(n_images)]
    predicted = [true[0], heads[2 % len(heads)], *true[2:]]
    if dataset == "breast_cancer":
        rows = rng.normal(size=(n_images, 30))
        maps = {name: rows * rng.normal(1, 1 - QUALITY[name][1] ** 2, rows.shape) for name in names}
        features = [f"{part} {what}" for part in ("mean", "worst", "error of") for what in FEATURES]
        return {
            "inputs": rows,
            "maps": maps,
            "predicted": predicted,
            "true": true,
            "features": features,
            "name": dataset,
        }
    shape = (n_images, 1, 28, 28) if dataset == "mnist5k" else (n_images, 3, 32, 32)
    images = np.stack([blob(shape[1:], rng) for _ in range(n_images)])
    maps = {name: images * rng.normal(0.3, 1.0 - QUALITY[name][1] ** 2, shape) for name in names}
    return {
        "inputs": images,
        "maps": maps,
        "predicted": predicted,
        "true": true,
        "name": f"{dataset} ({NETWORKS[dataset]})",
    }


FEATURES = [
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
]
FEATURES += ["symmetry", "fractal dimension"]


def blob(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return an image [channel, height, width] with a soft spot and a bar."""
    height, width = np.mgrid[0 : shape[1], 0 : shape[2]] / shape[1]
    centre = rng.uniform(0.3, 0.7, 2)
    spot = np.exp(-((height - centre[0]) ** 2 + (width - centre[1]) ** 2) / 0.02)
    return np.clip(
        spot * rng.uniform(0.5, 1, (shape[0], 1, 1)) + (np.abs(width - centre[0]) < 0.05) * 0.7,
        0,
        1,
    )


def sheets(dataset: str, n_items: int = 4, k: int = 6, pairs: bool = False) -> list[dict]:
    """Return the fields of some plots.Sheet."""
    rng = np.random.default_rng(4)
    heads = HEADS[dataset]
    shown = gallery(dataset, n_items)
    images, features = shown["inputs"], []
    if images.ndim == 2:
        images, features = images[:, :6], shown["features"][:6]
    result = []
    for item in range(n_items):
        classes = [
            heads[item % len(heads)] if rank % 4 != 3 else heads[(item + 1) % len(heads)]
            for rank in range(k)
        ]
        result.append(
            {
                "image": images[item],
                "predicted": heads[item % len(heads)],
                "true": heads[(item + (item == 2)) % len(heads)],
                "neighbours": images[rng.integers(0, n_items, k)],
                "classes": classes,
                "numbers": {
                    "similarity": np.sort(rng.uniform(0.6, 1, k))[::-1],
                    "contribution": np.sort(rng.uniform(-0.02, 0.4, k))[::-1],
                },
                "heats": [
                    plots.Heat(
                        label="where",
                        values=rng.normal(size=(k, *images.shape[2:])),
                        is_on_query=False,
                    )
                ]
                if pairs
                else [],
                "features": features,
            }
        )
    return result
