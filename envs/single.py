"""The Gymnasium face of one user: a vector environment of one."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from .engine import Observation
from .env import SlateVectorEnv, check_slates
from .specs import KeepsSpec
from .users.records import ACTIVE, CHURNED, HORIZON
from .users.world import World


class SlateEnv(KeepsSpec, gym.Env[Observation, Any]):  # type: ignore[misc]  # an attribute there, a property here
    """One user at a time: a vector environment of one, with the batch axis taken off.

    Everything is as in `SlateVectorEnv`; ``options={"user": n}`` names the user. ``gymnasium.make`` makes one of its
    kinds by name, see `longplay.envs.NamedEnv`.

    Parameters
    ----------
    vector
        A vector environment of one slot whose autoreset is disabled, wrapped or not.

    Raises
    ------
    ValueError
        If `vector` has more slots, or resets by itself.

    Examples
    --------
    >>> from longplay import SlateEnv, SlateVectorEnv, make_world
    >>> env = SlateEnv(SlateVectorEnv(make_world("tiny"), 1, autoreset_mode="Disabled"))
    >>> observation, info = env.reset(seed=7, options={"user": 42})
    >>> int(info["user"]), observation["slate_ids"].shape
    (42, (2,))
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 2}

    def __init__(self, vector: Any) -> None:
        if vector.num_envs != 1 or vector.metadata["autoreset_mode"] != AutoresetMode.DISABLED:
            raise ValueError("SlateEnv needs a vector environment with num_envs=1 and autoreset_mode=DISABLED")
        self.vector = vector
        self.metadata = {**type(self).metadata, "render_modes": vector.metadata["render_modes"]}
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space
        self.render_mode = vector.render_mode
        # The very class: another one, or a wrapper, may do more in its own step.
        self._alone = type(vector) is SlateVectorEnv and vector.render_mode in (None, "ansi")
        self._limits = len(self.world.catalog), self.world.scenario.shape.slate

    @property
    def world(self) -> World:
        """Items and people."""
        world: World = self.vector.unwrapped.world
        return world

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the next episode; ``seed`` fixes the luck, ``options={"user": n}`` names the user."""
        super().reset(seed=seed)
        options = dict(options or {})
        user = options.pop("user", None)
        if options:
            raise ValueError(f"reset option {next(iter(options))!r} is unknown; allowed: 'user'")
        if user is not None and (np.ndim(user) or not np.issubdtype(np.asarray(user).dtype, np.integer)):
            raise ValueError(f"options['user'] must be a whole number, got {user!r}")
        observation, info = self.vector.reset(seed=seed, options=None if user is None else {"users": [user]})
        return self._take_user(observation), self._unbatch_info(info)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show one slate."""
        if self._alone:
            return self._step_alone(action)
        observation, reward, terminated, truncated, info = self.vector.step(np.asarray(action)[None])
        return (
            self._take_user(observation),
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            self._unbatch_info(info),
        )

    def _step_alone(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """`SlateVectorEnv.step` for one slot that neither resets by itself nor is drawn, without arrays of one."""
        vector = self.vector
        if not vector._seeded:
            raise gym.error.ResetNeeded("call reset() before step()")
        engine, before = vector.engine, vector._finished
        minutes = engine.read(self._check_slate(action))
        paid = minutes[0] if vector.reward == "minutes" else vector._compute_reward(minutes, before)[0]
        status = int(engine.users["status"][0])
        vector._finished = np.array([status != ACTIVE])
        observation, whole, real = engine.observe_first()
        info: dict[str, Any] = {
            "user": np.int32(whole[0]),
            "choice": whole[1],
            "item": whole[2],
            "completion": real[0],
            "left": bool(whole[3]),
            "day": real[1],
        }
        if self.world.scenario.selling:
            info |= {"bought": bool(whole[4]), "paid": vector._read_paid()[0]}
        if vector.privileged:
            info["latent"] = {name: self._make_scalar(engine.users[name].copy()[0]) for name in vector._latent}
        return observation, float(paid), status == CHURNED, status == HORIZON, info

    def _check_slate(self, action: Any) -> NDArray[np.int64]:
        """`check_slates` of one row: at a few numbers Python looks faster."""
        row, (items, slots) = np.asarray(action), self._limits
        if row.dtype.kind in "iu" and row.shape == (slots,):
            numbers = row.tolist()
            if min(numbers) >= 0 and max(numbers) <= items:
                return row.astype(np.int64).reshape(1, slots)
        return check_slates(row[None], (1, slots), items)

    def render(self) -> Any:
        """The last slate as text ("ansi"), or a picture (720, 1280, 3) of the user's life ("rgb_array")."""
        frames = self.vector.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Close the vector environment."""
        self.vector.close()

    def save_state(self) -> dict[str, NDArray[Any]]:
        """Everything that moves; see `SlateVectorEnv.save_state`."""
        state: dict[str, NDArray[Any]] = self.vector.save_state()
        return state

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> Observation:
        """Continue from `save_state`."""
        return self._take_user(self.vector.load_state(state))

    @staticmethod
    def _take_user(observation: Observation) -> Observation:
        return {key: value[0] for key, value in observation.items()}

    @classmethod
    def _unbatch_info(cls, info: Mapping[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in info.items() if not key.startswith("_")}
        return {
            key: cls._unbatch_info(value) if isinstance(value, dict) else cls._make_scalar(value[0])
            for key, value in values.items()
        }

    @staticmethod
    def _make_scalar(value: Any) -> Any:
        # Gymnasium's vector environments know bool, but make an array of objects from NumPy's own.
        return bool(value) if isinstance(value, np.bool_) else value
