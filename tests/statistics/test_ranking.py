"""Places on one network: by hand, with controls and copies, and under other names."""

import numpy as np
import pandas as pd
import pytest

from gpex_bench.statistics import ranking
from gpex_bench.statistics.units import Units, units
from tests.vocabulary import scores

QUALITY = {"ig": 0.60, "gxi": 0.58, "lrp": 0.5, "lime": 0.3, "random": 0.9}


def block(made: dict[str, np.ndarray], up: bool = True) -> Units:
    controls = [name for name in made if name in scores.ROLES]
    (found,) = units(scores.table(made), {"srg": up}, controls)
    return found


def table(made: dict[str, np.ndarray], up: bool = True) -> pd.DataFrame:
    return ranking.table(block(made, up)).set_index("method")


def levels(**means: float) -> dict[str, np.ndarray]:
    return {name: np.full((4, 2), mean) for name, mean in means.items()}


@pytest.mark.parametrize("up", [True, False])
def test_places_by_hand(up: bool) -> None:
    made = levels(a=3.0, b=1.0, c=2.0, d=2.0, e=2.0 + 1e-13, random=2.5)
    if not up:
        made = {name: -values for name, values in made.items()}
    rows = table(made, up)
    # `c`, `d` and `e` have the same scores but for rounding, and count once
    assert rows["place"].to_dict() == {"a": 1, "c": 2, "d": 2, "e": 2, "b": 3, "random": 2}
    assert set(rows["n_methods"]) == {3}
    assert rows.index[rows["is_control"]].tolist() == ["random"]


def test_a_control_has_the_place_it_would_have_alone_and_moves_nobody() -> None:
    made = scores.made(QUALITY | {"edges": 0.55})
    rows = table(made)
    without = table({name: made[name] for name in ("ig", "gxi", "lrp", "lime")})
    pd.testing.assert_frame_equal(rows[~rows["is_control"]], without)
    for name in ("edges", "random"):
        better = [other for other in without.index if made[other].mean() > made[name].mean()]
        assert rows.loc[name, "place"] == 1 + len(better)


def test_a_copy_changes_no_place_and_shares_its_own() -> None:
    made = scores.made(QUALITY)
    before, after = table(made), table(made | {"copy": made["gxi"].copy()})
    pd.testing.assert_frame_equal(after.drop(index="copy"), before)
    assert after.loc["copy"].equals(before.loc["gxi"].rename("copy"))


def test_permuting_names_permutes_the_rows() -> None:
    made = scores.made(QUALITY)
    other = {"ig": "z", "gxi": "b", "lrp": "ig", "lime": "gxi", "random": "random"}
    before, after = table(made), table({other[name]: values for name, values in made.items()})
    pd.testing.assert_frame_equal(before.rename(index=other).sort_index(), after.sort_index())
