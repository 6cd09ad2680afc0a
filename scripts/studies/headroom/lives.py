"""Lives of test users under a policy, and what of them a study of headroom counts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from longplay.agents.base import Agent, Memory, Remembering
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import TEST_LUCK
from longplay.agents.setting import Setting


class RepeatCounter:
    """An agent that plays another's slates, and counts the places that go to what the same user was shown before.

    Parameters
    ----------
    agent
        Whose slates.
    items
        N.

    Attributes
    ----------
    places, again
        Of each user (U,): filled places of all slates, and those of items that they were shown before in this life.
    """

    def __init__(self, agent: Agent, items: int) -> None:
        self.agent, self.items = agent, items
        self.name, self.privileged = agent.name, agent.privileged

    def start(self, users: int) -> Memory:
        """Nobody was shown anything."""
        self.seen = np.zeros((users, self.items + 1), bool)
        self.places, self.again = np.zeros(users, np.int64), np.zeros(users, np.int64)
        own = self.agent.start(users) if isinstance(self.agent, Remembering) else {}
        return {"row": np.arange(users), **{f"own {key}": value for key, value in own.items()}}

    def follow(self, observation: Any, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """The agent's slates, counted."""
        own = {key.removeprefix("own "): value for key, value in memory.items() if key.startswith("own ")}
        if isinstance(self.agent, Remembering):
            slates, own = self.agent.follow(observation, own)
        else:
            slates = self.agent.act(observation)
        rows, filled = memory["row"], np.asarray(slates) > 0
        self.places[rows] += filled.sum(axis=1)
        self.again[rows] += (self.seen[rows[:, None], slates] & filled).sum(axis=1)
        self.seen[rows[:, None], slates] = True
        return slates, {"row": rows, **{f"own {key}": value for key, value in own.items()}}

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Slates for users not met before."""
        return self.follow(observation, self.start(len(observation["context"])))[0]


def play_lives(
    setting: Setting, agent: Agent, users: int, progress: Callable[[float], None] = lambda share: None
) -> pd.DataFrame:
    """One row a test user: what `Evaluator` measures, and the counts of places and of the user's memory.

    Columns ``places`` and ``again`` are of `RepeatCounter`; ``entered`` and ``evicted`` count entries made in the
    user's memory of items, and those that were dropped for want of room before they had faded.
    """
    people = held_out_users(setting.world, "test", users)
    evaluator = Evaluator(setting.world, setting.item_vectors, people, TEST_LUCK)
    counter = RepeatCounter(agent, len(setting.world.catalog))
    lives = evaluator.play(counter, progress)
    coverage, lives.attrs = lives.attrs["coverage"], {}
    ended: Any = evaluator.people
    memory = {name: ended[name].astype(np.int64) for name in ("entered", "evicted")}
    return lives.assign(coverage=coverage, places=counter.places, again=counter.again, **memory)
