# The whole benchmark, stage by stage: data → train → fit → explain → score → aggregate → report.
# `snakemake --cores N` runs config/default.yaml; `--configfile FILE` runs another config instead of it.
from snakemake.utils import min_version

min_version("9.19")

if (
    not workflow.configfiles
):  # a --configfile replaces the default config, it is not merged into it

    configfile: f"{workflow.basedir}/config/default.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/debugging.smk"
include: "workflow/rules/interactions.smk"
include: "workflow/rules/budget.smk"
include: "workflow/rules/retraining.smk"


onstart:
    job_server.start()


rule all:  # every file a run leaves, so that one that is deleted is made again
    default_target: True
    input:
        [
            rules.aggregate.input,
            rules.aggregate.output,
            rules.draw.input,
            rules.draw.output,
            rules.report.output,
        ]
        if HAS_REPORT
        else [],
        [rules.study.input, rules.study.output] if CONFIG.study else [],
        [rules.debugging.input, rules.debugging.output] if CONFIG.debugging else [],
        [rules.interactions.input, rules.interactions.output]
        if CONFIG.interactions
        else [],
        [rules.budget.input, rules.budget.output] if CONFIG.budget else [],
        [rules.retraining.input, rules.retraining.output] if CONFIG.retraining else [],
        f"{RUN}/strict.txt" if CONFIG.strict else [],
    message:
        f"All there: {' and '.join(SHOWN)}"
