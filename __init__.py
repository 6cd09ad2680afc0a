"""longplay: a Gymnasium benchmark for slate recommendation over the long run.

``import longplay`` registers the environments with Gymnasium: ``longplay.ENVIRONMENTS`` lists their ids and the classes
that describe them. What is listed in ``__init__.pyi`` is imported when it is first asked for.
"""

import lazy_loader

from . import envs
from .envs.named.registry import register_with_gymnasium
from .envs.shared.moved import keep_old_names

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"

keep_old_names()
register_with_gymnasium(envs.__all__)
