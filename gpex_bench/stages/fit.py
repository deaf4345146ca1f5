"""Network → surrogate, and what it cost.

A fit may fail: that is a result, and everything else is made.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gpex_bench.contract import isolation
from gpex_bench.contract.isolation import Outcome
from gpex_bench.surrogates.agreement.calibration import interval_factor, with_factor
from gpex_bench.types import Dataset, Model, Progress, Recipe
from gpex_bench.types.demands import UnusableCheckpoint

Store = Callable[[dict[str, Tensor]], None]


def fit(  # noqa: PLR0913 - the pieces of one fit, each named
    recipe: Recipe, model: Model, data: Dataset, *, seed: int, progress: Progress, store: Store
) -> Outcome:
    """Fit a surrogate of the network on the train split alone, in a process of its own.

    Then its intervals are calibrated (`agreement.calibration`), also on the train split alone.

    Args: recipe: how. model: the network. data: the dataset it was trained on. seed: of the fit's
        random numbers. progress: called with lines of text; keeps the checkpoints. store: gets the
        fitted state in that process; what is large does not travel between processes.

    Returns:
        The outcome, without a value.

    Raises:
        UnusableCheckpoint: the checkpoint of an earlier, unfinished fit cannot be resumed. That is
            no result of the fit: stored as one, it would stay after the checkpoint is deleted.
    """

    def fit_and_store() -> None:
        surrogate = recipe.fit(model, data, seed, progress)
        factor = interval_factor(recipe, surrogate.eval(), model, data, seed)
        store(with_factor(surrogate.state_dict(), factor))

    return isolation.run(fit_and_store, None, fatal=(UnusableCheckpoint,))
