"""Whole lives of named users under given luck: what a search scores its trials by, all on the same lives.

Trials that play the same users with the same luck differ by what they show alone, so that their difference shows in
far fewer lives (common random numbers; policies searched so: Ng and Jordan, 2000, PEGASUS).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ..envs.env import SlateVectorEnv
from ..envs.retriever import Retriever
from ..envs.world import World
from .base import rows


def lives_env(world: World, item_vectors: NDArray[np.float32], num_envs: int, *, privileged: bool = True) -> Retriever:
    """Lives with candidates that pay minutes; `privileged` for references alone, which see the hidden state."""
    mode = AutoresetMode.DISABLED
    bare = SlateVectorEnv(world, num_envs, autoreset_mode=mode, privileged=privileged, reward="minutes")
    return Retriever(bare, item_vectors)


def lived_minutes(
    env: Retriever, users: NDArray[np.int64], luck: int, act: Callable[[Any, NDArray[np.bool_]], NDArray[np.int64]]
) -> NDArray[np.float64]:
    """(B,) minutes of whole lives; `act` is given the rows of the observation of the users of a mask, and the mask.

    Where the environment is privileged, the observation has the hidden state as ``"latent"``.
    """
    observation, info = env.reset(seed=luck, options={"users": users})
    minutes, active = np.zeros(len(users)), np.ones(len(users), bool)
    slates = np.zeros((len(users), env.unwrapped.world.scenario.shape.slate), np.int64)  # type: ignore[attr-defined]
    while active.any():
        hidden = {"latent": info["latent"]} if "latent" in info else {}
        slates[active] = act(rows({**observation, **hidden}, active), active)
        observation, reward, terminated, truncated, info = env.step(slates)
        minutes += reward
        active = ~(terminated | truncated)
    return minutes
