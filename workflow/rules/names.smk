# Names and helpers of the rules: the only Python in them.
import os
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from gpex_bench.run import server
from gpex_bench.run import plan as plan_of_run
from gpex_bench import config as config_of_run
from gpex_bench.run.provenance import sha256
from gpex_bench.plugins.homes import CONFIGS, PACKAGE, WORKFLOW

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
    "headline",
    "headline_variants",
    "headline_pairs",
    "ranking",
    "pairs",
    "overall",
    "overall_pairs",
    "informative",
    "faithful",
    "variance",
    "power",
    "families",
    "trust",
    "planted",
    "truth_agreement",
    "variants",
    "fill_agreement",
)
TABLES = (
    *CONCLUSIONS,
    "scores",
    "curves",
    "variant_scores",
    "fills",
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


# Networks that were brought along have one cell, whatever the seeds. Outputs of a rule cannot depend
# on its wildcards, so that rules with files of every seed have a twin for such networks.
GIVEN = sorted({m for _, m in NETWORKS if CONFIG.model(m).is_given})
TRAINED = sorted({m for _, m in NETWORKS if not CONFIG.model(m).is_given})
GIVEN_SEEDS = CONFIG.seeds[:1]


def any_of(names):
    """A pattern that matches these names and no other."""
    return "|".join(names) or "(?!)"


def per_seed(name, seeds=CONFIG.seeds):
    """The pattern of one file for each training seed; the other wildcards stay."""
    cell = CELL.replace("{dataset}", "{{dataset}}").replace("{model}", "{{model}}")
    return expand(f"{RUN}/{cell}/{name}", seed=seeds)


def of_network(name):
    """A function of wildcards: one file for each seed of their network."""

    def files(wildcards):
        seeds = CONFIG.seeds_of(wildcards.model)
        return [file.format(**wildcards) for file in per_seed(name, seeds)]

    return files


def code(module, *entries):
    """A hash of the source code that decides what a module, such as stages/fit, does with plug-ins."""
    return plan_of_run.code(module, *entries)


def settings(kind, run_id):
    """The hyperparameters of a plug-in and the content of the files that it reads, as text."""
    return plan_of_run.settings(CONFIG, kind, run_id)


def entry(kind, wildcards):
    return CONFIG.entry(kind, wildcards[kind])


def surrogates(wildcards):
    """The fitted surrogates that a method uses, one for each seed; most methods use none."""
    name = plan_of_run.surrogate_of(CONFIG, wildcards.method)
    if name is None:
        return []
    return of_network(f"surrogates/{name}.safetensors")(wildcards)


def surrogate_entry(method):
    """The entry of the surrogate that a method uses, or None."""
    return plan_of_run.surrogate_entry(CONFIG, method)


@cache
def applying(dataset, model, method):
    """The metrics that apply to a method on a network: those that read stored curves, and the others."""
    return plan_of_run.metrics(CONFIG, NETWORKS[dataset, model], method)


def metrics(wildcards):
    """The metrics that a score job computes."""
    return applying(wildcards.dataset, wildcards.model, wildcards.method)[1]


def curves(wildcards):
    """The removal curves that a score job records."""
    of_curves, _ = applying(wildcards.dataset, wildcards.model, wildcards.method)
    return plan_of_run.curves(CONFIG, of_curves)


def variants(wildcards):
    """The same curves under other fills, which a score job records too."""
    of_curves, _ = applying(wildcards.dataset, wildcards.model, wildcards.method)
    return plan_of_run.variants(CONFIG, of_curves)


def each_cell(name):
    """One file for each network, method and seed."""
    return [
        f"{RUN}/{network.dataset}/{network.model}/seed-{seed}/{name.format(method=method)}"
        for network in CONFIG.networks
        for method in plan_of_run.methods(CONFIG, network)
        for seed in CONFIG.seeds_of(network.model)
    ]


def each_surrogate(name):
    """One file for each network, surrogate and seed."""
    return [
        f"{RUN}/{network.dataset}/{network.model}/seed-{seed}/{name.format(surrogate=surrogate)}"
        for network in CONFIG.networks
        for surrogate in network.surrogates
        for seed in CONFIG.seeds_of(network.model)
    ]


def plan():
    """Which methods and metrics apply to which network, and why the others do not."""
    return plan_of_run.applications(CONFIG)


def study_page():
    """The page of the run's study, which its report shows."""
    return [f"{RUN}/sentences.md"] if STUDY and HAS_REPORT else []


def page_sources():
    """Hashes of what no import leads to: the report's templates, styles, scripts, references."""
    return [sha256(path) for path in plan_of_run.pages()]


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
