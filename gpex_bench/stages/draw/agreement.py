"""Tables and artefacts → figures of how surrogates agree with networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench import plots
from gpex_bench.plots import Drawing, Looks
from gpex_bench.statistics.outcomes import agreement_summary
from gpex_bench.tables.order import Record, natural, surrogate_order, surrogates_used
from gpex_bench.types import Dataset

N_LOOKS = 5
Figures = Iterator[
    tuple[str, str, str, Drawing]
]  # file stem, section of the report, dataset, drawing


def draw_agreement(tables: Mapping[str, pd.DataFrame], methods: Sequence[Record]) -> Figures:
    """Draw every head of every surrogate, what the variance is worth, and GP against network.

    The scatter plots are of the surrogates that some method explains with; of the one with the best match where no
    method does.
    """
    if tables["agreement"].empty:
        return
    summary = agreement_summary(tables["agreement"])
    used = surrogates_used(methods)
    for (dataset, model), here in summary.groupby(["dataset", "model"]):
        stem, points = f"{dataset}_{model}", tables["predictions"]
        points = points[(points["dataset"] == dataset) & (points["model"] == model)]
        names = surrogate_order(here)
        yield f"agreement_{stem}", "agreement", str(dataset), plots.agreement_heads(here)
        yield f"calibration_{stem}", "agreement", str(dataset), plots.calibration(points, names)
        for name in sorted(used & set(names)) or names[:1]:
            drawing = plots.agreement_scatter(_test(points, name), _test(here, name))
            yield f"agreement_{stem}_{name}", "agreement", str(dataset), drawing


def draw_attention(data: Dataset, name: str, predictions: pd.DataFrame) -> Figures:
    """Draw where a network looks and where each of its surrogates says that it looks, for the first test samples.

    Args:
        data: the dataset.
        name: of the network, as shown.
        predictions: of this network and one seed; heads are places of a map ("row 1, column 1"), or nothing is drawn.
    """
    test = predictions[predictions["split"] == "test"]
    if test.empty or not str(test["head"].iloc[0]).startswith("row "):
        return
    first = data.test.sample[:N_LOOKS].tolist()
    for surrogate, part in test[test["sample"].isin(first)].groupby("surrogate"):
        place = part.iloc[0]
        drawing = plots.attention_maps(_looks(data, part, f"{name}, {surrogate}"))
        yield (
            f"attention_{place['dataset']}_{place['model']}_{surrogate}",
            "agreement",
            str(place["dataset"]),
            drawing,
        )


def _looks(data: Dataset, part: pd.DataFrame, name: str) -> Looks:
    """Return the maps of some samples of one surrogate and seed."""
    heads = sorted(set(part["head"]), key=natural)
    last = natural(heads[-1])
    grid = (last[1][0], last[3][0])
    samples = list(dict.fromkeys(part.sort_values("sample")["sample"]))
    network, mean = (
        part.pivot(index="sample", columns="head", values=column).loc[samples, heads].to_numpy()
        for column in ("network", "mean")
    )
    rows = [int((data.test.sample == sample).nonzero()) for sample in samples]
    return Looks(
        name=name,
        images=data.test.x[rows].numpy(),
        labels=[data.classes[int(data.test.y[row])] for row in rows],
        network=network.reshape(-1, *grid),
        mean=mean.reshape(-1, *grid),
        r=[float(np.corrcoef(one, other)[0, 1]) for one, other in zip(network, mean, strict=True)],
    )


def _test(frame: pd.DataFrame, surrogate: str) -> pd.DataFrame:
    """Return the rows of one surrogate on test items."""
    return frame[(frame["surrogate"] == surrogate) & (frame["split"] == "test")]
