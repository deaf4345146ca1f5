# One job compares one surrogate with one network of every training seed.
rule agree:
    input:
        data=rules.prepare.output.data,
        models=per_seed("model.safetensors"),
        surrogates=rules.fit.output.surrogates,
    output:
        agreement=per_seed("agreement/{{surrogate}}.parquet"),
        predictions=per_seed("agreement/{{surrogate}}_predictions.parquet"),
        sidecars=per_seed("agreement/{{surrogate}}.json")
        + per_seed("agreement/{{surrogate}}_predictions.json"),
    log:
        f"{RUN}/logs/agree/{{dataset}}/{{model}}/{{surrogate}}.log",
    benchmark:
        f"{RUN}/benchmarks/agree/{{dataset}}/{{model}}/{{surrogate}}.tsv"
    params:
        settings=lambda w: settings("surrogate", w.surrogate),
        code=lambda w: code("stages/agree", entry("surrogate", w), entry("model", w)),
    message:
        "Comparing {wildcards.surrogate} with {wildcards.model} on {wildcards.dataset}"
    script:
        SCRIPT
