# Only for configs with a section `interactions`: which share of what a network says is due to regions acting together.
rule decompose:
    input:
        data=rules.prepare.output.data,
        models=per_seed("model.safetensors"),
        every=lambda w: [
            f"{RUN}/{w.dataset}/{model}/seed-{seed}/model.safetensors"
            for dataset, model in NETWORKS
            if dataset == w.dataset
            for seed in CONFIG.seeds
        ],
    output:
        shares=[
            f"{RUN}/interactions/{{dataset}}/{{model}}/seed-{seed}.parquet"
            for seed in CONFIG.seeds
        ],
        sidecars=[
            f"{RUN}/interactions/{{dataset}}/{{model}}/seed-{seed}.json"
            for seed in CONFIG.seeds
        ],
    log:
        f"{RUN}/logs/decompose/{{dataset}}/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/decompose/{{dataset}}/{{model}}.tsv"
    params:
        plan=repr(CONFIG.study),
        code=study_code("measure"),
    message:
        "Decomposing what {wildcards.model} says of {wildcards.dataset}"
    script:
        STUDY_SCRIPT


rule interactions:
    input:
        shares=[
            f"{RUN}/interactions/{dataset}/{model}/seed-{seed}.parquet"
            for dataset, model in NETWORKS
            for seed in CONFIG.seeds
        ],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=["changes", "choices", "networks"],
            figures=list(dict.fromkeys(dataset for dataset, _ in NETWORKS)),
        ),
    log:
        f"{RUN}/logs/interactions.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Comparing interactions between networks"
    script:
        STUDY_SCRIPT
