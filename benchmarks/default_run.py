"""Where the time of a finished run goes.

`python benchmarks/default_run.py results/RUN` prints Markdown tables: seconds by rule and network,
the dearest methods, the longest jobs, and how much of the cores stood idle in each tenth of the
run. `--against FILE`, a `jobs.csv` of an earlier run, such as results/published/default/jobs.csv,
adds ratios over the jobs that both runs have.

Seconds are those that Snakemake wrote for each job; when a job ended is the time of its file. Jobs
without such a file (prepare, aggregate, draw, report) are idle time here, as is Snakemake itself.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

N_TENTHS = 10


def jobs_of(run):
    """Return one row a job: rule, network, what, seconds, end."""
    rows = []
    for path in sorted((run / "benchmarks").rglob("*.tsv")):
        measured = pd.read_csv(path, sep="\t").iloc[0]
        row = _named(path.relative_to(run / "benchmarks").as_posix())
        rows.append(row | {"seconds": float(measured["s"]), "end": path.stat().st_mtime})
    return pd.DataFrame(rows)


def stored(path):
    """Return the same of a `jobs.csv`, without ends."""
    table = pd.read_csv(path)
    rows = [
        _named(job) | {"seconds": seconds}
        for job, seconds in table.itertuples(index=False, name=None)
    ]
    return pd.DataFrame(rows)


def _named(job):
    """Return what a job is about, by the name of its file."""
    rule, dataset, model, *_, last = job.removesuffix(".tsv").split("/")
    return {"job": job, "rule": rule, "network": f"{dataset}/{model}", "what": last}


def by_rule(jobs):
    """Return the seconds of each rule on each network."""
    return jobs.pivot_table(
        index="rule",
        columns="network",
        values="seconds",
        aggfunc="sum",
        margins=True,
        margins_name="all",
    )


def by_method(jobs, rule):
    """Return the seconds of one rule for each method on each network, dearest first."""
    table = jobs[jobs["rule"] == rule].pivot_table(
        index="what", columns="network", values="seconds", aggfunc="sum"
    )
    table["all"] = table.sum(axis=1)
    return table.sort_values("all", ascending=False)


def idle(jobs, cores):
    """Return the share of the cores without a job in each tenth of the run."""
    end = jobs["end"].to_numpy()
    start = end - jobs["seconds"].to_numpy()
    edges = np.linspace(start.min(), end.max(), N_TENTHS + 1)

    shares = []
    for low, high in zip(edges, edges[1:], strict=False):
        inside = np.minimum(end, high) - np.maximum(start, low)
        shares.append(1 - inside.clip(min=0).sum() / (cores * (high - low)))
    minutes = (edges[1:] - edges[0]) / 60
    return pd.DataFrame({"until minute": minutes, "idle": shares})


def ratios(jobs, before):
    """Return the seconds of both runs by rule, over the jobs that both have, and their ratio."""
    both = jobs.merge(before, on=["job", "rule"], suffixes=("", "_before"))
    table = both.groupby("rule")[["seconds", "seconds_before"]].sum()
    table.loc["all"] = table.sum()
    table["ratio"] = table["seconds"] / table["seconds_before"]
    table["jobs"] = [*both.groupby("rule").size(), len(both)]
    return table


def _show(title, table, digits=1):
    print(f"\n{title}\n\n{table.round(digits).to_markdown()}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("results/default"))
    parser.add_argument("--cores", type=int, default=2, help="how many jobs could run at a time")
    parser.add_argument("--against", type=Path, help="jobs.csv of an earlier run")
    parser.add_argument("--longest", type=int, default=15, help="rows of the lists")
    asked = parser.parse_args()

    jobs = jobs_of(asked.run)
    minutes = (jobs["end"].max() - (jobs["end"] - jobs["seconds"]).min()) / 60
    print(f"{len(jobs)} jobs, {jobs['seconds'].sum():.0f} seconds, in {minutes:.1f} minutes.")
    _show("Seconds by rule and network", by_rule(jobs))
    for rule in ("score", "explain"):
        _show(f"Dearest methods, {rule}", by_method(jobs, rule).head(asked.longest))
    longest = jobs.nlargest(asked.longest, "seconds")[["job", "seconds"]]
    _show("Longest jobs", longest.set_index("job"))
    _show("Share of the cores without a job", idle(jobs, asked.cores).set_index("until minute"), 2)
    if asked.against is not None:
        _show(f"Against {asked.against}", ratios(jobs, stored(asked.against)), 2)


if __name__ == "__main__":
    main()
