# Only for configs with a section `grid`: the agreement of every setting becomes a table, a figure and a page.
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
        plan=repr(CONFIG.study),
        question=CONFIG.study.question,
        code=answer_code(),
    message:
        "Answering: {params.question}"
    script:
        STUDY_SCRIPT
