rule fit:
    input:
        data=rules.prepare.output.data,
        network=rules.train.output.network,
    output:
        surrogate=f"{RUN}/{CELL}/surrogates/{{surrogate}}.safetensors",
        sidecar=f"{RUN}/{CELL}/surrogates/{{surrogate}}.json",
    log:
        f"{RUN}/logs/fit/{CELL}/{{surrogate}}.log",
    benchmark:
        f"{RUN}/benchmarks/fit/{CELL}/{{surrogate}}.tsv"
    params:
        settings=lambda w: settings("surrogate", w.surrogate),
        code=lambda w: code("fit", entry("surrogate", w), entry("model", w)),
    message:
        "Fitting {wildcards.surrogate} to {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        SCRIPT


rule agree:
    input:
        data=rules.prepare.output.data,
        network=rules.train.output.network,
        surrogate=rules.fit.output.surrogate,
    output:
        agreement=f"{RUN}/{CELL}/agreement/{{surrogate}}.parquet",
        predictions=f"{RUN}/{CELL}/agreement/{{surrogate}}_predictions.parquet",
        sidecars=multiext(
            f"{RUN}/{CELL}/agreement/{{surrogate}}", ".json", "_predictions.json"
        ),
    log:
        f"{RUN}/logs/agree/{CELL}/{{surrogate}}.log",
    params:
        settings=lambda w: settings("surrogate", w.surrogate),
        code=lambda w: code("agree", entry("surrogate", w), entry("model", w)),
    message:
        "Comparing {wildcards.surrogate} with {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        SCRIPT
