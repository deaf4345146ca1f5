# One job scores one method on one network, so that its metrics share what is measured. Metrics that
# summarise removal curves are not scored here: `aggregate` computes them from the stored curves.
rule score:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
        surrogates=surrogates,
        explanations=of_network("explanations/{{method}}.safetensors"),
    output:
        scores=per_seed("scores/{{method}}.parquet"),
        curves=per_seed("curves/{{method}}.safetensors"),
        sidecars=per_seed("scores/{{method}}.json") + per_seed("curves/{{method}}.json"),
    log:
        f"{RUN}/logs/score/{{dataset}}/{{model}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/score/{{dataset}}/{{model}}/{{method}}.tsv"
    wildcard_constraints:
        model=any_of(TRAINED),
    params:
        metrics=metrics,
        curves=curves,
        variants=variants,
        settings=lambda w: [settings("metric", metric) for metric in metrics(w)],
        limits=repr(CONFIG.explain),
        code=lambda w: code(
            "stages/score",
            *(CONFIG.entry("metric", metric) for metric in metrics(w)),
            *(
                entry("method", w),
                entry("model", w),
                surrogate_entry(w.method),
            ),  # some metrics explain again
        ),
    message:
        "Scoring {wildcards.method} on {wildcards.model}, {wildcards.dataset}"
    script:
        SCRIPT


if GIVEN:

    use rule score as score_given with:
        output:
            scores=per_seed("scores/{{method}}.parquet", GIVEN_SEEDS),
            curves=per_seed("curves/{{method}}.safetensors", GIVEN_SEEDS),
            sidecars=per_seed("scores/{{method}}.json", GIVEN_SEEDS)
            + per_seed("curves/{{method}}.json", GIVEN_SEEDS),
        wildcard_constraints:
            model=any_of(GIVEN),
