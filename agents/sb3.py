"""stable-baselines3 on the slate environments: a VecEnv face, algorithms by name, trained policies as agents."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from ..encoders.state import StateEncoder
from ..envs.engine import Observation
from ..envs.wrappers import ActionMap
from .extractor import OpenState

States = StateEncoder | OpenState

BOXES = ("weights", "query")
# Which algorithm takes which action; the discrete action has no continuous learner and the reverse.
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], tuple[str, ...]]] = {
    "ppo": (PPO, (*BOXES, "candidates")),
    "a2c": (A2C, (*BOXES, "candidates")),
    "sac": (SAC, BOXES),
    "td3": (TD3, BOXES),
    "ddpg": (DDPG, BOXES),
}
REWARD_SCALE = 0.1  # learners see tens of minutes, so that values are of order one; every report is in minutes


def algorithm_named(name: str, action: str) -> type[BaseAlgorithm]:
    """The stable-baselines3 class of a name; an error says which actions it takes."""
    if name not in ALGORITHMS:
        close = difflib.get_close_matches(name, ALGORITHMS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"agent = {name!r} is unknown{hint}; allowed: {', '.join(map(repr, ALGORITHMS))}")
    algorithm, actions = ALGORITHMS[name]
    if action not in actions:
        raise ValueError(f"{name!r} does not take the action {action!r}; it takes {', '.join(map(repr, actions))}")
    return algorithm


def state_space(states: States) -> gym.Space[Any]:
    """What a policy is given: one vector, or the parts that its own network reads."""
    if isinstance(states, OpenState):
        return states.space
    return gym.spaces.Box(-np.inf, np.inf, (states.width,), np.float32)


def policy_for(states: States, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name of the stable-baselines3 policy for states, and the algorithm's settings with what it needs."""
    if not isinstance(states, OpenState):
        return "MlpPolicy", dict(settings)
    return "MultiInputPolicy", {
        **settings,
        "policy_kwargs": {**settings.get("policy_kwargs", {}), **states.policy_settings},
    }


class SlateVecEnv(VecEnv):
    """A native vector environment in SAME_STEP mode as a stable-baselines3 `VecEnv` of encoded states.

    Parameters
    ----------
    env
        A vector environment with ``autoreset_mode=SAME_STEP``.
    encoder
        Dict observations (B, ·) to states (B, width), or to the parts of an `OpenState`.
    """

    def __init__(self, env: Any, encoder: States) -> None:
        if env.metadata["autoreset_mode"] != gym.vector.AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {env.metadata['autoreset_mode']}; stable-baselines3 needs SAME_STEP")
        self.env, self.encoder = env, encoder
        super().__init__(env.num_envs, state_space(encoder), env.single_action_space)
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
            last = self.encoder(_stack([info["final_obs"][b] for b in ended]))
            for row, b in enumerate(ended):
                infos[b] = {
                    "terminal_observation": _row(last, row),
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


def _row(states: Any, row: int) -> Any:
    return {name: part[row] for name, part in states.items()} if isinstance(states, dict) else states[row]


def _stack(observations: list[Observation]) -> Observation:
    return {key: np.stack([o[key] for o in observations]) for key in observations[0]}


@dataclass
class SB3Agent:
    """A trained stable-baselines3 policy as an agent: state encoder, policy, action map.

    Attributes
    ----------
    model
        The algorithm, of which the policy is used, deterministically.
    """

    model: BaseAlgorithm
    encoder: States
    action_map: ActionMap
    name: str = "policy"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Encode, predict, and turn the action into slates."""
        actions, _ = self.model.predict(self.encoder(observation), deterministic=True)
        return self.action_map(observation, actions)


def save_policy(model: BaseAlgorithm, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the policy's weights (safetensors) and what is needed to build it again (JSON)."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().clone().contiguous() for key, value in model.policy.state_dict().items()}
    temporary = folder / "policy.tmp"
    save_file(weights, temporary)
    temporary.replace(folder / "policy.safetensors")
    temporary.write_text(json.dumps(dict(about), indent=1), encoding="utf-8")
    temporary.replace(folder / "policy.json")


def check_encoder(path: Path, trained_on: object, states: States, name: str) -> None:
    """Refuse what was trained on another encoder: refitted, one says other things under the same name."""
    if trained_on != states.identity:
        raise ValueError(f"{path} was trained on another encoder than the one in {name!r}; train again")


def load_policy(
    folder: Path, algorithm: str, action: str, states: States, space: gym.Space[Any], **settings: Any
) -> BaseAlgorithm:
    """Build the algorithm with the spaces given, without an environment, and load the weights of `save_policy`."""
    build: Any = algorithm_named(algorithm, action)
    policy, settings = policy_for(states, settings)
    model = build(policy, None, _init_setup_model=False, device="cpu", **settings)
    model.observation_space = state_space(states)
    model.action_space, model.n_envs = space, 1
    if isinstance(model, SAC) and model.target_entropy == "auto":
        model.target_entropy = -float(np.prod(space.shape or ()))  # which SAC would ask an environment for
    model._setup_model()
    path = Path(folder) / "policy.safetensors"
    try:
        weights = load_file(path)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as policy weights: {error}; train again or give another folder"
        ) from error
    try:
        model.policy.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit a policy of {algorithm!r} with the action {action!r}: {error}; train again"
        ) from error
    model.policy.set_training_mode(False)
    return cast(BaseAlgorithm, model)
