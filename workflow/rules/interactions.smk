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
        plan=repr(CONFIG.interactions),
        code=code("decompose"),
    message:
        "Decomposing what {wildcards.model} says of {wildcards.dataset}"
    script:
        SCRIPT


rule interactions:
    input:
        shares=[
            f"{RUN}/interactions/{dataset}/{model}/seed-{seed}.parquet"
            for dataset, model in NETWORKS
            for seed in CONFIG.seeds
        ],
    output:
        table=f"{RUN}/interactions/table.csv",
        others=multiext(
            f"{RUN}/interactions/",
            "table.json",
            "changes.csv",
            "choices.csv",
            "networks.csv",
            "sentences.md",
        ),
        figures=expand(
            f"{RUN}/interactions/{{dataset}}.{{ending}}",
            dataset=list(dict.fromkeys(dataset for dataset, _ in NETWORKS)),
            ending=["svg", "png", "csv"],
        ),
    log:
        f"{RUN}/logs/interactions.log",
    params:
        plan=repr(CONFIG.interactions),
        code=code("interactions"),
    message:
        "Comparing interactions between networks"
    script:
        SCRIPT
