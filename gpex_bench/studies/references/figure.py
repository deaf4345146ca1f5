"""Reference of the explainer × fill of the metric as heat maps, and how far fills agree."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from gpex_bench.plots.style import COLOURS, INK, MARKERS, Drawing, styled
from gpex_bench.studies.references.plan import References
from gpex_bench.tables.order import records
from gpex_bench.tables.words import number

# Fills and references in the order in which they are drawn; others come last.
ORDER = ("baseline", "train_mean", "training samples", "noise", "middle", "blur", "uniform")


@styled
def draw_references(table: pd.DataFrame, plan: References) -> Drawing:
    """Draw a heat map for each family: references below one another, fills side by side.

    Args:
        table: of the first network: family, relative_to, fill, mean and is_shared.
        plan: the families, in their order.
    """
    first = table[["dataset", "model"]].iloc[0]
    is_shown = (table["dataset"] == first["dataset"]) & (table["model"] == first["model"])
    rows = table[is_shown & (table["family"] != "")]
    n_rows = [len(names) for names in plan.families.values()]

    height = 1.5 + 0.3 * sum(n_rows) + 0.25 * len(n_rows)
    figure = Figure(figsize=(6.4, height), layout="constrained")
    every = figure.subplots(len(n_rows), 1, height_ratios=n_rows, sharex=True, squeeze=False)
    ends = (rows["mean"].min(), rows["mean"].max())
    for axes, family in zip(every[:, 0], plan.families, strict=True):
        image = _heat(axes, rows[rows["family"] == family], ends)
        axes.set_title(family, loc="left", fontsize=8)
    every[-1, 0].set_xlabel("fill of the metric (a frame: it is the reference of the explainer)")
    figure.colorbar(image, ax=every[:, 0], label="symmetric relevance gain", shrink=0.5)

    title = (
        f"Reference of the explainer × fill of the metric: {first['model']} on {first['dataset']}"
    )
    shared, other = (rows.loc[rows["is_shared"] == flag, "mean"].mean() for flag in (True, False))
    alt = (
        f"Heat maps of {len(n_rows)} families of methods. The mean score is {number(shared)} where "
        f"the reference is the fill, and {number(other)} elsewhere."
    )
    return Drawing(figure, title, alt, rows)


def _heat(axes: Axes, rows: pd.DataFrame, ends: tuple[float, float]) -> AxesImage:
    """Draw the scores of one family and return the image."""
    fills, references = (_ordered(rows[name]) for name in ("fill", "relative_to"))
    wide = rows.pivot(index="relative_to", columns="fill", values="mean")
    means = wide.loc[references, fills].to_numpy(float)
    image = axes.imshow(means, cmap="cividis", vmin=ends[0], vmax=ends[1], aspect="auto")
    axes.set_xticks(range(len(fills)), [name.replace("_", " ") for name in fills])
    axes.set_yticks(range(len(references)), [name.replace("_", " ") for name in references])
    axes.grid(visible=False)

    for row in records(rows):
        x, y = fills.index(row["fill"]), references.index(row["relative_to"])
        colour = "white" if row["mean"] < sum(ends) / 2 else "black"
        text = number(row["mean"])
        axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=7)
        if row["is_shared"]:
            corner = (x - 0.47, y - 0.44)
            axes.add_patch(Rectangle(corner, 0.94, 0.88, fill=False, ec=COLOURS[1], lw=2))
    return image


def _ordered(names: pd.Series) -> list[str]:
    """Return the different names in the order of ORDER."""
    known = list(dict.fromkeys(names))
    return sorted(known, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


@styled
def draw_consistency(consistency: pd.DataFrame) -> Drawing:
    """Draw the mean tau between fills with its interval, of pixels and of superpixels.

    Args:
        consistency: of `agreement`, with dataset, model, output and the set of methods.
    """
    rows = consistency[~consistency["metric"].str.contains(" - ")].reset_index(drop=True)
    kinds = rows[["dataset", "model", "output", "methods"]].drop_duplicates()
    labels = [
        f"{one['methods']}, {one['output']}\n{one['model']}, {one['dataset']}"
        for one in records(kinds)
    ]
    figure = Figure(figsize=(6.4, 1.3 + 0.4 * len(kinds)), layout="constrained")
    axes = figure.subplots()

    for number_of, (metric, part) in enumerate(rows.groupby("metric", sort=False)):
        y = [place + 0.15 * (2 * number_of - 1) for place in range(len(part))]
        mean = part["mean_tau"].to_numpy()
        errors = [mean - part["low"].to_numpy(), part["high"].to_numpy() - mean]
        errors = [side.clip(min=0) for side in errors]
        marker, colour = MARKERS[number_of], COLOURS[number_of]
        axes.errorbar(mean, y, xerr=errors, fmt=marker, color=colour, label=metric)

    axes.axvline(0, color=INK, lw=0.8)
    axes.set_yticks(range(len(kinds)), labels)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_xlabel("Kendall's tau between the orders under two fills, mean over pairs of fills")
    figure.legend(loc="outside lower center", ncols=2)
    listed = [
        f"{row['metric']} ({row['methods']}) {number(row['mean_tau'])}" for row in records(rows)
    ]
    alt = f"Means of tau: {'; '.join(listed)}."
    return Drawing(figure, "How far fills agree on the order of methods", alt, rows)
