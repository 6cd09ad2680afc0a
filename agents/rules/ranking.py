"""What the rules share: scores of candidates, slates of the best of them, chance as a function of what is visible."""

import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...envs.candidates.scoring import FEATURES, Scorer
from ...envs.engine import Observation

Score = Callable[[Observation], NDArray[np.float32]]  # (B, M), of the candidates

LAST = 1e6  # taken off a score for each time that the item is in the history: it comes after all others


def rank_candidates(
    scorer: Scorer, observation: Observation, scores: NDArray[np.floating], cap: int = 0
) -> NDArray[np.int64]:
    """Slates of the best-scored candidates, at most `cap` per main topic (0: no cap); the history's items come last."""
    none = np.zeros(len(scores), np.float32)
    return scorer.fill(observation, scores.astype(np.float32), none, cap=cap or scorer.slots)


def read_feature(scorer: Scorer, observation: Observation, feature: str) -> NDArray[np.float32]:
    """One scoring feature (B, M) of the candidates."""
    return scorer.features(observation)[:, :, FEATURES.index(feature)]


def score_by_similarity(scorer: Scorer) -> Score:
    """The score of greedy similarity."""
    return lambda observation: read_feature(scorer, observation, "similarity")


def standardise_scores(scores: NDArray[np.floating], observation: Observation) -> NDArray[np.float64]:
    """Scores (B, M) less their mean over the user's candidates, in standard deviations; 0 where all are alike.

    So a weight on them means the same for every scoring rule and scenario.
    """
    out = np.zeros(scores.shape)
    _standardise(np.asarray(scores, np.float64), observation["candidates"], out)
    return out


@njit(nogil=True)
def _standardise(scores: np.ndarray, candidates: np.ndarray, out: np.ndarray) -> None:
    for b in range(len(scores)):
        real = scores[b][candidates[b] > 0]
        if len(real) > 0:
            mean = real.mean()
            spread = real.std()
            # Equal scores differ from their own mean by rounding.
            if spread > 1e-9 * max(1.0, abs(mean)):
                for m in range(scores.shape[1]):
                    if candidates[b, m] > 0:
                        out[b, m] = (scores[b, m] - mean) / spread


def make_generators(observation: Observation) -> Iterator[np.random.Generator]:
    """One generator a user, seeded by what is visible, so that a random rule does not depend on the batch."""
    for row, context in zip(observation["candidates"], observation["context"], strict=True):
        yield np.random.default_rng(zlib.crc32(context.tobytes(), zlib.crc32(row.tobytes())))
