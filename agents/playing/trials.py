"""Whole lives of named users under given luck: what a search scores its trials by, all on the same lives.

LifeTrials that play the same users with the same luck differ by what they show alone, so that their difference shows in
far fewer lives (common random numbers; policies searched so: Ng and Jordan, 2000, PEGASUS).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ...envs.candidates.retriever import Retriever
from ...envs.env import SlateVectorEnv, check_slates
from ...envs.users.world import World
from ..base import select_users
from .luck import TRIAL_LUCK, training_luck


def make_life_env(
    world: World, item_vectors: NDArray[np.float32], num_envs: int, *, privileged: bool = True
) -> Retriever:
    """Lives with candidates that pay minutes; `privileged` for references alone, which see the hidden state."""
    mode = AutoresetMode.DISABLED
    bare = SlateVectorEnv(world, num_envs, autoreset_mode=mode, privileged=privileged, reward="minutes")
    return Retriever(bare, item_vectors)


def sum_life_minutes(
    env: Retriever, users: NDArray[np.int64], luck: int, act: Callable[[Any, NDArray[np.bool_]], NDArray[np.int64]]
) -> NDArray[np.float64]:
    """(B,) minutes of whole lives; `act` is given the rows of the observation of the users of a mask, and the mask.

    Where the environment is privileged, the observation has the hidden state as ``"latent"``.
    """
    observation, info = env.reset(seed=luck, options={"users": users})
    minutes, active = np.zeros(len(users)), np.ones(len(users), bool)
    world: World = env.unwrapped.world  # type: ignore[attr-defined]
    slates = np.zeros((len(users), world.scenario.shape.slate), np.int64)
    while active.any():
        hidden = {"latent": info["latent"]} if "latent" in info else {}
        chosen = act(select_users({**observation, **hidden}, active), active)
        slates[active] = check_slates(chosen, slates[active].shape, len(world.catalog))
        observation, reward, terminated, truncated, info = env.step(slates)
        minutes += reward
        active = ~(terminated | truncated)
    return minutes


def sum_slate_minutes(
    env: Retriever,
    users: NDArray[np.int64],
    count: int,
    luck: int,
    act: Callable[[Any, NDArray[np.bool_]], NDArray[np.int64]],
) -> NDArray[np.float64]:
    """(B,) minutes of the slates of `count` trials in the same states: those that the first trial comes to.

    Everybody lives as the first trial has it. At each of its slates time stands still while every trial shows its own
    and is paid for it: nothing that follows counts. `users` and `act` as of `sum_life_minutes`, trial after trial.
    """
    observation, _ = env.reset(seed=luck, options={"users": users})
    minutes, active = np.zeros(len(users)), np.ones(len(users), bool)
    world: World = env.unwrapped.world  # type: ignore[attr-defined]
    slates = np.zeros((len(users), world.scenario.shape.slate), np.int64)
    while active.any():
        chosen = act(select_users(observation, active), active)
        slates[active] = check_slates(chosen, slates[active].shape, len(world.catalog))
        before = env.save_state()
        minutes += env.step(slates)[1]
        env.load_state(before)
        first = slates[: len(users) // count]
        observation, _, terminated, truncated, _ = env.step(np.tile(first, (count, 1)))
        active = ~(terminated | truncated)
    return minutes


class LifeTrials:
    """Trials of a search over whole lives: each plays the same training users with the same luck.

    Parameters
    ----------
    env
        A `Retriever` of the training users, for its world and the items' vectors.
    count, users
        LifeTrials P, and users U whom each of them plays.
    gamma
        With 0 a trial is worth the minutes of a slate, in states that all trials share, otherwise those of a month.
    seed
        Seed of who is played and of their luck.
    """

    def __init__(self, env: Any, count: int, users: int, gamma: float, seed: int) -> None:
        self.count, self.users, self.gamma, self.seed = count, users, gamma, seed
        self._source = env
        self._env: Any = None  # made when it is needed, for it holds many users

    def play(
        self, number: int, act: Callable[[Any, NDArray[np.bool_]], NDArray[np.int64]]
    ) -> tuple[NDArray[np.float64], int]:
        """Play a round: values (P,) of its trials, and how many slates were shown.

        Parameters
        ----------
        number
            Number of the round: other rounds play other users, with other luck.
        act
            Callable as of `sum_life_minutes`; row ``p·U + u`` is trial p.
        """
        world = self._source.unwrapped.world
        if self._env is None:
            self._env = make_life_env(world, self._source.vectors[1:], self.users * self.count, privileged=False)
        people, rng = world.split("train"), np.random.default_rng((self.seed, number))
        met = rng.choice(np.arange(people.start, people.stop), self.users, replace=len(people) < self.users)
        shown = np.zeros(self.count * self.users, np.int64)

        def count_and_act(observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
            shown[which] += 1
            return act(observation, which)

        everybody, luck = np.tile(met, self.count), training_luck(self.seed) + TRIAL_LUCK + number
        if self.gamma > 0:
            minutes, each = sum_life_minutes(self._env, everybody, luck, count_and_act), float(self.users)
        else:
            minutes = sum_slate_minutes(self._env, everybody, self.count, luck, count_and_act)
            each = float(shown[: self.users].sum())
        return minutes.reshape(self.count, -1).sum(axis=1) / each, int(shown.sum())
