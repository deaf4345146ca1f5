"""The Wisconsin diagnostic breast cancer table: 569 tumours, 30 measurements of cell nuclei.

Source: street1993nuclear, through `sklearn.datasets.load_breast_cancer` (pedregosa2011scikit).
"""

from __future__ import annotations

import numpy as np
import torch

from gpex_bench.data.files import splits, tables
from gpex_bench.types import Dataset, Need, Source, settings

# sha256 of the measurements (float64) and labels (int64) in scikit-learn's order
RAW = "bad1f701395a84df5424ae2f8e08bdfa835c36aeb29d785dc2fb5c863f299450"


@settings
class BreastCancer(Source):
    """Malignant or benign; columns are standardised by mean and deviation of the training rows.

    An absent feature is zero: the mean of the training rows.
    """

    offers = frozenset({Need.TABLE})

    n_test: int = 114  # one fifth
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the table; ids are rows in scikit-learn's order.

        Raises:
            ValueError: if the installed table is not the expected one or `n_test` is out of range.
        """
        from sklearn.datasets import load_breast_cancer

        raw = load_breast_cancer()
        table = raw.data.astype(np.float64)
        labels = raw.target.astype(np.int64)
        found = splits.digest((table, labels))
        splits.check_digest("scikit-learn's breast cancer table", found, RAW)

        y = torch.from_numpy(labels)
        train, test = splits.stratified(y, self.n_test, self.seed)
        x = tables.standardised(table, train)
        return Dataset(
            name="breast_cancer",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=tuple(map(str, raw.target_names)),
            features=tuple(name.replace(" ", "_") for name in raw.feature_names),
            baseline=torch.zeros(x.shape[1]),
        )
