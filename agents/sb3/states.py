"""What the policies of stable-baselines3 are given: one vector, the parts of a slate, or a history left open."""

from typing import Any

import gymnasium as gym
import numpy as np

from ...encoders.state import StateEncoder
from .extractor import OpenState
from .slate_policy import SlateStates

States = StateEncoder | OpenState | SlateStates


def make_state_space(states: States) -> gym.Space[Any]:
    """Space of what a policy is given."""
    if isinstance(states, StateEncoder):
        return gym.spaces.Box(-np.inf, np.inf, (states.width,), np.float32)
    return states.space
