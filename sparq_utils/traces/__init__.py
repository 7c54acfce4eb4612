"""What was recorded and everything that reads it, in NumPy alone: policies, learning, joules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
