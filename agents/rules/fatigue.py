"""Greedy that counts how tired a user is of each topic, estimated from what is visible."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.shared.options import Options, evenly, logarithmically, number, word
from ..registry import RULES, Rule
from .minutes import MINUTES, SCORES, choose_score, need_scores
from .ranking import Score, standardise_scores


@dataclass(frozen=True)
class FatigueOptions(Options):
    """Options of the fatigue-aware rule."""

    tau: float = number(0.25, 0.02, 5.0, search=logarithmically())
    """Days in which estimated satiation falls to 37 %."""
    alpha: float = number(0.5, 0.0, 5.0, search=evenly())
    """Standard deviations of the score that an item just consumed takes off another of its topics."""
    variety: float = number(0.3, 0.0, 3.0, search=evenly())
    """Standard deviations that each item of the same main topic higher in the slate takes off."""
    on: str = word(MINUTES, *SCORES, search=True)
    """What scores the candidates: similarity, or predicted minutes ("minutes")."""


@dataclass
class FatigueAware:
    """Best score less estimated satiation, and less for each item of the same main topic above it.

    ``z_i − α̂·⟨Φ̂, φ_i⟩`` with ``Φ̂ = Σ_h exp(−age_h / τ̂)·φ_h`` over the history: the linear satiation of rebounding
    bandits (Leqi et al., 2021), as far as it can be seen. The users' own τ and α are hidden and differ; those assumed
    here are the same for all.

    Parameters
    ----------
    score
        Score of the candidates; z is it in standard deviations over the user's candidates.
    tau
        Days τ̂ in which satiation falls to 37 %.
    alpha
        Standard deviations α̂ of the score that one item just consumed takes off another of the same topics.
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

    def estimate_satiation(self, observation: Observation) -> NDArray[np.float64]:
        """Estimated satiation ``⟨Φ̂, φ_i⟩`` (B, M) with each candidate."""
        out = np.zeros(observation["candidates"].shape)
        fresh = np.exp(-observation["history_age"].astype(np.float64) / self.tau)
        _satiation(self.scorer.topics, observation["history_ids"], fresh, observation["candidates"], out)
        return out

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill slot by slot."""
        scores = standardise_scores(self.score(observation), observation) - self.alpha * self.estimate_satiation(
            observation
        )
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


RULES.register(
    "fatigue",
    Rule(
        kind=FatigueAware,
        title="fatigue-aware",
        about="greedy less estimated satiation",
        build=lambda models, options: FatigueAware(
            models.scorer, choose_score(models, options.on), options.tau, options.alpha, options.variety
        ),
        options=FatigueOptions,
        note="τ = {tau:.2g} d, α = {alpha:.2g}, variety {variety:.2g} on {on}",
        needs=need_scores,
    ),
)
