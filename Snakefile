# The whole benchmark, stage by stage: data → train → fit → explain → score → aggregate → report.
# `snakemake --cores N` runs config/default.yaml; `--configfile FILE` runs another config instead of it.
from snakemake.utils import min_version

min_version("9.19")

# A --configfile replaces the default config, it is not merged into it.
if not workflow.configfiles:

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


# The rules of the study that the config has a section for; those of other studies are not read.
if STUDY:

    include: f"gpex_bench/studies/{STUDY}/rules.smk"


onstart:
    server.start()


# Every file that a run writes, so that a deleted one is made again.
rule all:
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
        # the rule that answers the question of a study has the study's name
        [getattr(rules, STUDY).input, getattr(rules, STUDY).output] if STUDY else [],
        f"{RUN}/strict.txt" if CONFIG.strict else [],
    message:
        f"All there: {' and '.join(SHOWN)}"
