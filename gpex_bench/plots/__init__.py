"""Figures: functions from frames to a `Drawing`, which becomes SVG or PNG.

    drawing = plots.cost_against_score(cost_of_one_network, higher_is_better=True)
    svg = plots.to_svg(drawing, "cost_mnist5k_cnn")

Every drawing has a title, an alternative text that describes it, and the frame of its numbers. The
same drawing gives the same bytes every time.
"""

from gpex_bench.plots.agreement import agreement_heads, agreement_scatter
from gpex_bench.plots.attention import Looks, attention_maps
from gpex_bench.plots.calibration import calibration
from gpex_bench.plots.contrast import Contrast, Example, contrast
from gpex_bench.plots.dots import headline_dots
from gpex_bench.plots.maps import Gallery, gallery, table_gallery
from gpex_bench.plots.metric_agreement import metric_agreement
from gpex_bench.plots.neighbours import Heat, Sheet, neighbour_sheet
from gpex_bench.plots.overlays import bars, examples, overlays
from gpex_bench.plots.removal import removal_curves
from gpex_bench.plots.scores import cost_against_score
from gpex_bench.plots.style import Drawing, to_png, to_svg

__all__ = [
    "Contrast",
    "Drawing",
    "Example",
    "Gallery",
    "Heat",
    "Looks",
    "Sheet",
    "agreement_heads",
    "agreement_scatter",
    "attention_maps",
    "bars",
    "calibration",
    "cost_against_score",
    "contrast",
    "examples",
    "gallery",
    "headline_dots",
    "metric_agreement",
    "neighbour_sheet",
    "overlays",
    "removal_curves",
    "table_gallery",
    "to_png",
    "to_svg",
]
