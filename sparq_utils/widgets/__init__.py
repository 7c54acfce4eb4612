"""Explorers: sliders that work with no kernel and no network."""
