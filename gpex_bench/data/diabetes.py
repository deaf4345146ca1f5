"""The diabetes table: 442 patients, ten measurements, and how the disease went on for a year.

Source: efron2004least, through `sklearn.datasets.load_diabetes` (pedregosa2011scikit).
"""

from __future__ import annotations

import numpy as np
import torch

from gpex_bench.data.files import splits, tables
from gpex_bench.types import Dataset, Kind, Need, Source, settings

# sha256 of the measurements and the target (both float64) in scikit-learn's order, not scaled
RAW = "43a28c7d3cf1c4cbb9cb67486e89ac06e370b76abd43210371b235e2ee2bc3b9"

# scikit-learn's s1 ... s6 by what its description says of them
FEATURES = (
    *("age", "sex", "body_mass_index", "blood_pressure", "total_cholesterol"),
    *("ldl", "hdl", "cholesterol_over_hdl", "log_triglycerides", "blood_sugar"),
)


@settings
class Diabetes(Source):
    """A number: progression of the disease after a year, on a scale of its own (25 to 346).

    Columns are standardised by mean and deviation of the training rows; an absent feature is zero,
    the mean of the training rows.
    """

    offers = frozenset({Need.TABLE})
    kind = Kind.NUMBER

    n_test: int = 88  # one fifth
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the table; ids are rows in scikit-learn's order.

        Raises:
            ValueError: if the installed table is not the expected one or `n_test` is out of range.
        """
        from sklearn.datasets import load_diabetes

        raw = load_diabetes(scaled=False)
        table = raw.data.astype(np.float64)
        target = raw.target.astype(np.float64)
        splits.check_digest("scikit-learn's diabetes table", splits.digest((table, target)), RAW)

        train, test = splits.shuffled(len(table), self.n_test, self.seed)
        x = tables.standardised(table, train)
        y = torch.from_numpy(target.astype(np.float32))
        return Dataset(
            name="diabetes",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=("progression of the disease",),
            features=FEATURES,
            baseline=torch.zeros(x.shape[1]),
            kind=Kind.NUMBER,
        )
