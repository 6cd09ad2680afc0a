"""What a choice changes in what follows, by a search over whole lives.

Once it is learned what is chosen and what it pays, planning is a matter of few numbers: how much more than it pays now
a click of an item with certain traits is worth. A slate's consequences drown in the noise of
returns; a whole month played with another weighting, by the same users with the same luck, shows them all. With γ = 0
the same search asks what a slate pays, so that mending what was learned does not pass for foresight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...playing.cross_entropy import CrossEntropy
from ...playing.trials import LifeTrials

if TYPE_CHECKING:
    from .agent import SlateQAgent, SlateQOptions


class LookaheadSearch:
    """The cross-entropy method on the weights of an agent's `SlateQNetwork.traits`.

    Parameters
    ----------
    agent
        Whose slates are tried.
    env
        Of the training users, for its world and the items' vectors.
    options
        ``search_…``.
    gamma, seed
        As of `longplay.agents.playing.trials.LifeTrials`.
    """

    def __init__(self, agent: SlateQAgent, env: Any, options: SlateQOptions, gamma: float, seed: int) -> None:
        self.agent, self.rounds = agent, options.search_rounds
        self.trials = LifeTrials(env, options.search_population, options.search_users, gamma, seed)
        elites = max(options.search_population // 3, 2)
        start = np.zeros(len(agent.network.later))
        self.search = CrossEntropy(start, options.search_spread, elites, options.search_rounds)

    @property
    def done(self) -> bool:
        """Whether all rounds are played."""
        return self.search.done >= self.rounds

    @property
    def weights(self) -> NDArray[np.float32]:
        """(F + 2,) of the agent now, in units of the reward."""
        return self._unit * self.search.mean.astype(np.float32)

    @property
    def _unit(self) -> float:
        return float(self.agent.network.scale[0])

    def play_round(self) -> tuple[int, dict[str, float]]:
        """Play all trials, and move on; returns how many slates were shown, and mean and best value of the trials."""
        number = self.search.done
        candidates = self.search.draw_trials(self.trials.count, np.random.default_rng((self.trials.seed, number, 1)))
        weights = self._unit * np.repeat(candidates, self.trials.users, axis=0)
        values, shown = self.trials.play(number, lambda seen, which: self.agent.choose_weighted(seen, weights[which]))
        self.search.tell(candidates, values)
        return shown, {"trial_value": float(values.mean()), "best_trial": float(values.max())}

    def save_state(self) -> dict[str, Tensor]:
        """Everything that moves."""
        search = self.search
        return {
            "later_mean": torch.from_numpy(search.mean.copy()),
            "later_spread": torch.from_numpy(search.spread.copy()),
            "later_done": torch.tensor(search.done),
        }

    def load_state(self, state: Any) -> None:
        """Continue from `save_state`."""
        search = self.search
        search.mean, search.spread = state["later_mean"].numpy(), state["later_spread"].numpy()
        search.done = int(state["later_done"])
