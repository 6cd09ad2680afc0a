"""The native vector environments as a stable-baselines3 `VecEnv` of what a policy is given."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from ...envs.engine import ContextColumn, Observation
from .states import States, make_state_space

OF_ALL_SLOTS = ("luck", "world")  # parts of a saved state that have no row for each slot


class Step(NamedTuple):
    """What came of one slate for each of B users, E of whose episodes ended.

    Attributes
    ----------
    states
        Encoded states that come next, (B, width) or parts of them.
    rewards
        (B,) float32, scaled.
    done
        (B,) bool: the episode ended.
    ended
        (E,) int64 slots whose episode ended.
    truncated
        (E,) bool: by the horizon, not by churn.
    last
        Encoded states (E, ·) that these episodes ended in; None where none did.
    episodes
        Of each of them ``r``, all that it paid, unscaled, and ``l``, its slates.
    info
        The environment's.
    """

    states: Any
    rewards: NDArray[np.float32]
    done: NDArray[np.bool_]
    ended: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    last: Any
    episodes: list[dict[str, Any]]
    info: Mapping[str, Any]


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
        sessions = self._sessions
        step = self.advance(self._actions)
        infos = self._list_infos(step.info, sessions)
        for row, (b, episode) in enumerate(zip(step.ended, step.episodes, strict=True)):
            infos[b] |= {
                "terminal_observation": _take_row(step.last, row),
                "TimeLimit.truncated": bool(step.truncated[row]),
                "episode": episode,
            }
        return step.states, step.rewards, step.done, infos

    def advance(self, actions: Any) -> Step:
        """Step as arrays, for callers that take no list of infos."""
        observation, reward, terminated, truncated, info = self.env.step(actions)
        done = terminated | truncated
        self.returns += reward
        self.lengths += 1
        ended = np.flatnonzero(done)
        last = self.encoder(_stack_observations([info["final_obs"][b] for b in ended])) if len(ended) else None
        episodes = [{"r": float(self.returns[b]), "l": int(self.lengths[b])} for b in ended]
        self.returns[ended] = 0.0
        self.lengths[ended] = 0
        self._sessions = _read_sessions(observation)
        scaled = (self.scale * reward).astype(np.float32)
        over = (truncated & ~terminated)[ended]
        return Step(self.encoder(observation), scaled, done, ended, over, last, episodes, info)

    @staticmethod
    def _list_infos(info: Mapping[str, Any], sessions: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Of each slot what came of its slate; where an episode ended, `info` itself speaks of the next one."""
        values = {name: info[name] for name in ("user", "item", "left")}
        if "final_info" in info:
            over, final = info["_final_info"], info["final_info"]
            values = {name: np.where(over, final[name], value) for name, value in values.items()}
        rows = zip(*(value.tolist() for value in values.values()), sessions.tolist(), strict=True)
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


class SideBySide(VecEnv):
    """Several `SlateVecEnv` as one, each of which can be stepped in a thread of its own (`parts`).

    Who lives in a slot and by which luck does not depend on how the slots are divided.

    Parameters
    ----------
    parts
        Environments of the same kind; their slots follow one another.
    """

    def __init__(self, parts: Sequence[SlateVecEnv]) -> None:
        self.parts = tuple(parts)
        first = self.parts[0]
        ends = np.cumsum([part.num_envs for part in self.parts])
        self.slots = [slice(int(end) - part.num_envs, int(end)) for part, end in zip(self.parts, ends, strict=True)]
        super().__init__(int(ends[-1]), first.observation_space, first.action_space)
        self._actions: NDArray[Any] | None = None

    @property
    def encoder(self) -> States:
        """Observations to states."""
        return self.parts[0].encoder

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed the next reset; slot i gets ``seed + i``."""
        for part, slots in zip(self.parts, self.slots, strict=True):
            part.seed(None if seed is None else seed + slots.start)
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def reset(self) -> Any:
        """Start new episodes."""
        return np.concatenate([part.reset() for part in self.parts])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step one part after the other."""
        actions = self._actions
        assert actions is not None
        steps = [part.step(actions[slots]) for part, slots in zip(self.parts, self.slots, strict=True)]
        states, rewards, done, infos = zip(*steps, strict=True)
        return (
            np.concatenate(states),
            np.concatenate(rewards),
            np.concatenate(done),
            [info for part in infos for info in part],
        )

    def save_state(self) -> dict[str, NDArray[Any]]:
        """Everything that moves, as one environment of all slots would save it."""
        states = [part.save_state() for part in self.parts]
        return {
            name: value if name in OF_ALL_SLOTS else np.concatenate([state[name] for state in states])
            for name, value in states[0].items()
        }

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `save_state`."""
        for part, slots in zip(self.parts, self.slots, strict=True):
            part.load_state({name: v if name in OF_ALL_SLOTS else v[slots] for name, v in state.items()})

    def close(self) -> None:
        """Close the parts."""
        for part in self.parts:
            part.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The environments' attribute, once for each slot asked for."""
        whole = [value for part in self.parts for value in part.get_attr(attr_name)]
        return [whole[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not possible for single slots of a native batch."""
        raise NotImplementedError("the slots are batches; set the attribute on .env of each of .parts")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not possible for single slots of a native batch."""
        raise NotImplementedError("the slots are batches; call the method on .env of each of .parts")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Yes of `Monitor`, as of each part."""
        return self.parts[0].env_is_wrapped(wrapper_class, [0]) * len(list(self._get_indices(indices)))


def _read_sessions(observation: Observation) -> NDArray[np.int64]:
    return observation["context"][:, ContextColumn.SESSION].astype(np.int64)


def _take_row(states: Any, row: int) -> Any:
    return {name: part[row] for name, part in states.items()} if isinstance(states, dict) else states[row]


def _stack_observations(observations: list[Observation]) -> Observation:
    return {key: np.stack([o[key] for o in observations]) for key in observations[0]}
