"""The wine table: 178 wines of three growers, 13 measurements of each.

Source: aeberhard1994comparative, through `sklearn.datasets.load_wine` (pedregosa2011scikit).
"""

from __future__ import annotations

import numpy as np
import torch

from gpex_bench.data.files import splits, tables
from gpex_bench.types import Dataset, Need, Source, settings

# sha256 of the measurements (float64) and labels (int64) in scikit-learn's order
RAW = "56bb2e6fadbd20a1e7eac5848ff988c1843f2cadbdaaf295967c75e7b12dfe70"


@settings
class Wine(Source):
    """Which of three growers a wine is from; columns are standardised as in `breast_cancer`."""

    offers = frozenset({Need.TABLE})

    n_test: int = 36  # one fifth
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the table; ids are rows in scikit-learn's order.

        Raises:
            ValueError: if the installed table is not the expected one or `n_test` is out of range.
        """
        from sklearn.datasets import load_wine

        raw = load_wine()
        table = raw.data.astype(np.float64)
        labels = raw.target.astype(np.int64)
        splits.check_digest("scikit-learn's wine table", splits.digest((table, labels)), RAW)

        y = torch.from_numpy(labels)
        train, test = splits.stratified(y, self.n_test, self.seed)
        x = tables.standardised(table, train)
        return Dataset(
            name="wine",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=("grower 1", "grower 2", "grower 3"),
            features=tuple(name.replace("/", "_over_") for name in raw.feature_names),
            baseline=torch.zeros(x.shape[1]),
        )
