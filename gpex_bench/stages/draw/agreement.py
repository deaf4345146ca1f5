"""Tables and artefacts → figures of how surrogates agree with networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench import plots
from gpex_bench.plots import Drawing, Looks
from gpex_bench.stages.draw.shown import named
from gpex_bench.statistics.outcomes import agreement_summary
from gpex_bench.tables.order import Record, surrogate_order, surrogates_used
from gpex_bench.types import Dataset
from gpex_bench.types.strata import drawn

# Samples whose attention maps are drawn.
N_LOOKS = 5

# File stem, section of the report, dataset, drawing.
Figures = Iterator[tuple[str, str, str, Drawing]]


def draw_agreement(tables: Mapping[str, pd.DataFrame], methods: Sequence[Record]) -> Figures:
    """Draw agreement by head, calibration of the variances, and surrogates against the network.

    The scatter plots are of the surrogates that some method explains with; of the one with the
    best match where no method does.
    """
    if tables["agreement"].empty:
        return

    summary, predictions = agreement_summary(tables["agreement"]), tables["predictions"]
    used = surrogates_used(methods)
    for (dataset, model), here in summary.groupby(["dataset", "model"]):
        stem = f"{dataset}_{model}"
        is_here = (predictions["dataset"] == dataset) & (predictions["model"] == model)
        points = predictions[is_here]
        names = surrogate_order(here)

        yield f"agreement_{stem}", "agreement", str(dataset), plots.agreement_heads(here)
        calibrated = points.dropna(subset="calibrated_variance")
        has_intervals = set(calibrated["surrogate"])
        shown = [name for name in names if name in has_intervals]
        if shown:
            drawing = plots.calibration(calibrated, shown)
            yield f"calibration_{stem}", "agreement", str(dataset), drawing

        for name in sorted(used & set(names)) or names[:1]:
            drawing = plots.agreement_scatter(_test(points, name), _test(here, name))
            yield f"agreement_{stem}_{name}", "agreement", str(dataset), drawing


def draw_attention(data: Dataset, name: str, predictions: pd.DataFrame) -> Figures:
    """Draw where a network looks, and where each of its surrogates says that it looks.

    Nothing is drawn of a network whose heads are no places of a map.

    Args:
        data: the dataset, of which some test samples are shown.
        name: of the network, as shown.
        predictions: of this network and one seed.
    """
    test = predictions[predictions["split"] == "test"]
    if test.empty or test["row"].isna().all():
        return

    looked_at = data.test.sample[drawn(data.test, data.kind, N_LOOKS)].tolist()
    looks_at = test[test["sample"].isin(looked_at)]
    for surrogate, part in looks_at.groupby("surrogate"):
        dataset = str(part["dataset"].iloc[0])
        model = part["model"].iloc[0]
        looks = _looks(data, part, f"{name}, {surrogate}")
        stem = f"attention_{dataset}_{model}_{surrogate}"
        yield stem, "agreement", dataset, plots.attention_maps(looks)


def _looks(data: Dataset, part: pd.DataFrame, name: str) -> Looks:
    """Return the maps of some samples of one surrogate and seed."""
    samples = sorted(set(part["sample"]))
    network = _maps(part, "network", samples)
    mean = _maps(part, "mean", samples)

    correlations = []
    for one, other in zip(network, mean, strict=True):
        matrix = np.corrcoef(one.ravel(), other.ravel())
        correlations.append(float(matrix[0, 1]))

    rows = [int((data.test.sample == sample).nonzero()) for sample in samples]
    return Looks(
        name=name,
        images=data.test.x[rows].numpy(),
        labels=[named(data, target) for target in data.test.y[rows]],
        network=network,
        mean=mean,
        r=correlations,
    )


def _maps(part: pd.DataFrame, column: str, samples: list[int]) -> np.ndarray:
    """Return one column of predictions as maps [sample, row, column]."""
    wide = part.pivot(index="sample", columns=["row", "column"], values=column)
    wide = wide.sort_index(axis=1)

    grid = (int(part["row"].max()), int(part["column"].max()))
    return wide.loc[samples].to_numpy().reshape(-1, *grid)


def _test(frame: pd.DataFrame, surrogate: str) -> pd.DataFrame:
    """Return the rows of one surrogate on test items."""
    return frame[(frame["surrogate"] == surrogate) & (frame["split"] == "test")]
