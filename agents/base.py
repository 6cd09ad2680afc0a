"""The protocol that rules, trained policies and references satisfy."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..envs.engine import Observation


@runtime_checkable
class Agent(Protocol):
    """From observations to slates.

    Attributes
    ----------
    name
        As in tables.
    privileged
        Whether it reads hidden state (a reference, not a competitor); then ``observation`` has the key ``latent``.
    """

    name: str
    privileged: bool

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates (B, K) of item numbers for observations (B, ·) with ``candidates``.

        Row b depends on row b of the observation alone, so an evaluation can be cut into any pieces.
        """
        ...


def rows(observation: Any, which: NDArray[np.bool_]) -> Any:
    """Some rows of an observation, nested or not."""
    return {key: rows(value, which) if isinstance(value, dict) else value[which] for key, value in observation.items()}
