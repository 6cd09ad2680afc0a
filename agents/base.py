"""What all rest on: the protocols of agents, how an agent is followed through lives, and what trains one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..envs.engine import ContextColumn, Observation
from ..envs.env import check_slates
from ..envs.users.world import World

Memory = dict[str, NDArray[Any]]
SlateFunction = Callable[[Observation], NDArray[np.int64]]  # what `Agent.act` is, on its own


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


@dataclass
class FunctionAgent:
    """A plain function as an agent.

    Attributes
    ----------
    function
        From observations (B, ·) with ``candidates`` to slates (B, K) of item numbers.
    name
        As in tables.
    """

    function: SlateFunction
    name: str
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """What the function says."""
        return self.function(observation)


def as_agent(policy: Agent | SlateFunction) -> Agent:
    """The agent itself, or a plain function of observations (B, ·) to slates (B, K) as one.

    Raises
    ------
    ValueError
        If it is neither, or a class in place of an agent.
    """
    if isinstance(policy, type):
        raise ValueError(f"agent = {policy.__name__} is a class; give an agent made of it, such as {policy.__name__}()")
    if isinstance(policy, Agent):
        return policy
    if hasattr(policy, "act"):
        missing = [name for name in ("name", "privileged") if not hasattr(policy, name)]
        raise ValueError(
            f"agent = {policy!r} has act, but no {' and no '.join(missing)}; set name, a text, and privileged = False, "
            "or give its act alone"
        )
    if not callable(policy):
        raise ValueError(
            f"agent = {policy!r} is no agent; give one with name, privileged and act, or a function from observations "
            "to slates"
        )
    name = getattr(policy, "__name__", type(policy).__name__)
    return FunctionAgent(policy, "function" if name == "<lambda>" else name)


def check_agent_slates(
    slates: Any, agent: Agent, observation: Observation, world: World, when: str = ""
) -> NDArray[np.int64]:
    """Slates (B, K) of an agent as item numbers, as the environment takes them.

    Parameters
    ----------
    slates
        As the agent gave them.
    agent
        Whose.
    observation
        That it answered, (B, ·).
    world
        That is played.
    when
        Which of its slates they are, for the error.

    Raises
    ------
    ValueError
        For another shape, what is no whole number, and items that do not exist; it names agent, slate and session.
    """
    sessions = observation["context"][:, ContextColumn.SESSION].astype(np.int64)
    shape, items = (len(sessions), world.scenario.shape.slate), len(world.catalog)
    try:
        return check_slates(slates, shape, items)
    except (TypeError, ValueError) as error:
        wrong, place = _find_wrong_rows(slates, shape, items), ""
        if wrong.any() and not wrong.all():
            place = f", row {int(wrong.argmax())} of {len(wrong)}"
        met = sessions[wrong][:1] if place else np.unique(sessions)
        session = f"session {met[0]}" if len(met) == 1 else f"sessions {met.min()} to {met.max()}"
        raise ValueError(
            f"agent {agent.name!r}, {when}{session}{place}: {error}; act must return whole item numbers of shape "
            f"(users, slots), here {shape}: a row for each user of the observation, 0 for an empty slot"
        ) from error


def _find_wrong_rows(slates: Any, shape: tuple[int, int], items: int) -> NDArray[np.bool_]:
    """(B,) rows with a number that is no item; all of them where it is no table of numbers."""
    try:
        array = np.asarray(slates, np.float64)
    except (TypeError, ValueError):
        return np.ones(shape[0], bool)
    if array.shape != shape:
        return np.ones(shape[0], bool)
    with np.errstate(invalid="ignore"):
        return np.asarray((~(array >= 0) | (array > items) | (array != np.floor(array))).any(axis=1))


class AgentSession:
    """An agent on its way through the lives of B users, with or without a memory of them.

    Parameters
    ----------
    agent
        Any agent, or a plain function; one that is `Remembering` starts afresh.
    users
        B.
    world
        That is played. With it, slates that the environment would refuse are refused at once, in the agent's name.
    """

    def __init__(self, agent: Agent | SlateFunction, users: int, world: World | None = None) -> None:
        self.agent, self.world = as_agent(agent), world
        self.memory = self.agent.start(users) if isinstance(self.agent, Remembering) else {}
        self.asked = 0  # how often

    def act(self, observation: Any, which: NDArray[np.bool_ | np.int64]) -> NDArray[np.int64]:
        """Slates of the users of `which`, a mask (B,) or their numbers, for their rows of an observation."""
        memory: Memory = {}
        if isinstance(self.agent, Remembering):
            slates, memory = self.agent.follow(observation, select_users(self.memory, which))
        else:
            slates = self.agent.act(observation)
        if self.world is not None:
            slates = check_agent_slates(slates, self.agent, observation, self.world, f"slate {self.asked} of a life, ")
        for key, value in memory.items():
            self.memory[key][which] = value
        self.asked += 1
        return slates


def select_users(observation: Any, which: NDArray[np.bool_ | np.int64]) -> Any:
    """Some rows of an observation, nested or not, by a mask or by their numbers."""
    return {
        key: select_users(value, which) if isinstance(value, dict) else value[which]
        for key, value in observation.items()
    }
