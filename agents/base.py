"""The protocol that rules, trained policies and references satisfy, and how an agent is followed through lives."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..envs.engine import Observation

Memory = dict[str, NDArray[Any]]


@runtime_checkable
class Agent(Protocol):
    """From observations to slates.

    Attributes
    ----------
    name
        As in tables.
    privileged
        Whether it reads hidden state (a reference, not a competitor); then ``observation`` has the key ``latent``.
    """

    name: str
    privileged: bool

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates (B, K) of item numbers for observations (B, ·) with ``candidates``.

        Row b depends on row b of the observation alone, so an evaluation can be cut into any pieces.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """An agent that also keeps something of its own for each user: a recurrent policy, a bandit's posterior."""

    def start(self, users: int) -> Memory:
        """Memory of users not met before: arrays (B, ·) by name."""
        ...

    def follow(self, observation: Observation, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """Slates (B, K), and what is remembered from here on; row b depends on row b of both alone."""
        ...


class AgentSession:
    """An agent on its way through the lives of B users, with or without a memory of them.

    Parameters
    ----------
    agent
        Any agent; one that is `Remembering` starts afresh.
    users
        B.
    """

    def __init__(self, agent: Agent, users: int) -> None:
        self.agent = agent
        self.memory = agent.start(users) if isinstance(agent, Remembering) else {}

    def act(self, observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Slates of the users of `which` (B,), for their rows of an observation."""
        if not isinstance(self.agent, Remembering):
            return self.agent.act(observation)
        slates, memory = self.agent.follow(observation, select_users(self.memory, which))
        for key, value in memory.items():
            self.memory[key][which] = value
        return slates


def select_users(observation: Any, which: NDArray[np.bool_]) -> Any:
    """Some rows of an observation, nested or not."""
    return {
        key: select_users(value, which) if isinstance(value, dict) else value[which]
        for key, value in observation.items()
    }
