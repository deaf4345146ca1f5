# One job fits one surrogate to one network of every training seed, and one compares them: importing torch costs more than
# many fits.
rule fit:
    input:
        data=rules.prepare.output.data,
        models=per_seed("model.safetensors"),
    output:
        surrogates=per_seed("surrogates/{{surrogate}}.safetensors"),
        sidecars=per_seed("surrogates/{{surrogate}}.json"),
    log:
        f"{RUN}/logs/fit/{{dataset}}/{{model}}/{{surrogate}}.log",
    benchmark:
        f"{RUN}/benchmarks/fit/{{dataset}}/{{model}}/{{surrogate}}.tsv"
    params:
        settings=lambda w: settings("surrogate", w.surrogate),
        code=lambda w: code("fit", entry("surrogate", w), entry("model", w)),
    message:
        "Fitting {wildcards.surrogate} to {wildcards.model} on {wildcards.dataset}"
    script:
        SCRIPT


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
        code=lambda w: code("agree", entry("surrogate", w), entry("model", w)),
    message:
        "Comparing {wildcards.surrogate} with {wildcards.model} on {wildcards.dataset}"
    script:
        SCRIPT
