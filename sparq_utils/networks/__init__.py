"""Everything that needs torch: networks, spikes, bits, training, counting, recording."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
