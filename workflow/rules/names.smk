# Names and helpers of the rules: the only Python in them.
import os
from dataclasses import asdict
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from gpex_bench.run import server
from gpex_bench import config as config_of_run
from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.run.provenance import described, fingerprint, sha256
from gpex_bench.plugins.homes import BIBLIOGRAPHY, CONFIGS, PACKAGE, WORKFLOW

try:
    # Not imported by name: Snakemake itself calls a global function `parse`.
    CONFIG = config_of_run.parse(config)
except config_of_run.ConfigError as error:
    raise WorkflowError(f"The config cannot be used. {error}")

# Activations of tens of megabytes come and go with every batch. glibc would return them to the kernel
# and request them again each time; these settings make it keep them. Other C libraries ignore them.
for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"):
    os.environ.setdefault(name, str(100 * 2**20))

SCRIPT = "../scripts/run.py"
STUDY_SCRIPT = str(WORKFLOW / "scripts" / "run.py")
RUN = f"results/{CONFIG.run}"
CELL = "{dataset}/{model}/seed-{seed}"
# The study of the config, by the name of its folder. A run without methods has no report, nor has a
# run whose study declares that it needs none.
STUDY = CONFIG.study_name
HAS_REPORT = bool(CONFIG.entries["method"]) and (
    STUDY is None or CONFIG.study.has_report
)
SHOWN = [f"{RUN}/report.html"] * HAS_REPORT
if STUDY:
    SHOWN.append(f"{RUN}/sentences.md")
CONCLUSIONS = (
    "ranking",
    "pairs",
    "overall",
    "informative",
    "variance",
    "power",
    "second_opinion",
    "trust",
    "planted",
    "variants",
    "fill_agreement",
)
TABLES = (
    *CONCLUSIONS,
    "scores",
    "curves",
    "variant_scores",
    "cells",
    "skipped",
    "outcomes",
    "agreement",
    "predictions",
    "networks",
    "surrogates",
)
CONFIGFILE = os.path.relpath(
    workflow.configfiles[0] if workflow.configfiles else CONFIGS / "default.yaml"
)
NETWORKS = {(network.dataset, network.model): network for network in CONFIG.networks}


wildcard_constraints:
    dataset="[a-z0-9_]+",
    model="[a-z0-9_]+",
    seed="[0-9]+",
    surrogate="|".join(CONFIG.entries["surrogate"]) or "[a-z0-9_]+",
    method="[a-z0-9_]+",


def per_seed(name):
    """The pattern of one file for each training seed; the other wildcards stay."""
    cell = CELL.replace("{dataset}", "{{dataset}}").replace("{model}", "{{model}}")
    return expand(f"{RUN}/{cell}/{name}", seed=CONFIG.seeds)


def code(module, *entries):
    """A hash of the source code that decides what a module, such as stages/fit, does with plug-ins.

    An entry may be None, which stands for no plug-in.
    """
    plugins = [path for entry in entries if entry is not None for path in entry.sources]
    return fingerprint(PACKAGE / f"{module}.py", *plugins)


def settings(kind, run_id):
    """The hyperparameters of a plug-in and the content of the files that it reads, as text."""
    entry = CONFIG.entry(kind, run_id)
    return described(entry.settings) if entry.settings is not None else entry.written


def entry(kind, wildcards):
    return CONFIG.entry(kind, wildcards[kind])


def surrogate_of(method):
    explainer = CONFIG.method(method)
    return None if explainer is None else explainer.surrogate


def surrogates(wildcards):
    """The fitted surrogates that a method uses, one for each seed; most methods use none."""
    name = surrogate_of(wildcards.method)
    if name is None:
        return []
    return [
        file.format(**wildcards) for file in per_seed(f"surrogates/{name}.safetensors")
    ]


def surrogate_entry(method):
    """The entry of the surrogate that a method uses, or None."""
    return CONFIG.entries["surrogate"].get(surrogate_of(method))


def methods(network):
    """The methods that apply to a network; decided from what they declare, before any job runs."""
    return [
        method
        for method in CONFIG.entries["method"]
        if CONFIG.not_applicable(network, method) is None
    ]


@cache
def applying(dataset, model, method):
    """The metrics that apply to a method on a network: those that read stored curves, and the others."""
    network = NETWORKS[dataset, model]
    every = [
        metric
        for metric in sorted(CONFIG.entries["metric"])
        if CONFIG.skipped(network, method, metric) is None
    ]
    of_curves = [m for m in every if isinstance(CONFIG.metric(m), CurveMetric)]
    return of_curves, [m for m in every if m not in of_curves]


def metrics(wildcards):
    """The metrics that a score job computes."""
    return applying(wildcards.dataset, wildcards.model, wildcards.method)[1]


def curves(wildcards):
    """The removal curves that a score job records."""
    of_curves, _ = applying(wildcards.dataset, wildcards.model, wildcards.method)
    keys = [asdict(CONFIG.metric(metric).measurements()[0]) for metric in of_curves]
    return [key for place, key in enumerate(keys) if key not in keys[:place]]


def each_cell(name):
    """One file for each network, method and seed."""
    return [
        f"{RUN}/{network.dataset}/{network.model}/seed-{seed}/{name.format(method=method)}"
        for network in CONFIG.networks
        for method in methods(network)
        for seed in CONFIG.seeds
    ]


def each_surrogate(name):
    """One file for each network, surrogate and seed."""
    return [
        f"{RUN}/{network.dataset}/{network.model}/seed-{seed}/{name.format(surrogate=surrogate)}"
        for network in CONFIG.networks
        for surrogate in network.surrogates
        for seed in CONFIG.seeds
    ]


def plan():
    """Which methods and metrics apply to which network, and why the others do not."""
    return [
        [
            network.dataset,
            network.model,
            method,
            CONFIG.not_applicable(network, method) or "applies",
        ]
        for network in CONFIG.networks
        for method in CONFIG.entries["method"]
    ]


def page_sources():
    """Hashes of what no import leads to: the report's templates, styles, scripts, references."""
    return [
        *(
            sha256(path)
            for path in sorted((PACKAGE / "report").iterdir())
            if path.suffix in (".j2", ".css", ".js")
        ),
        sha256(BIBLIOGRAPHY),
    ]


def study_code(module, *entries):
    """A hash of the source code of a module of the study, such as measure, and of plug-ins."""
    return code(f"studies/{STUDY}/{module}", *entries)


def answer_code():
    """Hashes of what decides how the study answers: its code, and the template of its page.

    No import leads to the template.
    """
    template = PACKAGE / "studies" / STUDY / "sentences.md.j2"
    return [
        study_code("answer"),
        *(sha256(path) for path in [template] if path.is_file()),
    ]


def answer_files(tables=(), figures=()):
    """The files that every study writes besides table.csv, which its rule names itself."""
    return [
        f"{RUN}/table.json",
        f"{RUN}/sentences.md",
        *(f"{RUN}/{name}.csv" for name in tables),
        *(
            f"{RUN}/{stem}.{ending}"
            for stem in figures
            for ending in ("svg", "png", "csv")
        ),
    ]
