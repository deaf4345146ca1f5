"""Runs the job of a rule; see gpex_bench/run/."""

from gpex_bench.run import server

server.run(snakemake)  # noqa: F821 - Snakemake puts this object into scripts
