"""How often 95 % intervals of agreement with planted truth hold it: a table of docs/statistics.md.

Made-up methods have a level by the truth and one by the metric. Each training moves both, and each
sample moves every score again. What is estimated is the mean over all trainings of Kendall's tau
between the levels; with one training, the tau of this training. Under two minutes on one core.

`python benchmarks/truth_coverage.py` prints one row for each size of a study.
"""

import numpy as np

from gpex_bench.statistics.truth import estimate, tau, tau_b

N_METHODS, N_SETS, N_TRAININGS = 14, 300, 2000
# networks, trainings, samples
SIZES = ((1, 1, 100), (1, 3, 32), (1, 3, 100), (4, 3, 100))
# standard deviations: of what a training does to a level, and of a score around it
NOISE = {"steady": (0.02, 0.2), "typical": (0.08, 0.3), "skewed": (0.08, 0.3)}


def levels(rng):
    """Return the levels of the methods by metric and truth, which agree in part."""
    truth = np.linspace(0, 1, N_METHODS)
    metric = 0.6 * truth + 0.4 * rng.permutation(truth)
    return np.stack([metric, truth])


def draw(rng, centre, kind, n_seeds, n_samples):
    """Return levels [2, seed, method] and scores [2, method, sample, seed] of one network."""
    spread = NOISE[kind]
    moved = centre[:, None] + rng.normal(0, spread[0], (2, n_seeds, N_METHODS))
    shape = (2, N_METHODS, n_samples, n_seeds)
    noise = rng.exponential(1, shape) - 1 if kind == "skewed" else rng.normal(0, 1, shape)
    # a sample is hard for a method under every training, and for each a little more
    shared = noise[..., :1]
    around = spread[1] * (0.8 * shared + 0.6 * noise)
    return moved, moved.transpose(0, 2, 1)[:, :, None, :] + around


def run(size, kind, rng):
    """Return whether the interval holds the tau, and how wide it is."""
    n_networks, n_seeds, n_samples = size
    goals, taus = [], []
    for network in range(n_networks):
        centre = levels(rng)
        moved, scores = draw(rng, centre, kind, n_seeds, n_samples)
        many = centre[:, None] + rng.normal(0, NOISE[kind][0], (2, N_TRAININGS, N_METHODS))
        goal = moved if n_seeds == 1 else many
        goals.append(tau_b(*goal).mean())
        taus.append(tau(*scores, key=f"{network}"))
    found = estimate(taus)
    return found.low <= np.mean(goals) <= found.high, found.high - found.low


def main():
    """Print the table."""
    print(
        "| networks | trainings | samples | scores | coverage | width |\n|---|---|---|---|---|---|"
    )
    for size in SIZES:
        for kind in NOISE:
            rng = np.random.default_rng(1)
            held, width = np.transpose([run(size, kind, rng) for _ in range(N_SETS)])
            row = (*size, kind, f"{100 * held.mean():.1f}", f"{width.mean():.2f}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
