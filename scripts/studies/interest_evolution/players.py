"""Policies on the simulated users of SlateQ (`longplay.envs.literature.interest_evolution`), and how they are compared.

A policy is a function from observations (B, ·) to columns (B, K) of the candidates, such as the ``act`` of an agent.
Published (Ie et al., 2019) are 159.2 minutes for random slates, 166.3 for myopic ones and 174.6 for SlateQ; the tests
hold the first two here, and the order. Two more rules say how much there is to gain where quality can be seen.
"""

from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from longplay.agents.playing.luck import training_luck
from longplay.agents.playing.training_users import REWARD_SCALE, SlateOutcome
from longplay.agents.slates.inputs import Inputs
from longplay.envs.literature.interest_evolution import (
    Columns,
    Constants,
    Floats,
    InterestEvolutionVectorEnv,
    Observation,
)

Policy = Callable[[Observation], Columns]


def choose_random(observation: Observation, slots: int = 3) -> Columns:
    """Random candidates: they come in random order, so the first K are a random slate."""
    return np.tile(np.arange(slots), (len(observation["interest"]), 1))


def choose_most_interesting(observation: Observation, slots: int = 3) -> Columns:
    """The most minutes now: all documents pay the same, so the K that the user is most interested in."""
    return _choose_top(_read_interest(observation), slots)


def choose_best_quality(observation: Observation, slots: int = 3) -> Columns:
    """The K of the highest quality, whatever the user is interested in."""
    return _choose_top(_read_quality(observation), slots)


def choose_thrifty(observation: Observation, setting: Constants | None = None, price: float = 1.4) -> Columns:
    """The full slate that pays most once the budget it uses is paid for; knows the user model, foresees no interest.

    A unit of budget is worth `price` minutes later on, so a click on d is worth ``ℓ − price (cost(d) − skip)`` more
    than a skip; all slates are tried. The default price is about what the rule itself earns with a unit.
    """
    s = setting or Constants()
    interest = _read_interest(observation)
    weight = np.exp(interest)
    satisfaction = (1.0 - s.quality_weight) * interest + s.quality_weight * _read_quality(observation)
    gain = s.length - price * (s.length - s.bonus * s.length * satisfaction - s.skip)
    slates: Columns = np.array(list(combinations(range(interest.shape[1]), s.slots)), np.int64)
    worth = (weight * gain)[:, slates].sum(axis=2) / (np.exp(s.nothing) + weight[:, slates].sum(axis=2))
    return np.asarray(slates[worth.argmax(axis=1)])


def play_sessions(policy: Policy, sessions: int, seed: int = 0, setting: Constants | None = None) -> Floats:
    """(sessions,) minutes of whole sessions; every policy meets the same users and candidates with one seed.

    Entry i is the first session of luck ``seed + i``, so differences between policies are taken in pairs.
    """
    env = InterestEvolutionVectorEnv(sessions, setting)
    observation, _ = env.reset(seed=seed)
    total, playing = np.zeros(sessions), np.ones(sessions, bool)
    while playing.any():
        observation, minutes, terminated, _, _ = env.step(policy(observation))
        total += minutes * playing
        playing &= ~terminated
    return total


class EvolutionInputs:
    """Observations to `Inputs`, as `longplay.agents.slates.inputs.SlateInputs` makes them of the other environments.

    The state is the interests; of a candidate there are its topic and its quality, and that it is no repetition: all
    documents are new. Its number is that of its topic.
    """

    def __init__(self, setting: Constants) -> None:
        topics = tuple(f"topic {t}" for t in range(setting.topics))
        self.item_features = (*topics, "quality", "repeated")
        self.state_width, self.item_width = setting.topics, len(self.item_features)
        self.scorer = SimpleNamespace(main_topic=np.arange(setting.topics + 1))
        self.identity = "interest evolution"

    def __call__(self, observation: Observation) -> Inputs:
        """Inputs of observations (B, ·); row b depends on row b alone."""
        inputs = InterestEvolutionVectorEnv.inputs(observation)
        return Inputs(inputs.state, np.pad(inputs.items, ((0, 0), (0, 0), (0, 1))), inputs.ids)


class EvolutionPlayers:
    """Sessions in front of a learner: what `TrainingUsers` is for other environments.

    Parameters
    ----------
    num_envs
        B.
    seed
        Slot i has luck ``training_luck(seed + 1) + i``, so that seed 0 does not meet the first test sessions.
    setting
        The constants.
    """

    def __init__(self, num_envs: int, seed: int, setting: Constants | None = None) -> None:
        self.env = InterestEvolutionVectorEnv(num_envs, setting)
        self.inputs = EvolutionInputs(self.env.constants)
        self.minutes, self.finished = np.zeros(num_envs), list[float]()
        observation, _ = self.env.reset(seed=training_luck(seed + 1))
        self.now = self.inputs(observation)

    def step(self, columns: NDArray[np.int64]) -> SlateOutcome:
        """Show each user the candidates at `columns` (B, K), −1 for an empty slot; `now` moves on."""
        observation, minutes, terminated, truncated, info = self.env.step(columns)
        ended, last = np.flatnonzero(terminated), None
        if len(ended):
            rows = [info["final_obs"][b] for b in ended]
            last = self.inputs({key: np.stack([row[key] for row in rows]) for key in rows[0]})
        self.minutes += minutes
        self.finished = [*self.finished, *self.minutes[ended].tolist()][-100:]
        self.minutes[ended] = 0.0
        self.now = self.inputs(observation)
        reward, days = (REWARD_SCALE * minutes).astype(np.float32), np.zeros(len(minutes), np.float32)
        return SlateOutcome(info["choice"], reward, terminated, truncated, terminated.copy(), days, ended, last)


def _read_interest(observation: Observation) -> Floats:
    """(B, M) interest in each candidate."""
    topics = observation["candidates"][..., :-1].argmax(axis=2)
    return np.take_along_axis(observation["interest"], topics, axis=1).astype(np.float64)


def _read_quality(observation: Observation) -> Floats:
    """(B, M) quality of each candidate."""
    return observation["candidates"][..., -1].astype(np.float64)


def _choose_top(scores: Floats, slots: int) -> Columns:
    """Columns of the largest scores, largest first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :slots].astype(np.int64)
