"""The book's figures: a style, a canvas, charts of any numbers, figures of traces."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
