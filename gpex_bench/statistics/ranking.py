"""Places of the methods on one network by their mean score: a description, and no claim.

What is said of two methods comes from `pairs`, and of all of them from `headline`: the order of
means, and so a place, also depends on who takes part.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from gpex_bench.statistics.units import Units, rounded, sample_means
from gpex_bench.tables.columns import PLACE, RANKING


def places(units: Units) -> Int[np.ndarray, "method"]:
    """Return the place of each method and control: one more than the methods with a better mean.

    Methods with the same scores count once, and controls move nobody.
    """
    by_sample = sample_means(units.distinct)
    known = np.isfinite(by_sample)
    total = np.where(known, by_sample, 0.0).sum(1)
    means = total / np.maximum(known.sum(1), 1)
    means = rounded(means, units.scale.resolution)

    of_methods = means[units.has_method]
    place = 1 + (of_methods[None] > means[:, None]).sum(1)
    return place[units.group].astype(np.int64)


def table(units: Units) -> pd.DataFrame:
    """Return one row for each method, then one for each control, by place."""
    rows = pd.DataFrame({"method": units.methods, "place": places(units)})
    rows = rows.assign(
        n_methods=int(units.has_method.sum()),
        is_control=units.is_control,
        **dict(zip(PLACE, units.place, strict=True)),
    )
    in_order = rows.sort_values(["is_control", "place", "method"], kind="stable")
    return in_order[list(RANKING)].reset_index(drop=True)
