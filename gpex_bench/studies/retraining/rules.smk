# Only for configs with a section `retraining`: networks are trained again without what a method points at, and on labels that
# mean nothing; one job for a method on a network and seed.
TWINS = f"{RUN}/{CELL}/retraining"


rule relabel:
    input:
        data=rules.prepare.output.data,
    output:
        original=f"{TWINS}/original.safetensors",
        sibling=f"{TWINS}/sibling.safetensors",
        permuted=f"{TWINS}/permuted.safetensors",
        sidecars=multiext(f"{TWINS}/", "original.json", "sibling.json", "permuted.json"),
    log:
        f"{RUN}/logs/relabel/{CELL}.log",
    benchmark:
        f"{RUN}/benchmarks/relabel/{CELL}.tsv"
    params:
        plan=repr(CONFIG.study),
        settings=lambda w: settings("model", w.model),
        code=lambda w: study_code("measure", entry("model", w)),
    message:
        "Training {wildcards.model} on right and on permuted labels of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        STUDY_SCRIPT


rule retrain:
    input:
        data=rules.prepare.output.data,
        original=rules.relabel.output.original,
        sibling=rules.relabel.output.sibling,
        permuted=rules.relabel.output.permuted,
    output:
        table=f"{TWINS}/{{method}}.parquet",
        sidecar=f"{TWINS}/{{method}}.json",
    log:
        f"{RUN}/logs/retrain/{CELL}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/retrain/{CELL}/{{method}}.tsv"
    params:
        plan=repr(CONFIG.study),
        settings=lambda w: [settings("model", w.model), settings("method", w.method)],
        code=lambda w: study_code("measure", entry("model", w), entry("method", w)),
    message:
        "Training {wildcards.model} without what {wildcards.method} points at, {wildcards.dataset}, seed {wildcards.seed}"
    script:
        STUDY_SCRIPT


rule retraining:
    input:
        cells=each_cell("retraining/{method}.parquet"),
        networks=[
            f"{RUN}/{dataset}/{model}/seed-{seed}/retraining/{name}.safetensors"
            for dataset, model in NETWORKS
            for seed in CONFIG.seeds
            for name in ("original", "sibling", "permuted")
        ],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=["curves", "networks"],
            figures=[f"{dataset}_{model}" for dataset, model in NETWORKS],
        ),
    log:
        f"{RUN}/logs/retraining.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Comparing what networks lose without what methods point at"
    script:
        STUDY_SCRIPT
