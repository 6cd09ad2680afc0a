"""Nothing twice in a session: what was shown in the session already is withdrawn from the candidates of a rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import ContextColumn, Observation
from ...envs.shared.compiled import loop
from ..base import Agent


@dataclass
class Fresh:
    """A rule that is shown only those candidates that the session has not shown yet.

    The service keeps the last 24 slates. Where fewer candidates than a slate are left, those shown longest ago come
    back.

    Parameters
    ----------
    agent
        The rule, without a memory of its own.
    """

    agent: Agent
    privileged: bool = False

    @property
    def name(self) -> str:
        """The rule's."""
        return f"{self.agent.name}, fresh"

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Ask the rule, without what was shown."""
        return self.agent.act(withdraw_shown(observation))


def withdraw_shown(observation: Mapping[str, Any]) -> Observation:
    """The observation (B, ·) with 0 in place of the candidates that this session has shown.

    Raises
    ------
    ValueError
        If the environment does not say what it has shown.
    """
    if "shown_ids" not in observation:
        raise ValueError(
            "fresh = True needs 'shown_ids' in the observation, which environments without a memory of impressions do "
            "not have; take one that has, such as longplay/Video-v1, or fresh = False"
        )
    shown, candidates = observation["shown_ids"], observation["candidates"].copy()
    slates = np.minimum(observation["context"][:, ContextColumn.DEPTH], shown.shape[1]).astype(np.int64)
    when = np.zeros(int(max(shown.max(initial=0), candidates.max(initial=0))) + 1, np.int64)
    _withdraw(candidates, shown, slates, when)
    return {**observation, "candidates": candidates}


@loop
def _withdraw(candidates: np.ndarray, shown: np.ndarray, slates: np.ndarray, when: np.ndarray) -> None:
    """Zero what is among the last slates (B,) of each user; `when` is zero for all items, and is left so."""
    for b in range(len(candidates)):
        row = candidates[b]
        for back in range(slates[b] - 1, -1, -1):
            for k in range(shown.shape[2]):
                when[int(shown[b, back, k])] = slates[b] - back  # 1: longest ago
        when[0] = 0
        left = 0
        for m in range(len(row)):
            if row[m] > 0 and when[int(row[m])] == 0:
                left += 1
        kept = 0  # how long ago of those that come back, as there would be too few
        while left < shown.shape[2] and kept < slates[b]:
            kept += 1
            for m in range(len(row)):
                if row[m] > 0 and when[int(row[m])] == kept:
                    left += 1
        for m in range(len(row)):
            if when[int(row[m])] > kept:
                row[m] = 0
        for back in range(slates[b]):
            for k in range(shown.shape[2]):
                when[int(shown[b, back, k])] = 0
