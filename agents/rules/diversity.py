"""Rules that keep items of a slate unlike each other: maximal marginal relevance, a determinantal point process."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.shared.options import Options, evenly, logarithmically, number, word
from ..registry import RULES, Rule
from ..slates.history import count_in_history
from .minutes import SCORES, SIMILARITY, choose_score, need_scores
from .ranking import LAST, Score, read_feature, standardise_scores

LAST_COSINE = 8.0  # more than any two weighted sums of cosines differ by


@dataclass(frozen=True)
class MMROptions(Options):
    """Options of MMR."""

    trade_off: float = number(0.5, 0.0, 1.0, search=evenly())
    """Weight of similarity against novelty."""


@dataclass
class MMR:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998): ``λ·similarity − (1 − λ)·max similarity above``."""

    scorer: Scorer
    trade_off: float
    name: str = "MMR"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill slot by slot."""
        similarity = read_feature(self.scorer, observation, "similarity")
        handicap = LAST_COSINE * (count_in_history(observation) > 0)
        out = np.zeros((len(similarity), self.scorer.slots), np.int64)
        _mmr(
            self.scorer.vectors,
            observation["candidates"],
            similarity,
            handicap.astype(np.float32),
            np.float32(self.trade_off),
            out,
        )
        return out


@njit(nogil=True, fastmath=True)
def _mmr(
    vectors: np.ndarray,
    candidates: np.ndarray,
    similarity: np.ndarray,
    handicap: np.ndarray,
    trade_off: float,
    out: np.ndarray,
) -> None:
    count = candidates.shape[1]
    nearest = np.zeros(count, np.float32)
    usable = np.zeros(count, np.bool_)
    for b in range(len(candidates)):
        nearest[:] = np.float32(0.0)
        for m in range(count):
            usable[m] = candidates[b, m] > 0
        for k in range(out.shape[1]):
            best = -1
            value = np.float32(-1e9)
            for m in range(count):
                mine = trade_off * similarity[b, m] - (np.float32(1.0) - trade_off) * nearest[m] - handicap[b, m]
                if usable[m] and mine > value:
                    best = m
                    value = mine
            if best < 0:
                break
            chosen = int(candidates[b, best])
            out[b, k] = chosen
            usable[best] = False
            for m in range(count):
                if usable[m]:
                    other = int(candidates[b, m])
                    cosine = np.float32(0.0)
                    for e in range(vectors.shape[1]):
                        cosine += vectors[chosen, e] * vectors[other, e]
                    nearest[m] = max(nearest[m], cosine)


@dataclass(frozen=True)
class DPPOptions(Options):
    """Options of the determinantal point process."""

    theta: float = number(1.0, 0.01, 10.0, search=logarithmically())
    """Weight of the score against diversity."""
    on: str = word(SIMILARITY, *SCORES, search=True)
    """What scores the candidates: similarity, or predicted minutes ("minutes")."""


@dataclass
class DPP:
    """Greedy MAP of a determinantal point process: the slate is filled to make ``det(L_S)`` grow most.

    ``L_ij = q_i·q_j·⟨v_i, v_j⟩`` with qualities ``q = exp(θ·z)``, z the score in standard deviations over the user's
    candidates, and v the items' unit vectors; each slot costs a row of a Cholesky factor (Chen, Zhang and Zhou, 2018).
    """

    scorer: Scorer
    score: Score
    theta: float
    name: str = "DPP"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Fill slot by slot."""
        quality = 2.0 * self.theta * standardise_scores(self.score(observation), observation)
        quality -= LAST * count_in_history(observation)
        out = np.zeros((len(quality), self.scorer.slots), np.int64)
        _dpp(self.scorer.vectors, observation["candidates"], quality, out)
        return out


@njit(nogil=True, fastmath=True)
def _cosine(a: np.ndarray, b: np.ndarray) -> np.float32:
    total = np.float32(0.0)
    for e in range(len(a)):
        total += a[e] * b[e]
    return total


@njit(nogil=True)
def _dpp(vectors: np.ndarray, candidates: np.ndarray, quality: np.ndarray, out: np.ndarray) -> None:
    least = 1e-10  # of a variance: below is what rounding leaves of an item that the slate already spans
    count, slots = candidates.shape[1], out.shape[1]
    usable = np.zeros(count, np.bool_)
    variance = np.zeros(count)  # of an item, given those chosen: by this det(L_S) / q² grows
    factor = np.zeros((slots, count))
    for b in range(len(candidates)):
        for m in range(count):
            item = int(candidates[b, m])
            usable[m] = item > 0
            variance[m] = _cosine(vectors[item], vectors[item])
        for k in range(slots):
            best = -1
            most = -np.inf
            for m in range(count):
                mine = quality[b, m] + np.log(max(variance[m], least))
                if usable[m] and mine > most:
                    best = m
                    most = mine
            if best < 0:
                break
            out[b, k] = int(candidates[b, best])
            usable[best] = False
            factor[k, :] = 0.0
            if variance[best] > least:
                scale = 1.0 / np.sqrt(variance[best])
                for m in range(count):
                    if usable[m]:
                        rest = float(_cosine(vectors[int(candidates[b, best])], vectors[int(candidates[b, m])]))
                        for r in range(k):
                            rest -= factor[r, best] * factor[r, m]
                        factor[k, m] = rest * scale
                        variance[m] -= factor[k, m] ** 2


RULES.register(
    "mmr",
    Rule(
        kind=MMR,
        title="MMR",
        about="maximal marginal relevance",
        build=lambda models, options: MMR(models.scorer, options.trade_off),
        options=MMROptions,
        note="λ = {trade_off:.3g}",
    ),
)
RULES.register(
    "dpp",
    Rule(
        kind=DPP,
        title="DPP",
        about="greedy MAP of a determinantal point process",
        build=lambda models, options: DPP(models.scorer, choose_score(models, options.on), options.theta),
        options=DPPOptions,
        note="θ = {theta:.3g} on {on}",
        needs=need_scores,
    ),
)
