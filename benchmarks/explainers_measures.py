"""What `explainers` measures.

Speed against forward rows and other implementations, and what the numbers are worth.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from explainers_subjects import (
    SAMPLES,
    CaptumShap,
    PackageLime,
    forward,
    method,
    rows,
    source,
    there_and_back,
    turns,
)

from gpex_bench import measurements
from gpex_bench.contract.cost import counted
from gpex_bench.masking import answers
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Case, Explainer, Query, Task

PLAIN, ALIKE = "forward rows", "forward rows, as masked images lie in memory"
PACKAGE, PACKAGE_256 = "lime package, its batches of 10", "lime package, batches of 256"
CAPTUM, CAPTUM_1 = (
    "KernelSHAP of captum, 250 masks at a time",
    "KernelSHAP of captum, its default of one mask",
)
BOTH_WAYS = "forward and backward pass"
EVOLVED = (100, 300, 1000)  # evaluations of E-LIME and LIME on the curve
VARIANTS: dict[str, dict[str, Any]] = {
    "elime, probability (the source's)": {"fitness": "probability"},
    "elime, probability, size penalty 0.5": {"fitness": "probability", "size_penalty": 0.5},
    "elime, log-odds, size penalty 5": {"fitness": "log_odds", "size_penalty": 5.0},
}
COMPOSITES = (
    "epsilon",
    "alpha1_beta0",
    "alpha2_beta1",
    "gamma",
    "epsilon_plus",
    "epsilon_plus_flat",
)
POLICIES = ("ignored", "spread")


def sampled(
    setting: str, task: Task, query: Query, n_turns: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return seconds per image of sampled explainers, [turn, what], and a table of them.

    A turn takes its share of the images; all but the two fastest a quarter of that (at least one).
    """
    size = len(query.x) // n_turns
    ours = {name: method(name, budget=SAMPLES) for name in ("lime_fast", "kernel_shap")}
    less = {name: method(name, budget=SAMPLES) for name in ("shapley_sampling", "hsic", "elime")}
    less |= {name: method(name) for name in ("rise", "sobol")}
    less |= {PACKAGE: PackageLime(), PACKAGE_256: method("lime", budget=SAMPLES)}
    shares = dict.fromkeys(ours, size) | dict.fromkeys(less, max(1, size // 4))
    shares |= {CAPTUM: max(1, size // 4), CAPTUM_1: 1}
    every = {**ours, **less, CAPTUM: CaptumShap(250), CAPTUM_1: CaptumShap(1)}
    parts = {
        name: [rows(query, i * size, i * size + share) for i in range(n_turns)]
        for name, share in shares.items()
    }
    calls = {
        name: [lambda one=one, part=part: one.explain(task, part) for part in parts[name]]
        for name, one in every.items()
    }
    calls = {
        PLAIN: [forward(task, query, False)] * n_turns,
        ALIKE: [forward(task, query, True)] * n_turns,
        **calls,
    }
    for one in every.values():
        one.explain(task, rows(query, 0, 1))  # imports
    seconds = turns(calls) / pd.Series(
        {PLAIN: 8 * answers.CHANGED_ROWS, ALIKE: 8 * answers.CHANGED_ROWS, **shares}
    )
    table = []
    for name, one in every.items():
        with counted(task.model) as spent:
            one.explain(task, rows(query, 0, 1))
        n_rows = spent.forward
        record = {
            "setting": setting,
            "what": name,
            "images": shares[name] * n_turns,
            "rows an image": n_rows,
        }
        record["milliseconds an image"] = 1e3 * seconds[name].median()
        record["over its forward rows"] = (seconds[name] / seconds[PLAIN]).median() / n_rows
        record["over its rows laid out alike"] = (seconds[name] / seconds[ALIKE]).median() / n_rows
        table.append(record)
    return seconds, pd.DataFrame(table)


def propagated(setting: str, task: Task, query: Query, n_turns: int) -> pd.DataFrame:
    """Return what LRP costs in forward and backward passes, all images at once."""
    explainers = {f"lrp, {one}": method("lrp", composite=one) for one in COMPOSITES}
    for policy in POLICIES:
        explainers |= {
            f"lrp, {one}, bias {policy}": method("lrp", composite=one, bias=policy)
            for one in ("gamma", "alpha2_beta1", "epsilon_plus")
        }
    explainers["deep_taylor"] = method("deep_taylor")
    calls = {
        name: [lambda one=one: one.explain(task, query)] * n_turns
        for name, one in explainers.items()
    }
    seconds = turns({BOTH_WAYS: [there_and_back(task, query)] * n_turns, **calls})
    ratio = seconds.div(seconds[BOTH_WAYS], axis=0).median()
    table = [
        {
            "setting": setting,
            "what": name,
            "milliseconds": 1e3 * seconds[name].median(),
            "over a pass": ratio[name],
        }
        for name in seconds
    ]
    return pd.DataFrame(table)


# --- what they find -------------------------------------------------------------------------------


def local_fits(task: Task, query: Query) -> dict[str, torch.Tensor]:
    """Return the weighted R2 of each image's segment weights on 1,000 masks not fitted to."""
    ours = method("lime_fast", budget=SAMPLES)
    cut, names = answers.regions(query.x, "slic", 50), source(ours)
    generators = [torch.Generator().manual_seed(10**6 + i) for i in range(len(query.x))]
    masks = [
        names["coins"](SAMPLES, n, g) for n, g in zip(cut.count.tolist(), generators, strict=True)
    ]
    y = torch.stack(
        answers.ask(answers.probe(task, query, "baseline", "probability", cut), cut, masks)
    )
    design = torch.stack(answers.pad(masks, cut.most)).double()
    share = names["image_weights"](design, cut)
    share = share / share.sum(1, keepdim=True)

    def fit(explainer: Explainer) -> torch.Tensor:
        values = explainer.explain(task, query).values
        slope = torch.zeros(len(query.x), cut.most, dtype=torch.float64)
        slope.scatter_add_(1, cut.index.flatten(1), values.sum(1).flatten(1).double())
        parts = (y - (design @ slope[..., None])[..., 0], y)
        left, spread = (
            (share * (p - (share * p).sum(1, keepdim=True)).square()).sum(1) for p in parts
        )
        return 1 - left / spread

    return {"lime_fast": fit(ours), "lime": fit(method("lime", budget=SAMPLES))}


def srg(task: Task, query: Query, explainer: Explainer) -> tuple[torch.Tensor, float]:
    """Return the symmetric relevance gain of each image, and the forward rows it took."""
    metric = plugins("metric")["srg"].cls()
    with counted(task.model) as spent:
        found = explainer.explain(task, query)
    case = Case(
        task=task, query=query, explanation=Attribution(values=found.values), explainer=explainer
    )
    return metric.score(measurements.measured(case, [metric])), spent.forward / len(query.x)


def population(budget: int) -> int:
    """Return E-LIME's population for a number of evaluations."""
    return 10 if budget < 1000 else 50


def evolution(task: Task, query: Query) -> pd.DataFrame:
    """Return faithfulness over evaluations, on the choosing half of the images and the other."""
    half = len(query.x) // 2
    runs = {("lime package", SAMPLES): method("lime", budget=SAMPLES)}
    for budget in EVOLVED:
        runs["lime_fast", budget] = method("lime_fast", budget=budget)
        for name, more in VARIANTS.items():
            runs[name, budget] = method(
                "elime", budget=budget, population=population(budget), **more
            )
    table = []
    for (name, budget), explainer in runs.items():
        chosen, spent = srg(task, rows(query, 0, half), explainer)
        other, _ = srg(task, rows(query, half, 2 * half), explainer)
        record = {"what": name, "budget": budget, "rows an image": spent}
        table.append(
            record
            | {"srg, choosing half": float(chosen.mean()), "srg, other half": float(other.mean())}
        )
    return pd.DataFrame(table)


def chosen(curve: pd.DataFrame) -> tuple[str, int, bool]:
    """Return a variant of E-LIME, its evaluations, and whether it reaches LIME's SRG.

    Chosen on the choosing half of the images.

    The one with the fewest evaluations that has; without one, the one with the largest SRG.
    """
    lime = float(curve.loc[curve["what"] == "lime package", "srg, choosing half"].iloc[0])
    ours = curve[curve["what"].str.startswith("elime")]
    enough = ours[ours["srg, choosing half"] >= lime].sort_values(
        "srg, choosing half", ascending=False
    )
    fewest = enough.sort_values("budget", kind="stable")
    first = (fewest if len(fewest) else ours.nlargest(1, "srg, choosing half")).iloc[0]
    return str(first["what"]), int(first["budget"]), bool(len(enough))


def race(task: Task, query: Query, explainer: Explainer, n_turns: int) -> dict[str, float]:
    """Return the speed against the lime package, and the gain of SRG, on the other half."""
    half = len(query.x) // 2
    size = half // n_turns
    parts = [rows(query, half + i * size, half + (i + 1) * size) for i in range(n_turns)]
    few = [rows(part, 0, max(1, size // 4)) for part in parts]
    calls = {
        PACKAGE: [lambda part=part: PackageLime().explain(task, part) for part in few],
        PACKAGE_256: [lambda part=part: method("lime").explain(task, part) for part in few],
        "ours": [lambda part=part: explainer.explain(task, part) for part in parts],
    }
    seconds = turns(calls) / pd.Series(
        {PACKAGE: len(few[0].x), PACKAGE_256: len(few[0].x), "ours": size}
    )
    other = rows(query, half, 2 * half)
    gain = srg(task, other, explainer)[0] - srg(task, other, method("lime"))[0]
    return {
        "faster": float((seconds[PACKAGE] / seconds["ours"]).median()),
        "faster_256": float((seconds[PACKAGE_256] / seconds["ours"]).median()),
        "gain": float(gain.mean()),
        "error": float(gain.std() / len(gain) ** 0.5),
    }


def shapley_errors(task: Task, query: Query) -> dict[str, float]:
    """Return how far both KernelSHAPs are from long sampled values, relative to their norm."""
    true = method("shapley_sampling", budget=20_000).explain(task, query).values
    found = {"ours": method("kernel_shap", budget=SAMPLES), "captum": CaptumShap(250)}
    off = {
        name: (one.explain(task, query).values - true).flatten(1).norm(dim=1)
        for name, one in found.items()
    }
    return {
        name: float((error / true.flatten(1).norm(dim=1)).mean()) for name, error in off.items()
    }
