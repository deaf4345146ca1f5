# Only for configs with a section `metric_trust`: one job perturbs a network of every seed, one answers.
TRUST_CELLS = [f"{RUN}/{dataset}/{model}/metric_trust" for dataset, model in NETWORKS]


rule disturb:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
    output:
        scores=f"{RUN}/{{dataset}}/{{model}}/metric_trust/scores.parquet",
        perturbed=f"{RUN}/{{dataset}}/{{model}}/metric_trust/perturbed.parquet",
        sidecars=multiext(
            f"{RUN}/{{dataset}}/{{model}}/metric_trust/",
            "scores.json",
            "perturbed.json",
        ),
    log:
        f"{RUN}/logs/disturb/{{dataset}}/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/disturb/{{dataset}}/{{model}}.tsv"
    params:
        plan=repr(CONFIG.study),
        settings=[
            settings(kind, name)
            for kind in ("method", "metric")
            for name in CONFIG.entries[kind]
        ],
        samples=[CONFIG.explain.samples, CONFIG.explain.robustness_samples],
        code=lambda w: study_code(
            "measure",
            entry("model", w),
            *CONFIG.entries["method"].values(),
            *CONFIG.entries["metric"].values(),
        ),
    message:
        "Perturbing {wildcards.model} and its inputs, {wildcards.dataset}"
    script:
        STUDY_SCRIPT


rule metric_trust:
    input:
        scores=[f"{cell}/scores.parquet" for cell in TRUST_CELLS],
        perturbed=[f"{cell}/perturbed.parquet" for cell in TRUST_CELLS],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(tables=["ranking"], figures=["figure"]),
    log:
        f"{RUN}/logs/metric_trust.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Judging the metrics"
    script:
        STUDY_SCRIPT
