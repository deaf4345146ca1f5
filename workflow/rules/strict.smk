rule strict:
    input:
        shown=SHOWN,
        surrogates=each_surrogate("surrogates/{surrogate}.safetensors"),
        tables=(
            expand(f"{RUN}/tables/{{name}}.parquet", name=["cells", "skipped"])
            if HAS_REPORT
            else []
        ),
        figures=rules.draw.output.figures if HAS_REPORT else [],
    output:
        done=f"{RUN}/strict.txt",
    log:
        f"{RUN}/logs/strict.log",
    message:
        "Looking for failed fits, cells and metrics"
    script:
        SCRIPT
