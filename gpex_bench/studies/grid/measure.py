"""Agreement of surrogates with networks → one number per seed, and means for each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.studies.grid.expansion import PLACES, Setting
from gpex_bench.tables.columns import require

# the one statistic that is measured, not calculated: two runs give different ones
SECONDS = "fit_seconds"
KEYS = ("dataset", "model", "seed", "surrogate")
VALUES = (*KEYS, "split", "statistic", "value")
NO_SPLIT = ""


def values(agreement: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Return one number per network, seed, surrogate, split and statistic (`VALUES`).

    Statistics of head "all" are taken as they are. Those of single heads are averaged over the
    heads that have one. The seconds that a fit took are the statistic fit_seconds, without a split.
    """
    joint = agreement[agreement["head"] == "all"]

    is_joint = agreement["statistic"].isin(joint["statistic"].unique())
    is_single = agreement["head"] != "all"
    by_statistic = agreement[is_single & ~is_joint].groupby([*KEYS, "split", "statistic"])
    means = by_statistic["value"].mean().reset_index()

    seconds = costs.rename(columns={"wall_seconds": "value"})
    seconds = seconds.assign(split=NO_SPLIT, statistic=SECONDS)

    columns = list(VALUES)
    parts = [part[columns] for part in (joint, means, seconds) if len(part)]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)


def summarise(
    found: pd.DataFrame,
    grid: Sequence[Setting],
    *,
    statistics: Sequence[str],
    splits: Sequence[str],
    n_seeds: int,
) -> pd.DataFrame:
    """Return one row per setting, split and statistic: mean, 95 % interval and s.d. over the seeds.

    The interval is Student's t. The labels of the setting come first, then `id`, its run ids.

    Args:
        found: the frame of `values`.
        grid: the settings.
        statistics: which, in this order.
        splits: which, in this order; statistics without a split come once.
        n_seeds: how many were planned. A setting whose fits failed has fewer, or none and NaN.

    Raises:
        ValueError: a statistic was not calculated on any of the splits; names those that were.
    """
    require(found, VALUES, "values")
    wanted = [
        (split, name)
        for name in statistics
        for split in ((NO_SPLIT,) if name == SECONDS else splits)
    ]
    _check_known(wanted, found)

    groups = found.groupby([*PLACES, "split", "statistic"])["value"]
    samples = {key: numbers.dropna().to_numpy(float) for key, numbers in groups}
    rows = []
    for setting in grid:
        ids = (setting.dataset, setting.model, setting.surrogate)
        for split, name in wanted:
            sample = samples.get((*ids, split, name), np.empty(0))
            place = {"id": setting.id, "split": split, "statistic": name}
            rows.append({**setting.labels, **place, **_moments(sample), "n_seeds_planned": n_seeds})
    return pd.DataFrame(rows)


def _check_known(wanted: Sequence[tuple[str, str]], found: pd.DataFrame) -> None:
    """Raise ValueError if a statistic that is wanted was not calculated."""
    known = set(zip(found["split"], found["statistic"], strict=True))
    if all(split == NO_SPLIT for split, _ in known):
        return  # every fit failed, so that nothing is known

    for split, name in wanted:
        if (split, name) not in known:
            pairs = sorted(known, key=lambda pair: (pair[1], pair[0]))
            listed = ", ".join(f"{name} ({split})" if split else name for split, name in pairs)
            raise ValueError(
                f"grid.statistics: {name!r} is not known on the split {split!r}. Known: {listed}."
            )


def _moments(sample: np.ndarray) -> dict[str, float]:
    """Return mean, interval and s.d. of one number per seed."""
    n = len(sample)
    mean = float(sample.mean()) if n else math.nan
    sd = float(sample.std(ddof=1)) if n > 1 else math.nan

    error = sd / math.sqrt(max(n, 1))
    degrees = float(max(n - 1, 1))
    low, high = t_interval(mean, error, degrees)
    return {"mean": mean, "low": float(low), "high": float(high), "sd": sd, "n_seeds": n}
