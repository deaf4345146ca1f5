# Only for configs with a section `debugging`: wrong training labels are shown and repaired, ranking against ranking.
rule repair:
    input:
        data=rules.prepare.output.data,
    output:
        curves=f"{RUN}/debugging/{CELL}.parquet",
        sidecar=f"{RUN}/debugging/{CELL}.json",
    log:
        f"{RUN}/logs/repair/{CELL}.log",
    benchmark:
        f"{RUN}/benchmarks/repair/{CELL}.tsv"
    params:
        plan=repr(CONFIG.study),
        settings=lambda w: [
            settings("model", w.model),
            *(
                settings("surrogate", name)
                for name in NETWORKS[w.dataset, w.model].surrogates
            ),
        ],
        code=lambda w: study_code(
            "measure",
            entry("model", w),
            *(
                CONFIG.entry("surrogate", name)
                for name in NETWORKS[w.dataset, w.model].surrogates
            ),
        ),
    message:
        "Repairing labels of {wildcards.dataset} for {wildcards.model}, seed {wildcards.seed}"
    script:
        STUDY_SCRIPT


rule debugging:
    input:
        curves=[
            f"{RUN}/debugging/{dataset}/{model}/seed-{seed}.parquet"
            for dataset, model in NETWORKS
            for seed in CONFIG.seeds
        ],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=["curves"],
            figures=[f"{dataset}_{model}" for dataset, model in NETWORKS],
        ),
    log:
        f"{RUN}/logs/debugging.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Comparing what finds wrong labels"
    script:
        STUDY_SCRIPT
