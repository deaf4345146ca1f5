# Only for configs with a section `budget`: each method at several budgets; one job for a method on a network.
BUDGET_CELLS = [
    f"{RUN}/{network.dataset}/{network.model}/budget/{method}"
    for network in CONFIG.networks
    for method in plan_of_run.methods(CONFIG, network)
]
BUDGET_FIGURES = ["faithfulness", "stability"] + ["convergence"] * any(
    hasattr(CONFIG.method(method), "evolve") for method in CONFIG.entries["method"]
)


rule spend:
    input:
        data=rules.prepare.output.data,
        models=of_network("model.safetensors"),
    output:
        runs=f"{RUN}/{{dataset}}/{{model}}/budget/{{method}}/runs.parquet",
        scores=f"{RUN}/{{dataset}}/{{model}}/budget/{{method}}/scores.parquet",
        stability=f"{RUN}/{{dataset}}/{{model}}/budget/{{method}}/stability.parquet",
        convergence=f"{RUN}/{{dataset}}/{{model}}/budget/{{method}}/convergence.parquet",
        sidecars=multiext(
            f"{RUN}/{{dataset}}/{{model}}/budget/{{method}}/",
            "runs.json",
            "scores.json",
            "stability.json",
            "convergence.json",
        ),
    log:
        f"{RUN}/logs/spend/{{dataset}}/{{model}}/{{method}}.log",
    benchmark:
        f"{RUN}/benchmarks/spend/{{dataset}}/{{model}}/{{method}}.tsv"
    params:
        plan=repr(CONFIG.study),
        settings=lambda w: [
            settings("method", w.method),
            settings("metric", CONFIG.headline),
        ],
        samples=CONFIG.explain.samples,
        code=lambda w: study_code(
            "measure",
            entry("method", w),
            entry("model", w),
            CONFIG.entry("metric", CONFIG.headline),
        ),
    message:
        "Trying budgets of {wildcards.method} on {wildcards.model}, {wildcards.dataset}"
    script:
        STUDY_SCRIPT


rule budget:
    input:
        runs=[f"{cell}/runs.parquet" for cell in BUDGET_CELLS],
        scores=[f"{cell}/scores.parquet" for cell in BUDGET_CELLS],
        stability=[f"{cell}/stability.parquet" for cell in BUDGET_CELLS],
        convergence=[f"{cell}/convergence.parquet" for cell in BUDGET_CELLS],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=["curves", "stability", "convergence"],
            figures=[
                f"{dataset}_{model}_{figure}"
                for dataset, model in NETWORKS
                for figure in BUDGET_FIGURES
            ],
        ),
    log:
        f"{RUN}/logs/budget.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Comparing faithfulness, rows and seconds"
    script:
        STUDY_SCRIPT
