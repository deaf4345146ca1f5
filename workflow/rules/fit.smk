# One job fits one surrogate to one network of every training seed: importing torch costs more than
# many fits.
rule fit:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
    output:
        surrogates=per_seed("surrogates/{{surrogate}}.safetensors"),
        sidecars=per_seed("surrogates/{{surrogate}}.json"),
    log:
        f"{RUN}/logs/fit/{{dataset}}/{{model}}/{{surrogate}}.log",
    benchmark:
        f"{RUN}/benchmarks/fit/{{dataset}}/{{model}}/{{surrogate}}.tsv"
    wildcard_constraints:
        model=any_of(TRAINED),
    priority: 2
    params:
        settings=lambda w: settings("surrogate", w.surrogate),
        code=lambda w: code("stages/fit", entry("surrogate", w), entry("model", w)),
    message:
        "Fitting {wildcards.surrogate} to {wildcards.model} on {wildcards.dataset}"
    script:
        SCRIPT


if GIVEN:

    use rule fit as fit_given with:
        output:
            surrogates=per_seed("surrogates/{{surrogate}}.safetensors", GIVEN_SEEDS),
            sidecars=per_seed("surrogates/{{surrogate}}.json", GIVEN_SEEDS),
        wildcard_constraints:
            model=any_of(GIVEN),
