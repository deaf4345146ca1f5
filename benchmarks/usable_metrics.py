"""How often a metric counts as usable, by the effect of the best method: docs/statistics.md.

About four minutes on one core.

`python benchmarks/usable_metrics.py` prints three kinds of tables. In the first, 40 methods and
blind controls are random numbers alike, so that no metric should be usable. In the second, five of
40 methods differ from the controls by a stated effect. The others have the coverage of the
interval of an effect.
"""

import numpy as np

from gpex_bench.statistics import effects
from gpex_bench.statistics.informative import Roles, judge
from gpex_bench.statistics.units import Scale, Units
from gpex_bench.tables.words import USABLE
from gpex_bench.types import Role

N_METHODS, N_GOOD = 40, 5
N_SAMPLES = (16, 24, 32, 100, 300)
N_NULLS, N_VALID, N_SETS = 500, 100, 1000
METRIC = {"measures": "faithfulness", "blind_can_be_perfect": False}
NOISE = {  # of mean 0 and standard deviation 1
    "normal": lambda rng, shape: rng.normal(size=shape),
    "beta(5, 2)": lambda rng, shape: (rng.beta(5, 2, shape) - 5 / 7) / np.sqrt(10 / 49 / 8),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "minus exponential": lambda rng, shape: 1 - rng.exponential(size=shape),
}


def block(scores: np.ndarray, n_controls: int) -> Units:
    """Return scores [method, sample], of which the last rows are blind controls."""
    n_methods = len(scores)
    cube = scores[:, :, None]
    return Units(
        place=("d", "m", "metric"),
        scale=Scale(higher_is_better=True),
        methods=tuple(f"m{number}" for number in range(n_methods)),
        is_control=np.arange(n_methods) >= n_methods - n_controls,
        scores=cube,
        measured=cube,
        group=np.arange(n_methods),
    )


def roles(units: Units) -> Roles:
    """Return the roles of a block's controls."""
    blind = [name for name, control in zip(units.methods, units.is_control, strict=True) if control]
    return Roles(of_control=dict.fromkeys(blind, Role.RANDOM), changed={}, blind=frozenset(blind))


def is_usable(units: Units) -> bool:
    """Return whether the metric counts as usable."""
    return judge(units, METRIC, roles(units), None).use == USABLE


def null(rng: np.random.Generator, n_samples: int, n_controls: int) -> float:
    """Return the share of usable metrics where methods and controls are alike."""
    shape = (N_METHODS + n_controls, n_samples)
    found = [is_usable(block(rng.normal(size=shape), n_controls)) for _ in range(N_NULLS)]
    return float(np.mean(found))


def valid(rng: np.random.Generator, n_samples: int, size: float) -> float:
    """Return the share of usable metrics where the best methods have this effect.

    Three controls; what differs between a method and a control has standard deviation 1.
    """
    found = []
    for _ in range(N_VALID):
        scores = rng.normal(0, np.sqrt(0.5), (N_METHODS + 3, n_samples))
        scores[:N_GOOD] += size
        found.append(is_usable(block(scores, 3)))
    return float(np.mean(found))


def covered(rng: np.random.Generator, n_samples: int, size: float, law: str) -> float:
    """Return the share of intervals that hold the effect."""
    draws = NOISE[law](rng, (N_SETS, n_samples)) + size
    found = [effects.effect(row) for row in draws]
    return float(np.mean([one.low <= size <= one.high for one in found]))


def table(head: str, rows: dict[str, list[float]]) -> None:
    """Print a table with one column a number of samples, in per cent."""
    print(f"\n| {head} | " + " | ".join(str(n) for n in N_SAMPLES) + " |")
    print("|---" * (1 + len(N_SAMPLES)) + "|")
    for name, shares in rows.items():
        print(f"| {name} | " + " | ".join(f"{100 * share:.2f}" for share in shares) + " |")


def main() -> None:
    """Print the tables."""
    rng = np.random.default_rng(1)
    nulls = {
        f"{n_controls}": [null(rng, n, n_controls) for n in N_SAMPLES] for n_controls in (1, 2, 3)
    }
    table("controls, all alike", nulls)
    sizes = (0.3, 0.5, 0.8, 1.0, 1.2, 1.5)
    table("effect", {f"{size}": [valid(rng, n, size) for n in N_SAMPLES] for size in sizes})
    for size in (0.0, 0.5, 1.0):
        rows = {law: [covered(rng, n, size, law) for n in N_SAMPLES] for law in NOISE}
        table(f"coverage, effect {size}", rows)


if __name__ == "__main__":
    main()
