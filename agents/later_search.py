"""What a choice changes in what follows, by a search over whole lives.

Once it is learned what is chosen and what it pays, planning is a matter of few numbers: how much more than it pays now
a click of an item with certain traits is worth. A slate's consequences drown in the noise of
returns; a whole month played with another weighting, by the same users with the same luck, shows them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cross_entropy import CrossEntropy
from .lives import lived_minutes, lives_env
from .players import SPREAD, training_luck

if TYPE_CHECKING:
    from .slateq_agent import SlateQAgent, SlateQOptions

BEHIND = SPREAD // 2  # luck of the first round, behind that of the players


class LaterSearch:
    """The cross-entropy method on the weights of an agent's `longplay.agents.slateq_network.SlateQNetwork.traits`.

    Parameters
    ----------
    agent
        Whose slates are tried.
    env
        Of the training users, for its world and the items' vectors.
    options
        ``search_…``.
    seed
        Of the trials, the users and their luck.
    """

    def __init__(self, agent: SlateQAgent, env: Any, options: SlateQOptions, seed: int) -> None:
        self.agent, self.options, self.seed = agent, options, seed
        self.env: Any = None  # made when it is needed, for it holds many users
        self._source = env
        elites = max(options.search_population // 4, 2)
        start = np.zeros(len(agent.network.later))
        self.search = CrossEntropy(start, options.search_spread, elites, options.search_rounds)

    @property
    def weights(self) -> NDArray[np.float32]:
        """(F + 2,) of the agent now, in units of the reward."""
        return self._unit * self.search.mean.astype(np.float32)

    @property
    def _unit(self) -> float:
        return float(self.agent.network.scale[0])

    def round(self) -> tuple[int, dict[str, float]]:
        """Play all trials, and move on; returns how many slates were shown, and mean and best minutes of the trials."""
        options = self.options
        users, trials = options.search_users, options.search_population
        if self.env is None:
            world = self._source.unwrapped.world
            self.env = lives_env(world, self._source.vectors[1:], users * trials, privileged=False)
            self._people = world.split("train")
        rng = np.random.default_rng((self.seed, self.search.done))
        tried = self.search.trials(trials, rng)
        people = rng.choice(np.arange(self._people.start, self._people.stop), users, replace=len(self._people) < users)
        weights = self._unit * np.repeat(tried, users, axis=0)
        played = 0

        def act(observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
            nonlocal played
            played += int(which.sum())
            return self.agent.slates(observation, weights[which])

        luck = training_luck(self.seed) + BEHIND + self.search.done
        minutes = lived_minutes(self.env, np.tile(people, trials), luck, act).reshape(trials, users).mean(axis=1)
        self.search.tell(tried, minutes)
        return played, {"trial_minutes": float(minutes.mean()), "best_trial": float(minutes.max())}

    def save_state(self) -> dict[str, Tensor]:
        """Everything that moves."""
        found = self.search
        return {
            "later_mean": torch.from_numpy(found.mean.copy()),
            "later_spread": torch.from_numpy(found.spread.copy()),
            "later_done": torch.tensor(found.done),
        }

    def load_state(self, state: Any) -> None:
        """Continue from `save_state`."""
        found = self.search
        found.mean, found.spread = state["later_mean"].numpy(), state["later_spread"].numpy()
        found.done = int(state["later_done"])
