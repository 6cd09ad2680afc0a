"""Environments: catalogue, user model, and the Gymnasium faces. Imports neither torch nor transformers.

What is listed in ``__init__.pyi`` is imported when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
