"""Made-up scores of one network for the tests of what can be concluded from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gpex_bench.tables.columns import SCORES
from gpex_bench.types import Role

ROLES = {
    "random": Role.RANDOM,
    "constant": Role.CONSTANT,
    "edges": Role.EDGES,
    "oracle": Role.ORACLE,
    "inverted_oracle": Role.INVERTED,
}


def table(
    scores: Mapping[str, np.ndarray], metric: str = "srg", dataset: str = "d", model: str = "m"
) -> pd.DataFrame:
    """Return the long frame of [sample, seed] arrays by method."""
    rows = [
        (dataset, model, seed, method, metric, sample, value)
        for method, values in scores.items()
        for (sample, seed), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(SCORES))


def methods(names: list[str]) -> list[dict]:
    """Return the records of methods.

    The names in ROLES are controls, all others are gradient methods.
    """
    records = []
    for name in names:
        is_inverted = name == "inverted_oracle"
        role = ROLES.get(name, Role.METHOD)
        records.append(
            {
                "method": name,
                "kind": "control" if name in ROLES else "gradient",
                "role": role.value,
                "of": "oracle" if is_inverted else "",
                "is_blind": role.is_blind,
            }
        )
    return records


def metrics(**higher_is_better: bool) -> list[dict]:
    """Return the records of metrics with a chance value of 0.

    `mass` is the share inside the planted truth, `mprt` is of randomisation, and a map that looks at
    nothing can be perfect by `steadiness`; all others are of faithfulness.
    """
    measures = {"mass": "truth", "mprt": "randomisation", "steadiness": "robustness"}
    return [
        {
            "metric": name,
            "measures": measures.get(name, "faithfulness"),
            "is_share_of_truth": name == "mass",
            "blind_can_be_perfect": name == "steadiness",
            "higher_is_better": up,
            "chance": 0.0,
        }
        for name, up in higher_is_better.items()
    ]


def made(
    quality: Mapping[str, float], n_samples: int = 40, n_seeds: int = 3, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return scores [sample, seed] of some quality.

    Samples differ, methods on a sample differ, seeds a little.
    """
    rng = np.random.default_rng(seed)
    sample = rng.normal(0, 0.2, (n_samples, 1))
    return {
        name: level
        + sample
        + rng.normal(0, 0.1, (n_samples, 1))
        + rng.normal(0, 0.05, (n_samples, n_seeds))
        for name, level in quality.items()
    }
