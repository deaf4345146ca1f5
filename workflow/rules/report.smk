REFERENCES = os.path.relpath(PACKAGE.parent / "docs" / "references.bib")
NETWORK_TABLES = [f"scores_{dataset}_{model}" for dataset, model in NETWORKS]


rule aggregate:
    input:
        models=[
            f"{RUN}/{d}/{m}/seed-{seed}/model.safetensors"
            for d, m in NETWORKS
            for seed in CONFIG.seeds
        ],
        explanations=each_cell("explanations/{method}.safetensors"),
        scores=each_cell("scores/{method}.parquet"),
        curves=each_cell("curves/{method}.safetensors"),
        agreement=each_surrogate("agreement/{surrogate}.parquet"),
        predictions=each_surrogate("agreement/{surrogate}_predictions.parquet"),
        surrogates=each_surrogate("surrogates/{surrogate}.safetensors"),
    output:
        tables=expand(
            f"{RUN}/tables/{{name}}.{{ending}}",
            name=TABLES,
            ending=["parquet", "json"],
        ),
        texts=expand(
            f"{RUN}/tables/{{name}}.csv",
            name=[
                *CONCLUSIONS,
                "outcomes",
                "cells",
                "skipped",
                "networks",
                "agreement",
                "surrogates",
            ],
        ),
        papers=expand(
            f"{RUN}/tables/{{name}}.{{ending}}",
            name=NETWORK_TABLES,
            ending=["md", "tex"],
        ),
        costs=f"{RUN}/tables/costs.json",
        surrogate_costs=f"{RUN}/tables/surrogate_costs.json",
        cards=f"{RUN}/tables/cards.json",
    log:
        f"{RUN}/logs/aggregate.log",
    params:
        plan=plan(),
        headline=CONFIG.headline,
        settings=[settings("metric", metric) for metric in CONFIG.entries["metric"]],
        code=code("aggregate", *CONFIG.entries["metric"].values()),
    message:
        "Joining all cells into tables"
    script:
        SCRIPT


rule draw:
    input:
        data=[
            f"{RUN}/{dataset}/data.safetensors"
            for dataset in sorted({d for d, _ in NETWORKS})
        ],
        models=rules.aggregate.input.models,
        tables=rules.aggregate.output.tables,
        cards=rules.aggregate.output.cards,
        explanations=each_cell("explanations/{method}.safetensors"),
        surrogates=each_surrogate("surrogates/{surrogate}.safetensors"),
    output:
        figures=directory(f"{RUN}/figures"),
    log:
        f"{RUN}/logs/draw.log",
    params:
        headline=CONFIG.headline,
        code=[code("draw"), code("queries")],
    message:
        "Drawing the figures"
    script:
        SCRIPT


rule report:
    input:
        tables=rules.aggregate.output.tables,
        cards=rules.aggregate.output.cards,
        costs=rules.aggregate.output.costs,
        surrogate_costs=rules.aggregate.output.surrogate_costs,
        figures=rules.draw.output.figures,
        references=REFERENCES,
    output:
        report=report(f"{RUN}/report.html", category="Report"),
        summary=report(f"{RUN}/summary.md", category="Report"),
        ranking=f"{RUN}/ranking.tex",
        shown=directory(f"{RUN}/shown"),
    log:
        f"{RUN}/logs/report.log",
    params:
        headline=CONFIG.headline,
        configfile=CONFIGFILE,
        code=code("report"),
        tables_code=code("aggregate", *CONFIG.entries["metric"].values()),
        pages=page_sources(),
    message:
        "Writing the report"
    script:
        SCRIPT


rule strict:
    input:
        shown=SHOWN,
        surrogates=each_surrogate("surrogates/{surrogate}.safetensors"),
        tables=(
            expand(f"{RUN}/tables/{{name}}.parquet", name=["cells", "skipped"])
            if HAS_REPORT
            else []
        ),
    output:
        done=f"{RUN}/strict.txt",
    log:
        f"{RUN}/logs/strict.log",
    message:
        "Looking for failed fits, cells and metrics"
    script:
        SCRIPT
