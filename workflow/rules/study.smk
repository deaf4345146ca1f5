# Only for configs with a section `study`: the agreement of every setting becomes a table, a figure and sentences.
rule study:
    input:
        agreement=each_surrogate("agreement/{surrogate}.parquet"),
        surrogates=each_surrogate("surrogates/{surrogate}.safetensors"),
    output:
        table=f"{RUN}/study/table.csv",
        others=multiext(
            f"{RUN}/study/",
            "table.json",
            "table.md",
            "sentences.md",
            "figure.svg",
            "figure.png",
            "figure.csv",
        ),
    log:
        f"{RUN}/logs/study.log",
    params:
        study=repr(CONFIG.study),
        question=CONFIG.study.question if CONFIG.study else "",
        code=code("study"),
    message:
        "Answering: {params.question}"
    script:
        SCRIPT
