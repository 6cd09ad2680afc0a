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
UNUSABLE = np.float32(-1e9)  # what no candidate is worth


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
def _cosine(a: np.ndarray, b: np.ndarray) -> np.float32:
    total = np.float32(0.0)
    for e in range(len(a)):
        total += a[e] * b[e]
    return total


@njit(nogil=True, fastmath=True)
def _mmr(
    vectors: np.ndarray,
    candidates: np.ndarray,
    similarity: np.ndarray,
    handicap: np.ndarray,
    trade_off: float,
    out: np.ndarray,
) -> None:
    """Slates; what a candidate is worth falls as the slate fills, so only those that may still win are compared."""
    count = candidates.shape[1]
    nearest = np.zeros(count, np.float32)
    worth = np.zeros(count, np.float32)  # as of the slots that are met, and never less than now
    met = np.zeros(count, np.int64)  # slots that a candidate has been compared with
    for b in range(len(candidates)):
        for m in range(count):
            nearest[m] = np.float32(0.0)
            met[m] = 0
            worth[m] = trade_off * similarity[b, m] - handicap[b, m] if candidates[b, m] > 0 else UNUSABLE
        for k in range(out.shape[1]):
            best = 0
            for m in range(count):
                if worth[m] > worth[best]:
                    best = m
            if worth[best] <= UNUSABLE:
                break
            first = best  # the likeliest: with what it is worth now few others are left to compare
            for place in range(-1, count):
                m = place if place >= 0 else first
                rival = worth[m] > worth[best] or (worth[m] == worth[best] and m <= best)
                if rival and met[m] < k:
                    mine = vectors[int(candidates[b, m])]
                    for slot in range(met[m], k):
                        nearest[m] = max(nearest[m], _cosine(vectors[out[b, slot]], mine))
                    met[m] = k
                    novelty = (np.float32(1.0) - trade_off) * nearest[m]
                    worth[m] = trade_off * similarity[b, m] - novelty - handicap[b, m]
                if worth[m] > worth[best] or (worth[m] == worth[best] and m < best):
                    best = m
            out[b, k] = int(candidates[b, best])
            worth[best] = UNUSABLE


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


@njit(nogil=True)
def _dpp(vectors: np.ndarray, candidates: np.ndarray, quality: np.ndarray, out: np.ndarray) -> None:
    """Slates; a candidate's variance only falls as the slate fills, so only those that may still win are factored."""
    least = 1e-10  # of a variance: below is what rounding leaves of an item that the slate already spans
    count, slots = candidates.shape[1], out.shape[1]
    variance = np.zeros(count)  # of an item, given the slots that are met: by this det(L_S) / q² grows
    factor = np.zeros((count, slots))
    worth = np.zeros(count)  # as of the slots that are met, and never less than now
    met = np.zeros(count, np.int64)  # slots that a candidate has been factored with
    chosen = np.zeros(slots, np.int64)  # places of those in the slate
    scale = np.zeros(slots)  # one by the root of their variance; 0 where that is none
    for b in range(len(candidates)):
        for m in range(count):
            item = int(candidates[b, m])
            met[m] = 0
            variance[m] = _cosine(vectors[item], vectors[item])
            worth[m] = quality[b, m] + np.log(max(variance[m], least)) if item > 0 else -np.inf
        for k in range(slots):
            best = 0
            for m in range(count):
                if worth[m] > worth[best]:
                    best = m
            if worth[best] == -np.inf:
                break
            first = best  # the likeliest: with what it is worth now few others are left to factor
            for place in range(-1, count):
                m = place if place >= 0 else first
                rival = worth[m] > worth[best] or (worth[m] == worth[best] and m <= best)
                if rival and met[m] < k:
                    _factor(vectors, candidates[b], chosen, scale, m, (met[m], k), factor, variance)
                    met[m] = k
                    worth[m] = quality[b, m] + np.log(max(variance[m], least))
                if worth[m] > worth[best] or (worth[m] == worth[best] and m < best):
                    best = m
            out[b, k] = int(candidates[b, best])
            chosen[k], scale[k] = best, 1.0 / np.sqrt(variance[best]) if variance[best] > least else 0.0
            worth[best] = -np.inf


@njit(nogil=True)
def _factor(
    vectors: np.ndarray,
    candidates: np.ndarray,
    chosen: np.ndarray,
    scale: np.ndarray,
    m: int,
    slots: tuple[int, int],
    factor: np.ndarray,
    variance: np.ndarray,
) -> None:
    """Write candidate m's row of the Cholesky factor for some slots, from the first to before the last."""
    mine, own = vectors[int(candidates[m])], factor[m]
    for slot in range(slots[0], slots[1]):
        own[slot] = 0.0
        if scale[slot] > 0.0:
            rest = float(_cosine(vectors[int(candidates[chosen[slot]])], mine))
            other = factor[chosen[slot]]
            for r in range(slot):
                rest -= other[r] * own[r]
            own[slot] = rest * scale[slot]
            variance[m] -= own[slot] ** 2


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
