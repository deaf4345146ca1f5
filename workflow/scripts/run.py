"""Runs the job of a rule; see gpex_bench/jobs/."""

from gpex_bench import job_server

job_server.run(snakemake)  # noqa: F821 - Snakemake puts this object into scripts
