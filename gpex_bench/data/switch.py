"""A generated table whose columns take turns: one column says which others decide the class.

- Where `switch` is positive, the class is whether `pair 1` and `pair 2` have the same sign: an
  interaction, of which neither column alone tells anything.
- Elsewhere it is whether the sum of `sum 1` and `sum 2` is positive: each tells something.
- The other columns decide nothing, and all columns are independent.

The mask of a row is the switch and the two columns that it chooses, so that the evidence changes
from row to row. Columns that choose columns are from chen2018learning; the rules are our own. All
is drawn in whole numbers, so that the same settings give the same bits on every machine.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int

from gpex_bench.data.files import splits
from gpex_bench.data.painted.source import PlantedSource
from gpex_bench.types import Dataset, Need, Split, Truth, demands, settings

EVIDENCE = ("switch", "pair 1", "pair 2", "sum 1", "sum 2")
UNIT = 64  # steps of a value that make 1
SIZES = (32, 96)  # smallest and largest absolute value, in steps


@settings
class Switch(PlantedSource):
    """Independent columns between -1.5 and 1.5, none of them near 0.

    An absent value is 0, the mean of every column.
    """

    offers = frozenset({Need.TABLE, Need.TRUTH})

    n_train: int = 4000
    n_test: int = 1000
    others: int = 7  # columns that decide nothing
    seed: int = 1  # 0 was used while settings were chosen; its test rows were seen

    def __post_init__(self) -> None:
        demands.at_least(self, 20, "n_train", "n_test")
        demands.at_least(self, 1, "others")
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the rows; ids count the test rows first."""
        test, train = self.draw("test"), self.draw("train")
        names = (*EVIDENCE, *(f"other {at + 1}" for at in range(self.others)))
        return Dataset(
            name="switch",
            train=self._split(train, self.n_test),
            test=self._split(test, 0),
            classes=("different signs or negative sum", "same sign or positive sum"),
            features=names,
            baseline=torch.zeros(len(names)),
            truth=Truth(
                mask=torch.from_numpy(_mask(test)),
                train_group=torch.from_numpy(_group(train)),
                test_group=torch.from_numpy(_group(test)),
            ),
        )

    def draw(self, split: str) -> Int[np.ndarray, "n column"]:
        """Return the values of the "train" or "test" split, in steps."""
        number = {"test": 0, "train": 1}[split]
        n = {"test": self.n_test, "train": self.n_train}[split]
        size, sign = (np.random.default_rng([self.seed, number, stream]) for stream in range(2))

        shape = (n, len(EVIDENCE) + self.others)
        steps = size.integers(*SIZES, size=shape, endpoint=True)
        # an odd and an even number never cancel
        steps[:, 3] |= 1
        steps[:, 4] &= ~1
        return steps * sign.choice((-1, 1), size=shape)

    def interventions(self) -> dict[str, torch.Tensor]:
        """Return the test rows with other evidence, or with every other column from another row."""
        test = self.draw("test")
        mask = _mask(test)

        # of a product one sign turns the class, of a sum both signs do
        signs = np.ones_like(test)
        signs[:, 1] = -1
        signs[:, 3:5] = -1
        turned = np.where(mask, test * signs, test)
        exchanged = np.where(mask, test, np.roll(test, 1, axis=0))
        return {"evidence": _values(turned), "other columns": _values(exchanged)}

    def _split(self, steps: Int[np.ndarray, "n column"], first: int) -> Split:
        """Return the rows with their classes; the first one has the id `first`."""
        return Split(
            x=_values(steps),
            y=torch.from_numpy(decide(steps).astype(np.int64)),
            sample=torch.arange(first, first + len(steps)),
        )


def decide(steps: Int[np.ndarray, "n column"]) -> Bool[np.ndarray, "n"]:
    """Return the class of each row."""
    has_same_sign = steps[:, 1] * steps[:, 2] > 0
    has_positive_sum = steps[:, 3] + steps[:, 4] > 0
    return np.where(steps[:, 0] > 0, has_same_sign, has_positive_sum)


def _mask(steps: Int[np.ndarray, "n column"]) -> Bool[np.ndarray, "n column"]:
    """Return the columns that decide the class of each row."""
    is_pair = steps[:, 0] > 0
    mask = np.zeros(steps.shape, dtype=bool)
    mask[:, 0] = True
    mask[:, 1:3] = is_pair[:, None]
    mask[:, 3:5] = ~is_pair[:, None]
    return mask


def _group(steps: Int[np.ndarray, "n column"]) -> Int[np.ndarray, "n"]:
    """Return what decides each row: the sum's sign (0, 1) or the signs of the pair (2 to 5)."""
    is_positive = steps > 0
    signs = 2 + 2 * is_positive[:, 1] + is_positive[:, 2]
    return np.where(is_positive[:, 0], signs, decide(steps))


def _values(steps: Int[np.ndarray, "n column"]) -> torch.Tensor:
    """Return steps as numbers."""
    return torch.from_numpy(steps).float() / UNIT
