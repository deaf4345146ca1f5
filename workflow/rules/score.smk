# One job computes all scores of one method on one network, so that they share removal curves.
rule score:
    input:
        data=rules.prepare.output.data,
        models=per_seed("model.safetensors"),
        surrogates=surrogates,
        explanations=rules.explain.output.explanations,
    output:
        scores=per_seed("scores/{{method}}.parquet"),
        curves=per_seed("curves/{{method}}.parquet"),
        sidecars=per_seed("scores/{{method}}.json") + per_seed("curves/{{method}}.json"),
    log:
        f"{RUN}/logs/score/{{dataset}}/{{model}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/score/{{dataset}}/{{model}}/{{method}}.tsv"
    params:
        metrics=metrics,
        settings=lambda w: [settings("metric", metric) for metric in metrics(w)],
        limits=f"{CONFIG.explain.robustness_samples} samples explained again, {CONFIG.explain.timeout_s} s",
        code=lambda w: code(
            "score",
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
