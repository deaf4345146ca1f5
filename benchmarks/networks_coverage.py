"""How often intervals over networks hold the mean, and how often methods are wrongly called better.

`python benchmarks/networks_coverage.py results/published/networks_coverage` writes a page with four
tables, each as CSV, and where they come from: about ten minutes on one core. With the names of some
parts (coverage, networks, variants, random) behind the folder it makes these, and keeps the others;
with the name of a network (digits, table) on this one alone.
"""

import json
import sys
from pathlib import Path

import networks_nulls
import numpy as np
import pandas as pd
import real_scores
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from gpex_bench.run import provenance
from gpex_bench.statistics.intervals import t_interval
from gpex_bench.statistics.overall import LEAST_NETWORKS, across

N_SETS = 6000
N_LIBRARY = 100  # of them, on which the intervals of the library are tried
N_RESAMPLES = 400

# What the mean differences of two methods over networks are like: mean 0, standard deviation 1.
SPREAD = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewness 1": lambda rng, shape: (rng.gamma(4, size=shape) - 4) / 2,
    "skewness 2": lambda rng, shape: rng.exponential(size=shape) - 1,
}
# Networks, and how many datasets they are on.
DESIGNS = [(3, 3), (6, 6), (6, 3), (6, 1), (10, 10), (10, 5), (10, 3), (20, 20), (20, 6), (20, 3)]
OF_DATASET = 0.5  # share of the variance that networks on one dataset have in common
ERRORS = (0.1, 0.8)  # standard errors from samples, in standard deviations between networks

TITLES = {
    "coverage": "Coverage of 95 % intervals over networks, in per cent",
    "networks": "Wrong claims over networks, in per cent of runs, where all methods are equal",
    "variants": "Wrong claims over fills and outputs on one network, in per cent of runs",
    "random": "Runs in which every method is a random map, with another seed each",
}


def datasets(n_networks, n_datasets):
    """Return the dataset of each network; the first half of the datasets have the more networks."""
    n_large = (n_datasets + 1) // 2
    more = np.arange(n_networks - n_datasets) % n_large
    return np.sort(np.concatenate([np.arange(n_datasets), more]))


def coverage():
    """Return how often each interval holds the mean."""
    rows = []
    for n_networks, n_datasets in DESIGNS:
        dataset = datasets(n_networks, n_datasets)
        for name, draw in SPREAD.items():
            rng = np.random.default_rng([n_networks, n_datasets])
            share = OF_DATASET if n_datasets < n_networks else 0.0
            common = draw(rng, (n_datasets, N_SETS)) * np.sqrt(share)
            own = draw(rng, (n_networks, N_SETS)) * np.sqrt(1 - share)
            error = rng.uniform(*ERRORS, (n_networks, 1))
            values = common[dataset] + own + error * rng.normal(size=own.shape)

            # One or two datasets are taken as given: the interval is about networks on these.
            truth = common.mean(0) if n_datasets < 3 else np.zeros(N_SETS)
            kinds = intervals(values, dataset, error, truth)
            rows.append({"networks": n_networks, "datasets": n_datasets, "spread": name} | kinds)
    return pd.DataFrame(rows)


def intervals(values, dataset, error, truth):
    """Return the coverage of each kind of interval; None where there is none."""
    n_networks = len(values)
    ours = None
    if n_networks >= LEAST_NETWORKS:
        ours = held(across(values, dataset).means.interval, truth)

    plain = t_interval(values.mean(0), stats.sem(values, axis=0), n_networks - 1)
    few = values[:, :N_LIBRARY]
    weighted = [
        combine_effects(one, error[:, 0] ** 2, method_re="iterated", use_t=True) for one in few.T
    ]
    ends = np.array([one.conf_int(use_t=True)[3] for one in weighted]).T
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, n_networks, (N_RESAMPLES, n_networks))
    bootstrap = np.quantile(few[drawn].mean(1), [0.025, 0.975], axis=0)
    return {
        "in use": ours,
        "t over networks": held(plain, truth),
        "Paule-Mandel, Hartung-Knapp": held(ends, truth[:N_LIBRARY]),
        "bootstrap of networks": held(bootstrap, truth[:N_LIBRARY]),
    }


def held(ends, truth):
    """Return the percentage of intervals that hold the truth."""
    low, high = ends
    return 100 * float(np.mean((low <= truth) & (truth <= high)))


PARTS = {
    "coverage": lambda on: coverage(),
    "networks": lambda on: networks_nulls.over_networks(),
    "variants": networks_nulls.over_variants,
    "random": networks_nulls.random_runs,
}


def main(folder, *words):
    """Write some parts, or all, into a folder, and the page of all that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in words if name in PARTS] or list(PARTS)
    on = [name for name in words if name in real_scores.NETWORKS] or list(real_scores.NETWORKS)
    for name in wanted:
        PARTS[name](on).to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")

    here = Path(__file__).parent
    names = ("networks_coverage.py", "networks_nulls.py", "real_scores.py")
    path = folder / "provenance.json"
    before = json.loads(path.read_text())["commands"] if path.is_file() else {}
    command = " ".join(["python benchmarks/networks_coverage.py FOLDER", *words])
    record = {
        "commands": before | dict.fromkeys(wanted, command),
        "code": provenance.commit()
        | {"fingerprint": provenance.fingerprint(*(here / name for name in names))},
        "environment": provenance.environment() | {"threads": 1},
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    there = {name: folder / f"{name}.csv" for name in PARTS}
    tables = {name: pd.read_csv(path) for name, path in there.items() if path.is_file()}
    (folder / "README.md").write_text(page(tables, record))


def page(tables, record):
    """Return the page: every table, and where it comes from."""
    parts = ["# Claims over networks and over fills: how often they are wrong"]
    for name, table in tables.items():
        parts.append(f"## {TITLES[name]}")
        parts.append(markdown(table))

    code, machine = record["code"], record["environment"]
    commands = ", ".join(f"`{one}`" for one in dict.fromkeys(record["commands"].values()))
    parts.append(
        f"{commands}; one thread of {machine['processor']}, Python {machine['python']}; "
        f"commit {str(code['commit'])[:12]}{', with changes' if code['dirty'] else ''}, code "
        f"{code['fingerprint']}. {N_SETS} sets, of which {N_LIBRARY} for the last two columns of "
        "coverage; two standard errors of 6000 are 0.6, of 100 4.4."
    )
    return "\n\n".join(parts) + "\n"


def markdown(table):
    """Write a table; a missing interval is "none"."""
    heads = list(table.columns)
    lines = [heads, ["---"] * len(heads)]
    for row in table.itertuples(index=False):
        lines.append([cell(entry) for entry in row])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(entry):
    """Write an entry of a table."""
    if isinstance(entry, float):
        return "none" if np.isnan(entry) else f"{entry:g}" if entry < 1 else f"{entry:.1f}"
    return str(entry)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
