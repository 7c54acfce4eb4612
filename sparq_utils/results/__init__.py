"""The recorded results: where they lie, the rows made of them, the tables of the book."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
