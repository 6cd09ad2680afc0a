"""Lives of named users, slate by slate."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import Observation
from ..base import Agent, AgentSession, SlateFunction, select_users


@dataclass(frozen=True)
class Step:
    """One slate of each user whose life is not over, beside what came of it; arrays hold all B users.

    Attributes
    ----------
    active
        (B,) bool: who was shown a slate; the other rows mean nothing.
    before, after
        What was visible when the slate was shown, and after it.
    clock
        (B,) days when the slate was shown.
    slates
        (B, K) item numbers.
    reward
        (B,) of the environment.
    churned, horizon
        (B,) bool: lives that ended with it, and by what.
    info
        Of the environment's step.
    """

    active: NDArray[np.bool_]
    before: Observation
    clock: NDArray[np.float64]
    slates: NDArray[np.int64]
    after: Observation
    reward: NDArray[np.float64]
    churned: NDArray[np.bool_]
    horizon: NDArray[np.bool_]
    info: dict[str, Any]


def follow_users(env: Any, policy: Agent | SlateFunction, ids: NDArray[np.int64], luck: int) -> Iterator[Step]:
    """Play the users named until nobody is left, slate by slate.

    Parameters
    ----------
    env
        A `SlateVectorEnv` of as many users in autoreset mode DISABLED, or a wrapper of one.
    policy
        Agent or plain function; sees the users who are still there, and nothing hidden; it may remember them.
    """
    observation, info = env.reset(seed=luck, options={"users": ids})
    active, session = np.ones(len(ids), bool), AgentSession(policy, len(ids), env.unwrapped.world)
    while active.any():
        slates = np.zeros(env.action_space.shape, np.int64)
        slates[active] = session.act(select_users(observation, active), active)
        before, clock = observation, info["day"]
        observation, reward, terminated, truncated, info = env.step(slates)
        churned, horizon = active & terminated, active & truncated
        yield Step(active, before, clock, slates, observation, reward, churned, horizon, info)
        active = active & ~(terminated | truncated)
