# Only for configs with a section `references`: one job measures a network of every seed, one answers.
REFERENCE_CELLS = [f"{RUN}/{dataset}/{model}/references" for dataset, model in NETWORKS]


rule compare_references:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
    output:
        scores=f"{RUN}/{{dataset}}/{{model}}/references/scores.parquet",
        plausible=f"{RUN}/{{dataset}}/{{model}}/references/plausible.parquet",
        sidecars=multiext(
            f"{RUN}/{{dataset}}/{{model}}/references/",
            "scores.json",
            "plausible.json",
        ),
    log:
        f"{RUN}/logs/references/{{dataset}}/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/references/{{dataset}}/{{model}}.tsv"
    params:
        plan=repr(CONFIG.study),
        settings=[settings("method", name) for name in CONFIG.entries["method"]],
        limits=repr(CONFIG.explain),
        code=lambda w: study_code(
            "measure", entry("model", w), *CONFIG.entries["method"].values()
        ),
    message:
        "Comparing references on {wildcards.model}, {wildcards.dataset}"
    script:
        STUDY_SCRIPT


rule references:
    input:
        scores=[f"{cell}/scores.parquet" for cell in REFERENCE_CELLS],
        plausible=[f"{cell}/plausible.parquet" for cell in REFERENCE_CELLS],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=[
                "gains",
                "agreement",
                "plausibility",
                "headline",
                "headline_pairs",
            ],
            figures=["figure", "consistency"],
        ),
    log:
        f"{RUN}/logs/references.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "What a shared fill is worth"
    script:
        STUDY_SCRIPT
