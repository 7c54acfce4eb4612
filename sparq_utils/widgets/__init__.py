"""Explorers: sliders that work on the rendered page with no kernel, and live in JupyterLab."""

from sparq_utils.widgets.break_even import BreakEvenExplorer
from sparq_utils.widgets.chip import ChipExplorer
from sparq_utils.widgets.conversion import ConversionExplorer
from sparq_utils.widgets.digit import DigitExplorer
from sparq_utils.widgets.joules import EnergyExplorer
from sparq_utils.widgets.learning import QLearningExplorer
from sparq_utils.widgets.live import exemplars
from sparq_utils.widgets.neuron import LIFExplorer, simulate_lif
from sparq_utils.widgets.picture import PictureExplorer
from sparq_utils.widgets.pricing import paper_points
from sparq_utils.widgets.threshold import ThresholdExplorer
from sparq_utils.widgets.trade_off import TradeOffExplorer

__all__ = [
    "BreakEvenExplorer",
    "ChipExplorer",
    "ConversionExplorer",
    "DigitExplorer",
    "EnergyExplorer",
    "LIFExplorer",
    "PictureExplorer",
    "QLearningExplorer",
    "ThresholdExplorer",
    "TradeOffExplorer",
    "exemplars",
    "paper_points",
    "simulate_lif",
]
