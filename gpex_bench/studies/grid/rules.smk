# Only for configs with a section `study`: the agreement of every setting becomes a table, a figure and sentences.
rule grid:
    input:
        agreement=each_surrogate("agreement/{surrogate}.parquet"),
        surrogates=each_surrogate("surrogates/{surrogate}.safetensors"),
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=[],
            figures=["figure"],
        ),
    log:
        f"{RUN}/logs/grid.log",
    params:
        study=repr(CONFIG.study),
        question=CONFIG.study.question if CONFIG.study else "",
        code=answer_code(),
    message:
        "Answering: {params.question}"
    script:
        STUDY_SCRIPT
