# Only for configs with a section `claims`: an ordinary run, whose stored scores are compared.
rule claims:
    input:
        scores=f"{RUN}/tables/scores.parquet",
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(tables=[], figures=["leads"]),
    log:
        f"{RUN}/logs/claims.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Comparing what the claims are about"
    script:
        STUDY_SCRIPT
