# Only for configs with a section `variance`: an ordinary run, whose stored scores are split by source.
from gpex_bench.studies.variance.plan import places as repeated_networks


rule variance:
    input:
        scores=f"{RUN}/tables/scores.parquet",
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(
            tables=[],
            figures=[
                f"{dataset}_{model}" for dataset, model in repeated_networks(CONFIG)
            ],
        ),
    log:
        f"{RUN}/logs/variance.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Splitting the variance of the scores"
    script:
        STUDY_SCRIPT
