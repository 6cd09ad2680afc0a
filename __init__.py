"""longplay: a Gymnasium benchmark for slate recommendation over the long run.

``import longplay`` registers the environments with Gymnasium: ``longplay.ENVIRONMENTS`` lists their ids and the classes
that describe them.
"""

from typing import TYPE_CHECKING, Any

import gymnasium

from .envs.catalogs.catalog import Catalog, CatalogError, attribute_to_text
from .envs.catalogs.films import load_films
from .envs.env import SlateVectorEnv
from .envs.make import make_world
from .envs.named.registry import ENVIRONMENTS
from .envs.shared.moved import keep_old_names
from .envs.single import SlateEnv
from .envs.users.params import Scenario, ScenarioError
from .envs.users.world import World, build_world

if TYPE_CHECKING:
    from .encoders.text.encoder import TextEncoder

__version__ = "0.1.0"
__all__ = [
    "ENVIRONMENTS",
    "Catalog",
    "CatalogError",
    "Scenario",
    "ScenarioError",
    "SlateEnv",
    "SlateVectorEnv",
    "TextEncoder",
    "World",
    "attribute_to_text",
    "build_world",
    "load_films",
    "make_world",
]

keep_old_names()
for _id, _kind in ENVIRONMENTS.items():
    gymnasium.register(
        id=_id,
        entry_point=f"{_kind.__module__}:{_kind.__name__}",
        vector_entry_point="longplay.envs.make:make_vector_env",
        kwargs={"base": _kind.scenario},
    )


def __getattr__(name: str) -> Any:
    """Import the encoder only when asked for: it brings torch and transformers."""
    if name == "TextEncoder":
        from .encoders.text.encoder import TextEncoder

        return TextEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
