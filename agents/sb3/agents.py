"""Trained policies of stable-baselines3 as agents, in memory and on disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm

from ...encoders.device import find_device
from ...envs.candidates.wrappers import ActionMap
from ...envs.engine import Observation
from ...envs.shared.files import replacing, write_whole
from ..base import Memory
from .states import States, make_state_space


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
        remembered = {name: part.swapaxes(0, 1) for name, part in zip(("hidden", "cell"), after, strict=True)}
        return self.action_map(observation, actions), remembered


def make_agent(model: BaseAlgorithm, states: States, action_map: ActionMap, name: str) -> SB3Agent:
    """A trained policy as an agent, with a memory if the policy is recurrent."""
    kind = RecurrentAgent if isinstance(model, RecurrentPPO) else SB3Agent
    return kind(model, states, action_map, name)


def save_policy(model: BaseAlgorithm, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the policy's weights (safetensors) and what is needed to build it again (JSON)."""
    weights = {key: value.detach().clone().contiguous() for key, value in model.policy.state_dict().items()}
    with replacing(folder / "policy.safetensors") as temporary:
        save_file(weights, temporary)
    write_whole(folder / "policy.json", json.dumps(dict(about), indent=1))


def check_encoder(path: Path | str, trained_on: object, states: States, name: str) -> None:
    """Refuse what was trained on another encoder: refitted, one says other things under the same name."""
    if trained_on != states.identity:
        raise ValueError(f"{path} was trained on another encoder than the one in {name!r}; train again")


def load_policy(
    folder: Path,
    algorithm: type[BaseAlgorithm],
    policy: Any,
    states: States,
    space: gym.Space[Any],
    what: str,
    **arguments: Any,
) -> BaseAlgorithm:
    """Build an algorithm without an environment, and load the weights of `save_policy`.

    Parameters
    ----------
    folder
        That holds the weights.
    algorithm, policy, arguments
        Class, policy and keyword arguments, as they were in training.
    states, space
        What the policy is given, and its actions.
    what
        Name of agent and action, for the errors.

    Raises
    ------
    ValueError
        If the weights cannot be read, or do not fit.
    """
    build: Any = algorithm
    model = build(policy, None, _init_setup_model=False, device=find_device(), **arguments)
    model.observation_space = make_state_space(states)
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
        raise ValueError(f"{path} does not fit a policy of {what}: {error}; train again") from error
    model.policy.set_training_mode(False)
    return cast(BaseAlgorithm, model)
