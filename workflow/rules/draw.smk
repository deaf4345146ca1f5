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
        code=[
            code("stages/draw/contrast"),
            code("stages/draw/galleries"),
            code("stages/draw/scores"),
            code("stages/queries"),
        ],
    message:
        "Drawing the figures"
    script:
        SCRIPT
