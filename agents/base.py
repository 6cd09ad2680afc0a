"""What all rest on: the protocols of agents, how an agent is followed through lives, and what trains one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
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


@runtime_checkable
class RatesItems(Protocol):
    """An agent that says how good each candidate is on its own, so that its ratings can be another policy's feature."""

    def rate_candidates(self, observation: Observation) -> NDArray[np.floating]:
        """Ratings (B, M) of the candidates, the more the better, 0 where there is none."""
        ...


class Trainer(ABC):
    """An agent in training, as the one loop of `longplay.agents.runs.training` drives it.

    Attributes
    ----------
    agent
        As it is now.
    """

    agent: Agent

    @property
    @abstractmethod
    def steps(self) -> int:
        """Slates learnt from."""

    @property
    @abstractmethod
    def finished_minutes(self) -> list[float]:
        """Minutes of the latest training lives that ended."""

    def start(self) -> None:  # noqa: B027  # most have nothing to do
        """Begin from nothing, rather than from a checkpoint."""

    @abstractmethod
    def learn(self, steps: int, before_update: Callable[..., None]) -> Mapping[str, float]:
        """Learn until so many slates are learnt from.

        Parameters
        ----------
        steps
            Slates in all, those before a checkpoint included.
        before_update
            Called before each round of learning, where everything that moves is whole, with what is to be logged of
            the last round, and ``due=True`` where an evaluation is due whatever the interval.

        Returns
        -------
        dict
            What is to be logged of the last round.
        """

    @abstractmethod
    def save_policy(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write the policy, and what is to be known of it, each file whole or not at all."""

    @abstractmethod
    def capture(self) -> dict[str, Any]:
        """Everything that moves, as `torch.save` takes it and ``weights_only`` reads it."""

    @abstractmethod
    def restore(self, content: Mapping[str, Any]) -> None:
        """Put everything back as `capture` found it; KeyError, RuntimeError or ValueError where it does not fit."""

    @abstractmethod
    def close(self) -> None:
        """Close the environment."""


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
