"""The environments by name: ``gymnasium.make("longplay/Video-v0")`` makes a `longplay.envs.Video`.

The docstring of each class is its specification; what all have in common is in that of `longplay.envs.NamedEnv`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import gymnasium

from ..shared.registry import Registry

if TYPE_CHECKING:
    from .base import NamedEnv

# Each is registered with the name of its scenario, so that its id is known to Gymnasium before its file is imported.
ENVIRONMENTS: Registry[type[NamedEnv]] = Registry("ENVIRONMENTS", "environment", "longplay.envs.named")


def register_with_gymnasium(exported: Iterable[str]) -> None:
    """Let `gymnasium.make` and `gymnasium.make_vec` know every id.

    Parameters
    ----------
    exported
        Names in `longplay.envs`. Classes among them get an address there, which specifications on disk hold for good;
        other classes that of their file.
    """
    for name, card in ENVIRONMENTS.cards.items():
        kind = name.removeprefix("longplay/").rpartition("-v")[0]
        gymnasium.register(
            id=name,
            entry_point=f"{'longplay.envs' if kind in exported else card.module}:{kind}",
            vector_entry_point="longplay.envs:make_vector_env",
            kwargs={"base": card.words["scenario"]},
        )
