"""What an agent sees as one vector: the history through an encoder, the context, the profile."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .base import Encoder
from .text.cache import Vectors

Observation = Mapping[str, NDArray[np.float32]]


class StateEncoder:
    """Observations of the vector environment to states ``[history | context | profile]``.

    Context and profile are compressed to ``sign(x)·log(1 + |x|)``: minutes, days and counts span orders of magnitude,
    and networks learn from their logarithms more easily.

    Parameters
    ----------
    encoder : Encoder
        What the history becomes; fitted, if it needs to be.
    context_width, profile_width : int
        Columns of ``context`` and ``profile`` in the observation; 0 leaves the part out.

    Attributes
    ----------
    width : int
        Width of a state.
    """

    def __init__(self, encoder: Encoder, *, context_width: int, profile_width: int) -> None:
        self.encoder = encoder
        self._parts = {"context": context_width, "profile": profile_width}
        self.width = encoder.width + context_width + profile_width

    def __call__(self, observation: Observation) -> Vectors:
        """States (B, width), float32; row b depends on row b of the observation alone.

        Parameters
        ----------
        observation : mapping of str to array
            ``history_ids``, ``history_completion``, ``history_age`` (B, H), ``context`` (B, C) and ``profile`` (B, P),
            as far as they are used; anything else is ignored.

        Raises
        ------
        ValueError
            If a shape does not fit, or an id is not of the items.
        """
        return np.concatenate([self.encoder.encode(observation), self.rest(observation)], axis=1)

    @property
    def identity(self) -> str:
        """Of the encoder: a policy trained on its states belongs to it."""
        return self.encoder.identity

    def rest(self, observation: Observation) -> Vectors:
        """Context and profile alone, compressed: (B, context_width + profile_width)."""
        count = len(observation["history_ids"])
        parts = [np.empty((count, 0), np.float32)]
        for name, width in self._parts.items():
            if not width:
                continue
            values, expected = observation[name], (count, width)
            if values.shape != expected:
                raise ValueError(f"{name} has shape {values.shape}, expected {expected}. Fix: set {name}_width")
            parts.append(np.sign(values) * np.log1p(np.abs(values, dtype=np.float32)))
        return np.concatenate(parts, axis=1)
