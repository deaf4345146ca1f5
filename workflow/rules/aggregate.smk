NETWORK_TABLES = [f"scores_{dataset}_{model}" for dataset, model in NETWORKS]


rule aggregate:
    input:
        models=[
            f"{RUN}/{d}/{m}/seed-{seed}/model.safetensors"
            for d, m in NETWORKS
            for seed in CONFIG.seeds_of(m)
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
                "fills",
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
        code=code("stages/aggregate", *CONFIG.entries["metric"].values()),
    message:
        "Joining all cells into tables"
    script:
        SCRIPT
