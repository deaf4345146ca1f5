"""How often 95 % intervals of a mean hold the mean: the table of docs/statistics.md.

About a minute on one core.

`python benchmarks/interval_coverage.py` prints one row for each number of samples and distribution
of scores.
"""

import numpy as np

from gpex_bench.statistics.bootstrap import (
    bca_interval,
    counts,
    percentile_interval,
    resampled_means,
)

N_SETS, N_RESAMPLES = 6000, 2000
SCORES = {  # draws, and their mean
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "beta(5, 2)": (lambda rng, shape: rng.beta(5, 2, shape), 5 / 7),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal": (lambda rng, shape: rng.lognormal(size=shape), np.exp(0.5)),
}


def coverage(ends, mean):
    """Return the percentage of intervals that hold the mean."""
    return 100 * np.mean((ends[0] <= mean) & (mean <= ends[1]))


def main():
    """Print the table."""
    print("| samples | scores | expanded percentile | percentile | BCa |\n|---|---|---|---|---|")
    for n in (12, 50, 500):
        for name, (draw, mean) in SCORES.items():
            x = draw(np.random.default_rng(1), (n, N_SETS))
            means = resampled_means(x, counts("cover", n, N_RESAMPLES))
            kinds = (
                percentile_interval(means, n),
                np.quantile(means, [0.025, 0.975], axis=0),
                bca_interval(x, means),
            )
            print(
                f"| {n} | {name} | "
                + " | ".join(f"{coverage(ends, mean):.1f}" for ends in kinds)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
