"""Greedy that counts how tired a user is of each topic, estimated from what is visible."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from .ranking import Score, standardised


@dataclass
class FatigueAware:
    """Best score less estimated satiation, and less for each item of the same main topic above it.

    ``z_i − α̂·⟨Φ̂, φ_i⟩`` with ``Φ̂ = Σ_h exp(−age_h / τ̂)·φ_h`` over the history: the linear satiation of rebounding
    bandits (Leqi et al., 2021), as far as it can be seen. The users' own τ and α are hidden and differ; those assumed
    here are the same for all.

    Parameters
    ----------
    score
        Of the candidates; z is it in standard deviations over the user's candidates.
    tau
        τ̂ [days].
    alpha
        α̂, standard deviations of the score that one item just consumed takes off another of the same topics.
    variety
        Standard deviations that each item of the same main topic higher in the slate takes off.
    """

    scorer: Scorer
    score: Score
    tau: float
    alpha: float
    variety: float
    name: str = "fatigue-aware"
    privileged: bool = False

    def satiation(self, observation: Observation) -> NDArray[np.float64]:
        """Estimated satiation ``⟨Φ̂, φ_i⟩`` (B, M) with each candidate."""
        out = np.zeros(observation["candidates"].shape)
        fresh = np.exp(-observation["history_age"].astype(np.float64) / self.tau)
        _satiation(self.scorer.topics, observation["history_ids"], fresh, observation["candidates"], out)
        return out

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill slot by slot."""
        scores = standardised(self.score(observation), observation) - self.alpha * self.satiation(observation)
        return self.scorer.fill(
            observation, scores.astype(np.float32), np.full(len(scores), self.variety), cap=self.scorer.slots
        )


@njit(nogil=True)
def _satiation(
    topics: np.ndarray, history: np.ndarray, fresh: np.ndarray, candidates: np.ndarray, out: np.ndarray
) -> None:
    tired = np.zeros(topics.shape[1])
    for b in range(len(candidates)):
        tired[:] = 0.0
        for h in range(history.shape[1]):
            item = int(history[b, h])
            if item > 0:
                for g in range(len(tired)):
                    tired[g] += fresh[b, h] * topics[item, g]
        for m in range(candidates.shape[1]):
            item = int(candidates[b, m])
            if item > 0:
                for g in range(len(tired)):
                    out[b, m] += tired[g] * topics[item, g]
