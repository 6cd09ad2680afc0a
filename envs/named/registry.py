"""The environments by name: ``gymnasium.make("longplay/Video-v0")`` makes a `longplay.envs.Video`.

The docstring of each class is its specification; what all have in common is in that of `longplay.envs.NamedEnv`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import gymnasium

from ..shared.registry import Card, Registry

if TYPE_CHECKING:
    from .base import NamedEnv

VECTOR = "longplay.envs:make_vector_env"


class EnvironmentRegistry(Registry["type[NamedEnv]"]):
    """The environments by id; what registers here is known to Gymnasium, too."""

    def _announce(self, card: Card, entry: type[NamedEnv]) -> None:
        if card.name not in gymnasium.registry:
            address = f"{card.module}:{entry.__qualname__}"
            base = {"base": card.words["scenario"]}
            gymnasium.register(id=card.name, entry_point=address, vector_entry_point=VECTOR, kwargs=base)


# Each is registered with its scenario, a name or a TOML file, so that its id is known before its file is imported.
ENVIRONMENTS = EnvironmentRegistry("ENVIRONMENTS", "environment", "longplay.envs.named")


def name_class(name: str) -> str:
    """Class of an id: ``Video`` of ``longplay/Video-v0``, ``VideoV1`` of ``longplay/Video-v1``."""
    kind, _, version = name.rpartition("/")[2].rpartition("-v")
    return kind if version == "0" else f"{kind}V{version}"


def register_with_gymnasium(exported: Iterable[str]) -> None:
    """Let `gymnasium.make` and `gymnasium.make_vec` know every id.

    Parameters
    ----------
    exported
        Names in `longplay.envs`. Classes among them get an address there, which specifications on disk hold for good;
        other classes that of their file.
    """
    for name, card in ENVIRONMENTS.cards.items():
        kind = name_class(name)
        gymnasium.register(
            id=name,
            entry_point=f"{'longplay.envs' if kind in exported else card.module}:{kind}",
            vector_entry_point=VECTOR,
            kwargs={"base": card.words["scenario"]},
        )
