"""Linear bandits with a posterior for each user, which go on learning while they are played."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....envs.candidates.scoring import Scorer
from ....envs.engine import Observation
from ....envs.shared.options import logarithmically, number
from ....envs.users.world import World
from ...base import Memory
from ...registry import RULES
from .linear import BanditOptions, BanditRuleOptions, LinearBandit, make_bandit_rule, select_shown
from .posterior import Posterior


@dataclass(frozen=True)
class PersonalOptions(BanditRuleOptions):
    """Options of a linear bandit that goes on learning about each user."""

    prior_slots: float = number(1000.0, 10.0, 1e5, search=logarithmically())
    """Slots of a user's own that weigh as much as all that was learned from others."""


class PersonalBandit(LinearBandit):
    """A posterior for each user, which starts from the shared one and goes on learning in the user's life.

    What was learned from others counts as `BanditOptions.prior_slots` slots. The memory of a user is the posterior and
    the slate shown last, whose response the next observation brings; a slate that somebody else chose teaches nothing.
    Without a memory (`act`) every user is one not met before.
    """

    def __init__(self, world: World, scorer: Scorer, options: BanditOptions | None = None) -> None:
        super().__init__(world, scorer, options)
        self.name = f"personal {self.options.label}"
        self._minutes = world.items["minutes"].astype(np.float64)  # what a completed item pays

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates for users not met before."""
        return self.follow(observation, self.start(len(observation["candidates"])))[0]

    def start(self, users: int) -> Memory:
        """The shared posterior for each user, and no slate yet."""
        prior = self._learned.scale(min(1.0, self.options.prior_slots / max(self.slots_learned, 1.0)))
        width, slots = len(prior.moment), self.scorer.slots
        return {
            "precision": np.tile(prior.precision, (users, 1, 1)),
            "moment": np.tile(prior.moment, (users, 1)),
            "slate": np.zeros((users, slots), np.int64),
            "shown": np.zeros((users, slots, width)),
        }

    def follow(self, observation: Observation, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """Learn from the response to the slate shown last, then choose the next one."""
        slates, response = memory["slate"], observation["slate_response"].astype(np.float64)
        answered = (slates == observation["slate_ids"]).all(axis=1)
        choice = np.where((response > 0).any(axis=1), response.argmax(axis=1), -1)
        minutes = (response * self._minutes[slates]).sum(axis=1)
        inputs, rewards, weights = self._read_lesson(memory["shown"], slates, choice, minutes)
        before = Posterior(memory["precision"], memory["moment"])
        posterior = before.learn(inputs, rewards, weights * answered[:, None])
        candidates = self._inputs(observation)
        chosen = self._choose(observation, candidates, posterior, self.options.play_alpha)
        after = {
            "precision": posterior.precision,
            "moment": posterior.moment,
            "slate": chosen,
            "shown": select_shown(candidates, observation, chosen),
        }
        return chosen, after


NOTE = ", prior of {prior_slots:.3g} slots"
RULES.register(
    "personal-linucb",
    make_bandit_rule(
        "ucb",
        title="personal LinUCB",
        about="LinUCB that learns on with each user",
        kind=PersonalBandit,
        options=PersonalOptions,
        note=NOTE,
    ),
    quick=False,
)
RULES.register(
    "personal-lints",
    make_bandit_rule(
        "thompson",
        title="personal LinTS",
        about="LinTS that learns on with each user",
        kind=PersonalBandit,
        options=PersonalOptions,
        note=NOTE,
    ),
    quick=False,
)
