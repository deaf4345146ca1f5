# Only for configs with a section `truth`: an ordinary run on planted evidence, whose scores are compared with it.
rule intervene:
    input:
        data=rules.prepare.output.data,
        models=per_seed("model.safetensors"),
    output:
        used=per_seed("used.parquet"),
        sidecars=per_seed("used.json"),
    log:
        f"{RUN}/logs/intervene/{{dataset}}/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/intervene/{{dataset}}/{{model}}.tsv"
    params:
        settings=lambda w: settings("dataset", w.dataset),
        code=lambda w: study_code("measure", entry("dataset", w), entry("model", w)),
    message:
        "Changing what {wildcards.model} sees of {wildcards.dataset}"
    script:
        STUDY_SCRIPT


rule truth:
    input:
        scores=f"{RUN}/tables/scores.parquet",
        variant_scores=f"{RUN}/tables/variant_scores.parquet",
        cards=f"{RUN}/tables/cards.json",
        used=[
            f"{RUN}/{dataset}/{model}/seed-{seed}/used.parquet"
            for dataset, model in NETWORKS
            for seed in CONFIG.seeds
        ],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(tables=["agreement", "networks"], figures=["figure"]),
    log:
        f"{RUN}/logs/truth.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Comparing faithfulness scores with planted truth"
    script:
        STUDY_SCRIPT
