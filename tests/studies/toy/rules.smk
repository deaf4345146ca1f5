# Only for configs with a section `toy`: the accuracies of the networks.
rule toy:
    input:
        models=[
            f"{RUN}/{dataset}/{model}/seed-{seed}/model.safetensors"
            for dataset, model in NETWORKS
            for seed in CONFIG.seeds
        ],
    output:
        table=f"{RUN}/table.csv",
        others=answer_files(figures=["figure"]),
    log:
        f"{RUN}/logs/toy.log",
    params:
        plan=repr(CONFIG.study),
        code=answer_code(),
    message:
        "Counting what is right"
    script:
        STUDY_SCRIPT
