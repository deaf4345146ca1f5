# The whole benchmark, stage by stage: data → train → fit → explain → score → aggregate → report.
# `snakemake --cores N` runs config/default.yaml; `--configfile FILE` runs another config instead of it.
from snakemake.utils import min_version

min_version("9.19")

if (
    not workflow.configfiles
):  # a --configfile replaces the default config, it is not merged into it

    configfile: f"{workflow.basedir}/config/default.yaml"


include: "workflow/rules/names.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/agree.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/draw.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/strict.smk"


if (
    STUDY
):  # the rules of the one study that the config has a section for; no other is read

    include: f"gpex_bench/studies/{STUDY}/rules.smk"


onstart:
    server.start()


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
        # the rule that answers a study's question has the study's name
        [getattr(rules, STUDY).input, getattr(rules, STUDY).output] if STUDY else [],
        f"{RUN}/strict.txt" if CONFIG.strict else [],
    message:
        f"All there: {' and '.join(SHOWN)}"
