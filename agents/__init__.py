"""Agents: rules, trained policies and references, and how they are compared.

What is listed in ``__init__.pyi`` is imported when it is first asked for.
"""

import lazy_loader

from ..envs.shared.extras import require_extra

require_extra("agents", __name__)
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
