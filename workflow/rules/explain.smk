# One job explains one network of every training seed with one method: importing torch costs more
# than many cells.
rule explain:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
        surrogates=surrogates,
    output:
        explanations=per_seed("explanations/{{method}}.safetensors"),
        sidecars=per_seed("explanations/{{method}}.json"),
    log:
        f"{RUN}/logs/explain/{{dataset}}/{{model}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/explain/{{dataset}}/{{model}}/{{method}}.tsv"
    wildcard_constraints:
        model=any_of(TRAINED),
    params:
        settings=lambda w: settings("method", w.method),
        limits=f"{CONFIG.explain.samples} samples, {CONFIG.explain.timeout_s} s",
        code=lambda w: code(
            "stages/explain",
            entry("method", w),
            entry("model", w),
            surrogate_entry(w.method),
        ),
    message:
        "Explaining {wildcards.model} on {wildcards.dataset} with {wildcards.method}"
    script:
        SCRIPT


if GIVEN:

    use rule explain as explain_given with:
        output:
            explanations=per_seed("explanations/{{method}}.safetensors", GIVEN_SEEDS),
            sidecars=per_seed("explanations/{{method}}.json", GIVEN_SEEDS),
        wildcard_constraints:
            model=any_of(GIVEN),
