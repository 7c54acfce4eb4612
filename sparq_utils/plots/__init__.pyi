from .canvas import COLOURS, EXITS, HATCHES, INK, MARKERS, energy_axis, figure, look, style
from .charts import dots, images, lines, raster, stacked
from .outcomes import confidence_histograms, exit_shares, learning_curves, reliability, trade_off

__all__ = [
    "COLOURS",
    "EXITS",
    "HATCHES",
    "INK",
    "MARKERS",
    "confidence_histograms",
    "dots",
    "energy_axis",
    "exit_shares",
    "figure",
    "images",
    "learning_curves",
    "lines",
    "look",
    "raster",
    "reliability",
    "stacked",
    "style",
    "trade_off",
]
