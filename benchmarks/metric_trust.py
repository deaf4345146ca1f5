"""Which metric can be trusted? Metrics under perturbed networks and inputs, as in MetaQuantus (hedstroem2023meta).

    python benchmarks/metric_trust.py [--output results/published/metric_trust] [--scale 1.0]

Two networks are trained, `cnn` on mnist5k and a thin `resnet` on shapes. A metric's number is judged, not a method's:
`gpex_bench.stages.metric_trust` says what is perturbed and how much, `gpex_bench.inference.trust` what is counted. One
thread. Metrics that explain again see the first samples only; `mprt_smooth` and `selectivity_recomputed` are left out
for their cost, `conservation_error` because it does not apply to all methods.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before torch is there

import argparse
import logging
import time
from pathlib import Path

import pandas as pd
import torch

from gpex_bench.data.mnist5k import Mnist5k
from gpex_bench.data.shapes import Shapes
from gpex_bench.models.cnn import Cnn, CnnTraining
from gpex_bench.models.resnet import Resnet, ResnetTraining
from gpex_bench.plugins.registry import plugins
from gpex_bench.run import artefacts
from gpex_bench.run.provenance import fingerprint
from gpex_bench.stages.queries import queries
from gpex_bench.statistics.trust import meta_consistency
from gpex_bench.studies.metric_trust.measure import trials
from gpex_bench.tables.render import plain_markdown
from gpex_bench.types import Attribution, Need, Task

LOG = logging.getLogger("metric_trust")
METHODS = {
    "gradient_x_input": {},
    "integrated_gradients": {"budget": 16},
    "guided_backprop": {},
    "sensitivity": {},
    "grad_cam": {},
}
LEFT_OUT = {"mprt_smooth", "selectivity_recomputed", "conservation_error"}
SEED, SAMPLES, AGAIN, PERTURBATIONS = 1, 24, 8, 2


def networks(scale: float) -> dict[tuple[str, str], Task]:
    """Return the trained networks with their data; fewer epochs below scale 1."""
    made = {
        ("mnist5k", "cnn"): (Mnist5k(), Cnn(training=CnnTraining(epochs=max(1, round(8 * scale))))),
        ("shapes", "resnet"): (
            Shapes(n_train=4000, n_test=300),
            Resnet(width=4, wide=64, training=ResnetTraining(epochs=max(1, round(14 * scale)))),
        ),
    }
    found = {}
    for place, (source, architecture) in made.items():
        data = source.load()
        model = architecture.train(data, SEED, lambda message: None)
        found[place] = Task(model=model, data=data, surrogate=None, seed=SEED)
        with torch.no_grad():
            right = (model(data.test.x).argmax(1) == data.test.y).double().mean()
        LOG.info("%s: test accuracy %.3f", " ".join(place), float(right))
    return found


def judged(
    place: tuple[str, str], task: Task, n_samples: int, n_perturbations: int
) -> pd.DataFrame:
    """Return the table of one network."""
    offers = {Need.GRADIENT, Need.MODULES, Need.IMAGE} | (
        {Need.TRUTH} if task.data.truth is not None else set()
    )
    classes = {
        name: plugin.cls for name, plugin in plugins("metric").items() if name not in LEFT_OUT
    }
    metrics = {
        name: cls()
        for name, cls in classes.items()
        if cls.scores is Attribution and set(cls.needs) <= offers
    }
    methods = {name: plugins("method")[name].cls(**settings) for name, settings in METHODS.items()}
    about = task, queries(task.model, task.data, n_samples)
    plain, others = trials(metrics, methods, about, (n_perturbations, min(AGAIN, n_samples)))
    where = {"dataset": place[0], "model": place[1]}
    better = {name: metric.higher_is_better for name, metric in metrics.items()}
    tables = []
    for space, table in others.items():
        found = meta_consistency(plain.assign(**where), table.assign(**where), better)
        tables.append(found.assign(property=f"{space}: " + found["property"]))
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    """Train, perturb, score and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", default="results/published/metric_trust")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of samples and epochs; below 1 for a trial"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    began, n = time.perf_counter(), max(6, round(SAMPLES * options.scale))
    n_perturbations = PERTURBATIONS if options.scale >= 1 else 1
    tables = []
    for place, task in networks(options.scale).items():
        tables.append(judged(place, task, n, n_perturbations))
        LOG.info(
            "%s judged after %.1f minutes", " ".join(place), (time.perf_counter() - began) / 60
        )
    table = pd.concat(tables, ignore_index=True)
    folder, here = Path(options.output), Path(__file__)
    artefacts.write_bytes(
        folder / "trust.csv", table.to_csv(index=False, float_format="%.4f").encode()
    )
    settings = {
        "samples": n,
        "scale": options.scale,
        "explained again": min(AGAIN, n),
        "perturbations": n_perturbations,
        "methods": METHODS,
    }
    code = fingerprint(
        here,
        Path("gpex_bench/studies/metric_trust/measure.py"),
        *sorted(Path("gpex_bench/metrics").glob("*.py")),
    )
    artefacts.describe(
        folder / "trust.csv", kind="metric trust", params=settings, seed=SEED, fingerprint=code
    )
    artefacts.write_bytes(folder / "README.md", page(table, settings).encode())


def page(table: pd.DataFrame, settings: dict) -> str:
    """Return the page: the mean over the networks of each property, the metrics that keep most first."""
    means = table.groupby(["metric", "property"])["value"].mean().unstack("property")
    total = means[[name for name in means if name.endswith("meta-consistency")]].mean(axis=1)
    kind = {name: plugins("metric")[name].cls.measures for name in means.index}
    shown = means.assign(**{"meta-consistency": total}).sort_values(
        "meta-consistency", ascending=False
    )
    shown = shown[["meta-consistency", *means.columns]].map(
        lambda cell: "" if pd.isna(cell) else f"{cell:.2f}"
    )
    shown.insert(0, "measures", shown.index.map(kind))
    listed = ", ".join(settings["methods"])
    return (
        "# Which metrics can be trusted\n\n" + (__doc__ or "").split("\n\n", 2)[2] + "\n"
        f"{settings['samples']} samples ({settings['explained again']} for metrics that explain again), "
        f"perturbations of each kind: {settings['perturbations']}, methods: {listed}. Values are means over the "
        "networks; `trust.csv` has each network, with the smallest and largest value over the perturbations. 1 is "
        "best.\n\n"
        "- noise resilience: under a minor perturbation the scores stay (p value of Wilcoxon's test) and the methods\n"
        "  keep their ranks within a sample;\n"
        "- adversary reactivity: under a disruptive one the scores change (1 - p) and get worse;\n"
        "- meta-consistency: the mean of the four.\n\n"
        "Few samples make large p values: resilience is easy and reactivity hard for metrics that explain again. A\n"
        "metric that does not look at the network (complexity) has no reason to get worse under a disruption.\n"
        "One that is good where the target's probability is low (deletion, pgu, sufficiency, average drop) gets\n"
        "better when the network no longer believes in the target; MetaQuantus counts that against it.\n\n"
        + plain_markdown(shown.reset_index())
    )


if __name__ == "__main__":
    main()
