rule report:
    input:
        tables=rules.aggregate.output.tables,
        cards=rules.aggregate.output.cards,
        costs=rules.aggregate.output.costs,
        surrogate_costs=rules.aggregate.output.surrogate_costs,
        figures=rules.draw.output.figures,
        study=study_page(),
    output:
        report=report(f"{RUN}/report.html", category="Report"),
        summary=report(f"{RUN}/summary.md", category="Report"),
        ranking=f"{RUN}/ranking.tex",
        shown=directory(f"{RUN}/shown"),
    log:
        f"{RUN}/logs/report.log",
    params:
        headline=CONFIG.headline,
        command=f"snakemake --cores all --configfile {CONFIGFILE}",
        code=code("stages/report"),
        tables_code=code("stages/aggregate", *CONFIG.entries["metric"].values()),
        pages=page_sources(),
    message:
        "Writing the report"
    script:
        SCRIPT
