"""Scoring features of candidates, from what is visible alone, and the slates that weights over them give.

This is the form of production rankers: a handful of scores for each candidate, combined by weights that a policy sets.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .compiled import loop
from .engine import Observation
from .pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS, padded_vectors, pool_row
from .world import World

FEATURES = (
    "similarity",  # cosine of the item's vector and the pooled history
    "popularity",  # how much the item is talked about
    "rating",  # what critics make of it
    "length",  # minutes
    "novelty",  # how recently it was published
    "favourite",  # topics that the user named at sign-up
    "familiar",  # topics of the history
    "exposed",  # topics consumed in the last hours
    "continues",  # topics of the item consumed last in this session
)
WEIGHTS = (*FEATURES, "variety")  # the last weight takes points off an item for each item of its main topic above it
# Another feature: from observations and the features (B, M, 9) of `FEATURES` to (B, M), whatever made it.
Score = Callable[[Observation, NDArray[np.float32]], NDArray[np.float32]]
EXPOSURE_DAYS = 0.25  # the decay that the feature "exposed" assumes; the users' own is hidden and differs


class Scorer:
    """Turns weights over scoring features into slates.

    Parameters
    ----------
    world
        For the visible attributes: topics, popularity, rating, length, year of publication.
    item_vectors
        (N, E) from a text encoder.
    scores
        More features by name, such as the scores of a model that was fitted on a log; they come after `FEATURES`.

    Attributes
    ----------
    names
        Of all features.
    weights
        Of what `weighted` takes: the features and, last, ``"variety"``.
    """

    def __init__(
        self, world: World, item_vectors: NDArray[np.float32], scores: Mapping[str, Score] | None = None
    ) -> None:
        catalog = world.catalog
        self.scores = dict(scores or {})
        self.names = (*FEATURES, *self.scores)
        self.weights = (*self.names, WEIGHTS[-1])
        vectors = padded_vectors(item_vectors, len(catalog))
        self.vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self.slots = world.scenario.shape.slate
        self.topics = world.topics.astype(np.float32)
        self.main_topic = self.topics.argmax(axis=1).astype(np.int32)
        static = np.zeros((len(catalog) + 1, 4), np.float32)
        static[1:] = np.stack([catalog.popularity, catalog.rating, np.log(catalog.minutes), catalog.published], axis=1)
        self.static = static

    def features(self, observation: Observation) -> NDArray[np.float32]:
        """(B, M, F) features of the candidates, in the order of `names`, unscaled."""
        candidates = observation["candidates"]
        out = np.zeros((*candidates.shape, len(FEATURES)), np.float32)
        _features_all(
            self.vectors,
            self.topics,
            self.static,
            observation["history_ids"],
            observation["history_completion"],
            observation["history_age"],
            observation["context"],
            observation["profile"],
            candidates,
            out,
        )
        more = [score(observation, out)[:, :, None] for score in self.scores.values()]
        return np.concatenate([out, *more], axis=2, dtype=np.float32) if more else out

    def weighted(self, observation: Observation, weights: NDArray[np.floating]) -> NDArray[np.int64]:
        """Slates (B, K) of the best candidates by ``Σ_f w_f·z_f``, features standardised over the user's candidates.

        Parameters
        ----------
        weights
            (B, F + 1) in [−1, 1], in the order of `weights`. The last, if positive, is the penalty, in standard
            deviations of the score, for each item of the same main topic already in the slate.
        """
        scores = np.zeros(observation["candidates"].shape, np.float32)
        _score_all(self.features(observation), observation["candidates"], np.asarray(weights, np.float32), scores)
        return self.fill(observation, scores, np.maximum(weights[:, -1], 0.0), cap=self.slots)

    def fill(
        self, observation: Observation, scores: NDArray[np.float32], penalty: NDArray[np.floating], cap: int
    ) -> NDArray[np.int64]:
        """Fill slates one slot after the other with the best-scored candidate left.

        Items of the history and empty candidates come last. An item loses `penalty` (B,) times the spread of the
        user's scores for each item of its main topic above it; no topic appears more than `cap` times.
        """
        out = np.zeros((len(scores), self.slots), np.int64)
        _fill_all(
            observation["candidates"],
            observation["history_ids"],
            self.main_topic,
            np.asarray(scores, np.float32),
            np.broadcast_to(np.asarray(penalty, np.float32), len(scores)),
            cap,
            self.topics.shape[1],
            out,
        )
        return out


@njit(nogil=True, fastmath=True)
def _inner(a: np.ndarray, b: np.ndarray) -> np.float32:
    total = np.float32(0.0)
    for e in range(len(a)):
        total += a[e] * b[e]
    return total


@loop
def _features_all(
    vectors: np.ndarray,
    topics: np.ndarray,
    static: np.ndarray,
    history: np.ndarray,
    completion: np.ndarray,
    age: np.ndarray,
    context: np.ndarray,
    profile: np.ndarray,
    candidates: np.ndarray,
    out: np.ndarray,
) -> None:
    pooled = np.zeros(vectors.shape[1], np.float32)
    familiar = np.zeros(topics.shape[1], np.float32)
    exposed = np.zeros(topics.shape[1], np.float32)
    nothing = np.zeros(topics.shape[1], np.float32)
    for b in range(len(candidates)):
        pooled[:] = 0.0
        pool_row(vectors[1:], history[b], completion[b], age[b], 1.0 / HALF_LIFE_ITEMS, 1.0 / HALF_LIFE_DAYS, pooled)
        familiar[:] = 0.0
        exposed[:] = 0.0
        for h in range(history.shape[1]):
            item = int(history[b, h])
            if item > 0:
                recent = np.float32(np.exp(-age[b, h] / EXPOSURE_DAYS))
                for g in range(len(familiar)):
                    familiar[g] += completion[b, h] * topics[item, g]
                    exposed[g] += recent * topics[item, g]
        # The session's last item is the most recent of the history, if anything was consumed in this session.
        consumed = age[b, 0] * 1440.0 < context[b, 1]
        last = topics[int(history[b, 0])] if consumed else nothing
        for m in range(candidates.shape[1]):
            item = int(candidates[b, m])
            if item > 0:
                row = out[b, m]
                row[0] = _inner(pooled, vectors[item])
                for s in range(4):
                    row[1 + s] = static[item, s]
                row[5] = _inner(profile[b], topics[item])
                row[6] = _inner(familiar, topics[item])
                row[7] = _inner(exposed, topics[item])
                row[8] = _inner(last, topics[item])


@loop
def _score_all(features: np.ndarray, candidates: np.ndarray, weights: np.ndarray, scores: np.ndarray) -> None:
    for b in range(len(features)):
        real = candidates[b] > 0
        count = max(real.sum(), 1)
        for f in range(features.shape[2]):
            total = 0.0
            for m in range(len(real)):
                total += features[b, m, f] if real[m] else 0.0
            mean = total / count
            square = 0.0
            for m in range(len(real)):
                square += (features[b, m, f] - mean) ** 2 if real[m] else 0.0
            spread = np.sqrt(square / count)
            if spread > 1e-6:
                for m in range(len(real)):
                    scores[b, m] += weights[b, f] * np.float32((features[b, m, f] - mean) / spread)


@loop
def _fill_all(
    candidates: np.ndarray,
    history: np.ndarray,
    main_topic: np.ndarray,
    scores: np.ndarray,
    penalty: np.ndarray,
    cap: int,
    topics: int,
    out: np.ndarray,
) -> None:
    count = candidates.shape[1]
    left = np.zeros(count)
    used = np.zeros(topics, np.int64)
    for b in range(len(candidates)):
        used[:] = 0
        real = scores[b][candidates[b] > 0]
        spread = max(real.std(), 1e-9) if len(real) else 1e-9
        for m in range(count):
            left[m] = scores[b, m]
            item = int(candidates[b, m])
            for h in range(history.shape[1]):
                if history[b, h] == item:
                    left[m] -= 1e6
            if item == 0:
                left[m] = -np.inf
        for k in range(out.shape[1]):
            best = -1
            value = -np.inf
            for m in range(count):
                if left[m] > -np.inf:
                    topic = main_topic[int(candidates[b, m])]
                    mine = left[m] - penalty[b] * spread * used[topic]
                    if used[topic] >= cap:
                        mine -= 1e8
                    if mine > value:
                        value = mine
                        best = m
            if best < 0:
                break
            item = int(candidates[b, best])
            out[b, k] = item
            used[main_topic[item]] += 1
            left[best] = -np.inf
