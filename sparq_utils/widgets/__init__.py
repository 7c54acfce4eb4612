"""Explorers: sliders that work on the rendered page with no kernel, and live in JupyterLab."""

from sparq_utils.widgets.threshold import ThresholdExplorer, paper_points

__all__ = ["ThresholdExplorer", "paper_points"]
