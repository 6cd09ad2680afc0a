"""Encoders: texts to vectors with BERT, histories and items to vectors of one space, observations to states.

A name is imported when it is first asked for; ``__init__.pyi`` says where each comes from.
"""

import lazy_loader

from ..envs.shared.extras import require_extra

require_extra("encoders", __name__)
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
