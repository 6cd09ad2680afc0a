"""Actions other than item numbers: indices of candidates, a query, weights over scoring features, or a preset of them.

Each wraps a vector environment with candidates (`Retriever`) and maps its action to item numbers, as a function of the
last observation and the action alone. The same maps turn a trained policy's actions into slates outside an environment.

==============  ========================  =================================================
action          space                     stable-baselines3 and sb3-contrib algorithms
==============  ========================  =================================================
``items``       MultiDiscrete([N+1] * K)  (too large to learn)
``candidates``  MultiDiscrete([M] * K)    PPO, A2C
``query``       Box(−1, 1, (E,))          PPO, A2C, RecurrentPPO, SAC, TQC, TD3, DDPG
``weights``     Box(−1, 1, (10,))         PPO, A2C, RecurrentPPO, SAC, TQC, TD3, DDPG, ARS
``presets``     Discrete(16)              PPO, A2C, RecurrentPPO, DQN, QR-DQN
==============  ========================  =================================================
"""

import difflib
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ..engine import Observation
from ..wrapper import SlateVectorWrapper
from .presets import stack_preset_weights
from .scoring import Scorer

ACTIONS = ("items", "candidates", "query", "weights", "presets")


class ActionMap(Protocol):
    """From actions to slates."""

    @property
    def space(self) -> gym.Space[Any]:
        """The space of one user's action."""

    def __call__(self, observation: Observation, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Slates (B, K) of item numbers for actions (B, ·)."""


class CandidateMap:
    """Actions are K indices of the M candidates, best position first."""

    def __init__(self, slots: int, candidates: int) -> None:
        self.space = gym.spaces.MultiDiscrete([candidates] * slots)
        self.count = candidates

    def __call__(self, observation: Observation, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Look the indices up."""
        shape = (len(observation["candidates"]), len(self.space.nvec))
        chosen = check_indices(actions, shape, self.count, "candidate")
        return np.take_along_axis(observation["candidates"], chosen, axis=1).astype(np.int64)


class QueryMap:
    """Actions are a vector in [−1, 1]^E; the K candidates with the largest inner product with it are shown."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.space = gym.spaces.Box(-1.0, 1.0, (scorer.vectors.shape[1],), np.float32)

    def __call__(self, observation: Observation, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Score the candidates by the query."""
        query = check_box(actions, self.space, len(observation["candidates"]), "query")
        ids = observation["candidates"].astype(np.int64)
        # User by user: a batched product would sum in another order for another batch.
        scores = np.stack([self.scorer.vectors[row] @ q for row, q in zip(ids, query, strict=True)])
        return self.scorer.fill(observation, scores, np.zeros(len(ids)), cap=self.scorer.slots)


class WeightMap:
    """Actions are weights in [−1, 1] over the scoring features (`longplay.envs.candidates.scoring.Scorer.weights`)."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.space = gym.spaces.Box(-1.0, 1.0, (len(scorer.weights),), np.float32)

    def __call__(self, observation: Observation, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Score the candidates by the weighted sum."""
        return self.scorer.recommend(
            observation, check_box(actions, self.space, len(observation["candidates"]), "weights")
        )


class PresetMap:
    """Actions are numbers of presets (`longplay.envs.candidates.presets.PRESETS`), each a fixed set of weights."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.weights = stack_preset_weights(scorer.weights)
        self.space = gym.spaces.Discrete(len(self.weights))

    def __call__(self, observation: Observation, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Score the candidates by the preset's weights."""
        chosen = check_indices(actions, (len(observation["candidates"]),), len(self.weights), "preset")
        return self.scorer.recommend(observation, self.weights[chosen])


def check_indices(actions: Any, shape: tuple[int, ...], count: int, name: str) -> NDArray[np.int64]:
    """Actions as integers from 0 to ``count − 1``; an error for another shape or type, or one out of range."""
    chosen = np.asarray(actions)
    if chosen.shape != shape or chosen.dtype.kind not in "iu":
        raise ValueError(f"{name} actions must be integers of shape {shape}, got {chosen.dtype} {chosen.shape}")
    wrong = chosen[(chosen < 0) | (chosen >= count)]
    if wrong.size:
        raise ValueError(f"{name} index {int(wrong[0])} is out of range; allowed: 0 to {count - 1}")
    return chosen.astype(np.int64)


def check_box(actions: Any, space: gym.spaces.Box, users: int, name: str) -> NDArray[np.float32]:
    """Actions (B, n) clipped to the box; an error for a wrong shape or a value that is not a number."""
    array = np.asarray(actions, dtype=np.float32)
    shape = (users, *space.shape)
    if array.shape != shape:
        raise ValueError(f"{name} actions have shape {array.shape}, expected {shape}: one row a user")
    if np.isnan(array).any():
        user, place = np.argwhere(np.isnan(array))[0]
        raise ValueError(f"{name} action of user slot {user} is NaN at place {place}; allowed: -1 to 1")
    return np.clip(array, -1.0, 1.0)


def make_action_map(action: str, scorer: Scorer, candidates: int) -> ActionMap:
    """The map of an action named ``"candidates"``, ``"query"``, ``"weights"`` or ``"presets"``.

    Parameters
    ----------
    scorer
        Maker of features and slates; scores of fitted models that it adds are weighted, too.
    candidates
        M.
    """
    if action == "candidates":
        return CandidateMap(scorer.slots, candidates)
    maps: dict[str, Callable[[Scorer], ActionMap]] = {"query": QueryMap, "weights": WeightMap, "presets": PresetMap}
    return maps[action](scorer)


class MappedAction(SlateVectorWrapper):
    """A vector environment whose actions go through an `ActionMap`."""

    def __init__(self, env: VectorEnv[Any, Any, Any], action_map: ActionMap) -> None:
        self.map = action_map
        space, batch = action_map.space, batch_space(action_map.space, env.num_envs)
        super().__init__(env)  # last, as Gymnasium 1.2 would close the caller's environment with a refused one
        self.single_action_space, self.action_space = space, batch
        self._observation: Observation | None = None

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """Reset, and keep the observation that the next actions answer."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._remember(observation), info

    def step(self, actions: NDArray[Any]) -> tuple[Observation, Any, Any, Any, dict[str, Any]]:
        """Step with the slates that the actions mean."""
        if self._observation is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        slates = self.map(self._observation, actions)
        observation, reward, terminated, truncated, info = self.env.step(slates)
        return self._remember(observation), reward, terminated, truncated, info

    def _remember(self, observation: Observation) -> Observation:
        # A copy: what the caller does to theirs must not change what the next action means.
        self._observation = {key: value.copy() for key, value in observation.items()}
        return observation

    def save_state(self) -> dict[str, NDArray[Any]]:
        """The environment's state."""
        state: dict[str, NDArray[Any]] = self.env.save_state()  # type: ignore[attr-defined]
        return state

    def load_state(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Continue from `save_state`."""
        observation: Observation = self.env.load_state(state)  # type: ignore[attr-defined]
        return self._remember(observation)


def check_action(action: str) -> None:
    """Refuse an unknown name of an action."""
    if action not in ACTIONS:
        close = difflib.get_close_matches(str(action), ACTIONS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"action = {action!r} is unknown{hint}; allowed: {', '.join(map(repr, ACTIONS))}")
