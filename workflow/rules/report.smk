TABLES = ("scores", "curves", "cells", "skipped", "outcomes", "agreement", "predictions")


rule aggregate:
    input:
        explanations=each_cell("explanations/{method}.safetensors"),
        scores=each_cell("scores/{method}.parquet"),
        curves=each_cell("curves/{method}.parquet"),
        agreement=each_surrogate("agreement/{surrogate}.parquet"),
        predictions=each_surrogate("agreement/{surrogate}_predictions.parquet"),
    output:
        expand(f"{RUN}/tables/{{name}}.{{ending}}", name=TABLES, ending=["parquet", "json"]),
        costs=f"{RUN}/tables/costs.json",
        cards=f"{RUN}/tables/cards.json",
    params:
        plan=lambda w: plan(),
        code=code("aggregate"),
    log:
        f"{RUN}/logs/aggregate.log",
    message:
        "Joining all cells into tables"
    script:
        SCRIPT
