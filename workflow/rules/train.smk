rule train:
    input:
        data=rules.prepare.output.data,
    output:
        network=f"{RUN}/{CELL}/model.safetensors",
        sidecar=f"{RUN}/{CELL}/model.json",
    log:
        f"{RUN}/logs/train/{CELL}.log",
    benchmark:
        f"{RUN}/benchmarks/train/{CELL}.tsv"
    priority: 3
    params:
        settings=lambda w: settings("model", w.model),
        code=lambda w: code("stages/train", entry("model", w)),
    message:
        "Training {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        SCRIPT
