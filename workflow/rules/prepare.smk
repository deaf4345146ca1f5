rule prepare:
    output:
        data=f"{RUN}/{{dataset}}/data.safetensors",
        sidecar=f"{RUN}/{{dataset}}/data.json",
    log:
        f"{RUN}/logs/prepare/{{dataset}}.log",
    priority: 3
    params:
        settings=lambda w: settings("dataset", w.dataset),
        code=lambda w: code("stages/prepare", entry("dataset", w)),
    message:
        "Preparing {wildcards.dataset}"
    script:
        SCRIPT
