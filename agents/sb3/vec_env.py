"""The native vector environments as a stable-baselines3 `VecEnv` of what a policy is given."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from ...envs.engine import Observation
from ..playing.training_users import REWARD_SCALE
from .states import States, make_state_space


class SlateVecEnv(VecEnv):
    """A native vector environment in SAME_STEP mode as a stable-baselines3 `VecEnv` of encoded states.

    Parameters
    ----------
    env
        A vector environment with ``autoreset_mode=SAME_STEP``.
    encoder
        Dict observations (B, ·) to states (B, width), or to the parts of an `OpenState` or of `SlateStates`.
    """

    def __init__(self, env: Any, encoder: States) -> None:
        if env.metadata["autoreset_mode"] != gym.vector.AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {env.metadata['autoreset_mode']}; stable-baselines3 needs SAME_STEP")
        self.env, self.encoder = env, encoder
        super().__init__(env.num_envs, make_state_space(encoder), env.single_action_space)
        self.returns = np.zeros(self.num_envs)  # minutes of the running episodes
        self.lengths = np.zeros(self.num_envs, np.int64)
        self._first_seed: int | None = None
        self._actions: NDArray[Any] | None = None

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed the next reset; slot i gets ``seed + i``."""
        self._first_seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def reset(self) -> Any:
        """Start new episodes."""
        observation, _ = self.env.reset(seed=self._first_seed)
        self._first_seed = None
        self.returns[:] = 0.0
        self.lengths[:] = 0
        return self.encoder(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step; where an episode ends comes the next one's first state, its own last state being in the info."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        self.returns += reward
        self.lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(done)
        if len(ended):
            last = self.encoder(_stack_observations([info["final_obs"][b] for b in ended]))
            for row, b in enumerate(ended):
                infos[b] = {
                    "terminal_observation": _take_row(last, row),
                    "TimeLimit.truncated": bool(truncated[b] and not terminated[b]),
                    "episode": {"r": float(self.returns[b]), "l": int(self.lengths[b])},
                }
            self.returns[ended] = 0.0
            self.lengths[ended] = 0
        return self.encoder(observation), (REWARD_SCALE * reward).astype(np.float32), done, infos

    def save_state(self) -> dict[str, NDArray[Any]]:
        """Everything that moves."""
        return {**self.env.save_state(), "returns": self.returns.copy(), "lengths": self.lengths.copy()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `save_state`."""
        self.env.load_state(state)
        self.returns[:] = state["returns"]
        self.lengths[:] = state["lengths"]

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The environment's attribute, once for each slot asked for."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not possible for single slots of a native batch."""
        raise NotImplementedError("the slots are one batch; set the attribute on .env")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not possible for single slots of a native batch."""
        raise NotImplementedError("the slots are one batch; call the method on .env")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No slot is wrapped on its own."""
        return [False] * len(list(self._get_indices(indices)))


def _take_row(states: Any, row: int) -> Any:
    return {name: part[row] for name, part in states.items()} if isinstance(states, dict) else states[row]


def _stack_observations(observations: list[Observation]) -> Observation:
    return {key: np.stack([o[key] for o in observations]) for key in observations[0]}
