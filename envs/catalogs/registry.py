"""The catalogues that scenarios name; each is loaded when it is first asked for."""

from collections.abc import Callable

from ..shared.registry import Registry
from .catalog import Catalog

CATALOGS: Registry[Callable[[], Catalog]] = Registry("CATALOGS", "catalogue", "longplay.envs.catalogs")
