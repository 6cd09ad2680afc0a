"""Nothing twice in a session: what was shown in the session already is withdrawn from the candidates of an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs.engine import ContextColumn, Observation
from ..envs.shared.compiled import loop
from ..envs.users.world import World
from .base import Agent, Memory, Remembering

FRESH = "fresh"  # the option of a rule, in worlds that say what they have shown


@dataclass
class Fresh:
    """An agent that is shown only those candidates that the session has not shown yet.

    The service keeps the last 24 slates. Where fewer candidates than a slate are left, those shown longest ago come
    back.

    Parameters
    ----------
    agent
        The agent, without a memory of its own: `make_fresh` takes any.
    name
        As in tables; by default the agent's, and that it is fresh.
    """

    agent: Agent
    name: str = ""
    privileged: bool = field(init=False)

    def __post_init__(self) -> None:
        """Be called, and see, what the agent is and does."""
        self.name = self.name or f"{self.agent.name}, fresh"
        self.privileged = self.agent.privileged

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Ask the agent, without what was shown."""
        return self.agent.act(withdraw_shown(observation))


class FreshRemembering(Fresh):
    """The same of an agent that keeps something of its own for each user."""

    agent: Any

    def start(self, users: int) -> Memory:
        """The agent's."""
        memory: Memory = self.agent.start(users)
        return memory

    def follow(self, observation: Observation, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """Ask the agent, without what was shown."""
        slates, memory = self.agent.follow(withdraw_shown(observation), memory)
        return slates, memory


def make_fresh(agent: Agent, name: str = "") -> Fresh:
    """The agent, with or without a memory, as one that shows nothing twice in a session."""
    return (FreshRemembering if isinstance(agent, Remembering) else Fresh)(agent, name)


def check_shown(world: World, what: str) -> None:
    """Raise ValueError unless a world says what it has shown, which `what` needs."""
    if not world.scenario.memory:
        raise ValueError(
            f"{what} shows nothing twice in a session, but scenario {world.scenario.name!r} does not say what it has "
            "shown; take one whose impression.memory is above 0, such as that of longplay/Video-v1, or leave it out"
        )


def withdraw_shown(observation: Mapping[str, Any]) -> Observation:
    """The observation (B, ·) with 0 in place of the candidates that this session has shown.

    Raises
    ------
    ValueError
        If the environment does not say what it has shown.
    """
    if "shown_ids" not in observation:
        raise ValueError(
            "fresh = True needs 'shown_ids' in the observation, which environments without a memory of impressions do "
            "not have; take one that has, such as longplay/Video-v1, or fresh = False"
        )
    shown, candidates = observation["shown_ids"], observation["candidates"].copy()
    slates = np.minimum(observation["context"][:, ContextColumn.DEPTH], shown.shape[1]).astype(np.int64)
    when = np.zeros(int(max(shown.max(initial=0), candidates.max(initial=0))) + 1, np.int64)
    _withdraw(candidates, shown, slates, when)
    return {**observation, "candidates": candidates}


@loop
def _withdraw(candidates: np.ndarray, shown: np.ndarray, slates: np.ndarray, when: np.ndarray) -> None:
    """Zero what is among the last slates (B,) of each user; `when` is zero for all items, and is left so."""
    for b in range(len(candidates)):
        row = candidates[b]
        for back in range(slates[b] - 1, -1, -1):
            for k in range(shown.shape[2]):
                when[int(shown[b, back, k])] = slates[b] - back  # 1: longest ago
        when[0] = 0
        left = 0
        for m in range(len(row)):
            if row[m] > 0 and when[int(row[m])] == 0:
                left += 1
        kept = 0  # how long ago of those that come back, as there would be too few
        while left < shown.shape[2] and kept < slates[b]:
            kept += 1
            for m in range(len(row)):
                if row[m] > 0 and when[int(row[m])] == kept:
                    left += 1
        for m in range(len(row)):
            if when[int(row[m])] > kept:
                row[m] = 0
        for back in range(slates[b]):
            for k in range(shown.shape[2]):
                when[int(shown[b, back, k])] = 0
