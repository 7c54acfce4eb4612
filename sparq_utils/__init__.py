"""SPARQ in executable form: spiking, quantised, early-exit networks and what they cost."""

__version__ = "0.1.0"
