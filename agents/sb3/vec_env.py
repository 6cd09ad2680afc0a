"""The native vector environments as a stable-baselines3 `VecEnv` of what a policy is given."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from ...envs.engine import ContextColumn, Observation
from .states import States, make_state_space


class SlateVecEnv(VecEnv):
    """A native vector environment in SAME_STEP mode as a stable-baselines3 `VecEnv` of encoded states.

    Rewards are the environment's: minutes of a slate, or clicks or returns where it pays those. `evaluate_policy`,
    `EvalCallback` and ``info["episode"]`` report that unit whatever the scale. Each slot's info has of the slate just
    shown

    - ``user``: who it was;
    - ``item``: the item chosen, 1 to N, or 0 for none;
    - ``left``: whether the slate ended its session;
    - ``session``: the number of that session, 0 for the user's first;

    and where an episode ended, ``terminal_observation``, ``TimeLimit.truncated`` (the horizon, not churn) and
    ``episode`` with ``r``, all that it paid, unscaled, and ``l``, its slates.

    Parameters
    ----------
    env
        A vector environment with ``autoreset_mode=SAME_STEP``.
    encoder
        Dict observations (B, ·) to states (B, width), or to the parts of an `OpenState` or of `SlateStates`.
    scale
        Reward of a minute. The trainings of this package take 0.1, so that values are of order one; for environments
        that pay minutes alone.
    """

    def __init__(self, env: Any, encoder: States, scale: float = 1.0) -> None:
        if not hasattr(env, "single_action_space"):
            raise ValueError(
                f"env is {env}, of a single user; SlateVecEnv takes a vector environment: gymnasium.make_vec(id, "
                "num_envs=..., autoreset_mode='SameStep')"
            )
        if env.metadata["autoreset_mode"] != gym.vector.AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {env.metadata['autoreset_mode']}; stable-baselines3 needs SAME_STEP")
        paid = env.unwrapped.reward
        if scale != 1.0 and paid != "minutes":
            raise ValueError(f"scale = {scale:g} is for rewards in minutes, this environment pays {paid}; leave it out")
        if not 0.0 < scale < np.inf:
            raise ValueError(f"scale = {scale} is out of range; allowed: above 0, and finite")
        self.env, self.encoder, self.scale = env, encoder, scale
        super().__init__(env.num_envs, make_state_space(encoder), env.single_action_space)
        self.returns = np.zeros(self.num_envs)  # what the running episodes paid, unscaled
        self.lengths = np.zeros(self.num_envs, np.int64)
        self._sessions = np.zeros(self.num_envs, np.int64)  # of the slates that come next
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
        self._sessions = _read_sessions(observation)
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
        infos = self._list_infos(info)
        ended = np.flatnonzero(done)
        if len(ended):
            last = self.encoder(_stack_observations([info["final_obs"][b] for b in ended]))
            for row, b in enumerate(ended):
                infos[b] |= {
                    "terminal_observation": _take_row(last, row),
                    "TimeLimit.truncated": bool(truncated[b] and not terminated[b]),
                    "episode": {"r": float(self.returns[b]), "l": int(self.lengths[b])},
                }
            self.returns[ended] = 0.0
            self.lengths[ended] = 0
        self._sessions = _read_sessions(observation)
        return self.encoder(observation), (self.scale * reward).astype(np.float32), done, infos

    def _list_infos(self, info: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Of each slot what came of its slate; where an episode ended, `info` itself speaks of the next one."""
        values = {name: info[name] for name in ("user", "item", "left")}
        if "final_info" in info:
            over, final = info["_final_info"], info["final_info"]
            values = {name: np.where(over, final[name], value) for name, value in values.items()}
        rows = zip(*(value.tolist() for value in values.values()), self._sessions.tolist(), strict=True)
        return [dict(zip((*values, "session"), row, strict=True)) for row in rows]

    def save_state(self) -> dict[str, NDArray[Any]]:
        """Everything that moves."""
        return {**self.env.save_state(), "returns": self.returns.copy(), "lengths": self.lengths.copy()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `save_state`."""
        self._sessions = _read_sessions(self.env.load_state(state))
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
        """Yes of `Monitor`, for ``info["episode"]`` has what an episode truly paid; of others no."""
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))


def _read_sessions(observation: Observation) -> NDArray[np.int64]:
    return observation["context"][:, ContextColumn.SESSION].astype(np.int64)


def _take_row(states: Any, row: int) -> Any:
    return {name: part[row] for name, part in states.items()} if isinstance(states, dict) else states[row]


def _stack_observations(observations: list[Observation]) -> Observation:
    return {key: np.stack([o[key] for o in observations]) for key in observations[0]}
