"""Mean accuracies as bars."""

import pandas as pd
from matplotlib.figure import Figure

from gpex_bench.plots.style import Drawing, styled


@styled
def draw_accuracies(table: pd.DataFrame) -> Drawing:
    """Draw a bar for each network."""
    figure = Figure(figsize=(4, 2), layout="constrained")
    axes = figure.subplots()
    axes.barh(table["model"], table["accuracy"])
    axes.set_xlabel("test accuracy")
    return Drawing(figure, "Accuracies", "Bars of the test accuracies.", table)
