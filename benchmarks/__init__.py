"""Timings of sparq_utils beside its peers, in one run: `python -m benchmarks`."""
