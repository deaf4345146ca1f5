# One job compares one surrogate with one network of every training seed.
rule agree:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
        surrogates=of_network("surrogates/{{surrogate}}.safetensors"),
    output:
        agreement=per_seed("agreement/{{surrogate}}.parquet"),
        predictions=per_seed("agreement/{{surrogate}}_predictions.parquet"),
        sidecars=per_seed("agreement/{{surrogate}}.json")
        + per_seed("agreement/{{surrogate}}_predictions.json"),
    log:
        f"{RUN}/logs/agree/{{dataset}}/{{model}}/{{surrogate}}.log",
    benchmark:
        f"{RUN}/benchmarks/agree/{{dataset}}/{{model}}/{{surrogate}}.tsv"
    wildcard_constraints:
        model=any_of(TRAINED),
    params:
        settings=lambda w: settings("surrogate", w.surrogate),
        code=lambda w: code("stages/agree", entry("surrogate", w), entry("model", w)),
    message:
        "Comparing {wildcards.surrogate} with {wildcards.model} on {wildcards.dataset}"
    script:
        SCRIPT


if GIVEN:

    use rule agree as agree_given with:
        output:
            agreement=per_seed("agreement/{{surrogate}}.parquet", GIVEN_SEEDS),
            predictions=per_seed(
                "agreement/{{surrogate}}_predictions.parquet", GIVEN_SEEDS
            ),
            sidecars=per_seed("agreement/{{surrogate}}.json", GIVEN_SEEDS)
            + per_seed("agreement/{{surrogate}}_predictions.json", GIVEN_SEEDS),
        wildcard_constraints:
            model=any_of(GIVEN),
