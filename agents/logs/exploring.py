"""A policy some of whose slates are random."""

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import ContextColumn, Observation
from ...envs.users.world import World
from ..base import Agent, Memory, Remembering, SlateFunction, as_agent, check_agent_slates, select_users


@dataclass
class ExploringAgent:
    """A policy some of whose slates are drawn at random from the whole catalogue; without one, all are.

    Which slates, and what is in them, is a function of the seed and of what is visible, so a user's slates do not
    depend on who else is played. Items that have not appeared yet are not drawn. An agent that remembers its users
    goes on doing so: it meets every observation, those that a random slate answers too.

    Parameters
    ----------
    world
        World whose items are drawn.
    agent
        Agent, or plain function, that chooses the other slates; ``None`` only with ``share=1``.
    share
        Share of the slates that are random, 0 to 1.
    seed
        Seed of the draws.
    """

    world: World
    agent: Agent | SlateFunction | None = None
    share: float = 1.0
    seed: int = 0
    name: str = field(init=False)
    privileged: bool = False

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if self.agent is None and self.share != 1:
            raise ValueError(f"share = {self.share!r} leaves slates to choose; give an agent")
        self._agent = None if self.agent is None else as_agent(self.agent)
        self.name = "random" if self._agent is None else f"{self._agent.name}, {self.share:.0%} random"
        self._appearing = self.world.scenario.appearing

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates, random or the agent's, for users of whom nothing is remembered."""
        return self.follow(observation, self.start(len(observation["context"])))[0]

    def start(self, users: int) -> Memory:
        """The agent's memory of users not met before; empty if it has none."""
        return self._agent.start(users) if isinstance(self._agent, Remembering) else {}

    def follow(self, observation: Observation, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """Slates, random or the agent's, and what the agent remembers from here on."""
        slates = np.zeros((len(observation["context"]), self.world.scenario.shape.slate), np.int64)
        random = np.zeros(len(slates), bool)
        days = observation["context"][:, ContextColumn.DAY]
        for b, (context, history) in enumerate(zip(observation["context"], observation["history_ids"], strict=True)):
            rng = np.random.default_rng(zlib.crc32(history.tobytes(), zlib.crc32(context.tobytes(), self.seed)))
            random[b] = self.share == 1 or rng.random() < self.share
            if random[b]:
                drawn = self._draw(rng, float(days[b]))
                slates[b, : len(drawn)] = drawn
        agent: Any = self._agent
        remembers = isinstance(agent, Remembering)
        if remembers:
            chosen, memory = agent.follow(observation, memory)
            slates[~random] = check_agent_slates(chosen, agent, observation, self.world)[~random]
        elif agent is not None and not random.all():
            asked = select_users(observation, ~random)
            slates[~random] = check_agent_slates(agent.act(asked), agent, asked, self.world)
        return slates, memory

    def _draw(self, rng: np.random.Generator, day: float) -> NDArray[np.int64]:
        size = self.world.scenario.shape.slate
        if not self._appearing:
            return 1 + rng.choice(len(self.world.catalog), size, replace=False)
        live = np.flatnonzero(self.world.born[1:] <= day)
        return 1 + rng.choice(live, min(size, len(live)), replace=False)
