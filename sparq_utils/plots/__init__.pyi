from .canvas import COLOURS, EXITS, HATCHES, INK, MARKERS, energy_axis, figure, look, style
from .charts import clouds, dots, images, lines, raster, stacked
from .outcomes import (
    confidence_histograms,
    exit_shares,
    frontiers,
    learning_curves,
    reliability,
    trade_off,
    trade_offs,
)
from .pictures import decision_process, membrane, numbers, on_the_way, q_table, rounding

__all__ = [
    "COLOURS",
    "EXITS",
    "HATCHES",
    "INK",
    "MARKERS",
    "clouds",
    "confidence_histograms",
    "decision_process",
    "dots",
    "energy_axis",
    "exit_shares",
    "figure",
    "frontiers",
    "images",
    "learning_curves",
    "lines",
    "look",
    "membrane",
    "numbers",
    "on_the_way",
    "q_table",
    "raster",
    "reliability",
    "rounding",
    "stacked",
    "style",
    "trade_off",
    "trade_offs",
]
