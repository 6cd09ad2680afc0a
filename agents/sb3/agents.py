"""stable-baselines3 and sb3-contrib: algorithms by name, and trained policies as agents, on disk and in memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sb3_contrib import QRDQN, TQC, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from ...encoders.state import StateEncoder
from ...envs.candidates.wrappers import ActionMap
from ...envs.engine import Observation
from ...envs.shared.files import replacing, write_whole
from ...envs.shared.names import one_of
from ..base import Memory
from ..playing.training_users import REWARD_SCALE
from .ars import ConstantPolicy, LivesARS
from .slate_policy import SlatePolicy, SlateStates
from .vec_env import SlateVecEnv, States, state_space

__all__ = [
    "ALGORITHMS",
    "REWARD_SCALE",
    "RecurrentAgent",
    "SB3Agent",
    "SlateVecEnv",
    "States",
    "agent_of",
    "algorithm_named",
    "check_encoder",
    "load_policy",
    "policy_for",
    "save_policy",
    "state_space",
]

BOXES = ("weights", "query")
# Which algorithm takes which action.
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], tuple[str, ...]]] = {
    "ppo": (PPO, (*BOXES, "presets", "candidates")),
    "a2c": (A2C, (*BOXES, "presets", "candidates")),
    "ppo-stock": (PPO, ("candidates",)),  # one softmax a slot, as stable-baselines3 has it, not a `SlatePolicy`
    "recurrent-ppo": (RecurrentPPO, (*BOXES, "presets")),
    "sac": (SAC, BOXES),
    "tqc": (TQC, BOXES),
    "td3": (TD3, BOXES),
    "ddpg": (DDPG, BOXES),
    "dqn": (DQN, ("presets",)),
    "qr-dqn": (QRDQN, ("presets",)),
    "ars": (LivesARS, ("weights",)),
}


def algorithm_named(name: str, action: str) -> type[BaseAlgorithm]:
    """The class of an algorithm's name; an error says which names there are, or which actions it takes."""
    algorithm, actions = ALGORITHMS[one_of("agent", name, ALGORITHMS)]
    if action not in actions:
        takers = [other for other, (_, taken) in ALGORITHMS.items() if action in taken]
        instead = f"; {action!r} is for {', '.join(map(repr, takers))}" if takers else ""
        raise ValueError(
            f"{name!r} does not take the action {action!r}; it takes {', '.join(map(repr, actions))}{instead}"
        )
    return algorithm


def draws_slates(name: str, action: str) -> bool:
    """Whether the policy of an algorithm is a `SlatePolicy`, which is given `SlateStates`."""
    return action == "candidates" and name in ("ppo", "a2c")


def policy_for(name: str, states: States, settings: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The policy that an algorithm trains on states, and the algorithm's settings with what the policy needs."""
    if ALGORITHMS[name][0] is LivesARS:
        return ConstantPolicy, dict(settings)
    lstm = "Lstm" if ALGORITHMS[name][0] is RecurrentPPO else ""
    if isinstance(states, StateEncoder):
        return f"Mlp{lstm}Policy", dict(settings)
    given = {**settings, "policy_kwargs": {**settings.get("policy_kwargs", {}), **states.policy_settings}}
    return (SlatePolicy if isinstance(states, SlateStates) else f"MultiInput{lstm}Policy"), given


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


@dataclass
class RecurrentAgent(SB3Agent):
    """A trained recurrent policy: `act` is for users not met before, `follow` for those it remembers."""

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates for users of whom nothing is remembered."""
        return self.follow(observation, self.start(len(observation["candidates"])))[0]

    def start(self, users: int) -> Memory:
        """Hidden and cell state of the policy's LSTM, (B, layers, width) each, at zero."""
        policy: Any = self.model.policy
        layers, _, width = policy.lstm_hidden_state_shape
        return {name: np.zeros((users, layers, width), np.float32) for name in ("hidden", "cell")}

    def follow(self, observation: Observation, memory: Memory) -> tuple[NDArray[np.int64], Memory]:
        """Slates, and the state of the LSTM from here on."""
        before = tuple(memory[name].swapaxes(0, 1) for name in ("hidden", "cell"))
        actions, after = self.model.predict(self.encoder(observation), state=before, deterministic=True)
        assert after is not None
        kept = {name: part.swapaxes(0, 1) for name, part in zip(("hidden", "cell"), after, strict=True)}
        return self.action_map(observation, actions), kept


def agent_of(model: BaseAlgorithm, states: States, action_map: ActionMap, name: str) -> SB3Agent:
    """A trained policy as an agent, with a memory if the policy is recurrent."""
    kind = RecurrentAgent if isinstance(model, RecurrentPPO) else SB3Agent
    return kind(model, states, action_map, name)


def save_policy(model: BaseAlgorithm, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the policy's weights (safetensors) and what is needed to build it again (JSON)."""
    weights = {key: value.detach().clone().contiguous() for key, value in model.policy.state_dict().items()}
    with replacing(folder / "policy.safetensors") as temporary:
        save_file(weights, temporary)
    write_whole(folder / "policy.json", json.dumps(dict(about), indent=1))


def check_encoder(path: Path, trained_on: object, states: States, name: str) -> None:
    """Refuse what was trained on another encoder: refitted, one says other things under the same name."""
    if trained_on != states.identity:
        raise ValueError(f"{path} was trained on another encoder than the one in {name!r}; train again")


def load_policy(
    folder: Path, algorithm: str, action: str, states: States, space: gym.Space[Any], **settings: Any
) -> BaseAlgorithm:
    """Build the algorithm with the spaces given, without an environment, and load the weights of `save_policy`."""
    build: Any = algorithm_named(algorithm, action)
    policy, settings = policy_for(algorithm, states, settings)
    model = build(policy, None, _init_setup_model=False, device="cpu", **settings)
    model.observation_space = state_space(states)
    model.action_space, model.n_envs = space, 1
    if getattr(model, "target_entropy", None) == "auto":
        model.target_entropy = -float(np.prod(space.shape or ()))  # which SAC and TQC would ask an environment for
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
