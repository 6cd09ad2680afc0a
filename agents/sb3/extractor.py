"""A history network inside a policy, so that reinforcement learning goes on training it."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from ...encoders.state import StateEncoder
from ...envs.engine import Observation

HISTORY = ("history_ids", "history_completion", "history_age")


class OpenState:
    """What a `StateEncoder` would make a state of, left open: the history as it is, context and profile compressed.

    Parameters
    ----------
    states
        Whose encoder has a ``network`` with ``forward_history(ids, completion, age)``, (B, H) each to (B, width).
    history
        H of the environment.

    Raises
    ------
    ValueError
        If the encoder is no network.
    """

    def __init__(self, states: StateEncoder, history: int) -> None:
        if not isinstance(getattr(states.encoder, "network", None), torch.nn.Module):
            raise ValueError(
                f"fine_tune = True needs a state that is a history network (gru, lstm, transformer or attention); "
                f"{type(states.encoder).__name__} is none"
            )
        self.states, self.width = states, states.width
        self.network: torch.nn.Module = states.encoder.network  # type: ignore[attr-defined]
        rest = states.width - states.encoder.width
        sizes = {**dict.fromkeys(HISTORY, history), "rest": rest}
        self.space = gym.spaces.Dict(
            {name: gym.spaces.Box(-np.inf, np.inf, (size,), np.float32) for name, size in sizes.items()}
        )

    def __call__(self, observation: Observation) -> dict[str, NDArray[np.float32]]:
        """The parts (B, ·) by name."""
        return {**{name: observation[name] for name in HISTORY}, "rest": self.states.rest(observation)}

    @property
    def identity(self) -> str:
        """Of the encoder that it begins with."""
        return self.states.identity

    @property
    def policy_settings(self) -> dict[str, Any]:
        """Of a stable-baselines3 policy that contains the network."""
        return {
            "features_extractor_class": HistoryExtractor,
            "features_extractor_kwargs": {"network": self.network, "width": self.width},
        }


class HistoryExtractor(BaseFeaturesExtractor):
    """The features (B, width) of an `OpenState`: those a `StateEncoder` would give, while the network is as it was.

    Parameters
    ----------
    observation_space
        Of an `OpenState`.
    network
        Copied: each policy, actor and critic fine-tunes one of its own.
    width
        Of a state.
    """

    def __init__(self, observation_space: gym.Space[Any], network: torch.nn.Module, width: int) -> None:
        super().__init__(observation_space, width)
        self.network = copy.deepcopy(network).requires_grad_(True)
        # Dropout would give an action another probability when it is learnt from than when it was taken.
        for module in self.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):
                setattr(module, "dropout", 0.0)  # noqa: B010  # of recurrent and attention layers

    def apply(self, fn: Callable[[torch.nn.Module], None]) -> "HistoryExtractor":
        """Keep the weights: stable-baselines3 draws those of its policies anew through here."""
        return self

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Encode the history, and put the rest beside it."""
        forward: Any = self.network.forward_history
        return torch.cat([forward(*(observations[name] for name in HISTORY)), observations["rest"]], dim=1)
