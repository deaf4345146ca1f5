# The whole benchmark, stage by stage. It is in workflow/, which an installed package has too.
include: "workflow/Snakefile"


# Snakemake takes no default target from an included file.
workflow.default_target = "all"
