"""Scoring features of candidates, from what is visible alone, and the slates that weights over them give.

This is the form of production rankers: a handful of scores for each candidate, combined by weights that a policy sets.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..engine import ContextColumn, Observation
from ..shared.compiled import loop
from ..users.world import World
from .pooling import HALF_LIFE_DAYS, HALF_LIFE_ITEMS, pad_item_vectors, pool_row

FEATURES = (
    "similarity",  # cosine of the item's vector and the pooled history
    "popularity",  # how much the item is talked about
    "rating",  # what critics make of it
    "length",  # minutes
    "novelty",  # how recently it was published: in hours, −log(1 + hours), where items age, else its date
    "favourite",  # topics that the user named at sign-up
    "familiar",  # topics of the history
    "exposed",  # topics consumed in the last hours
    "continues",  # topics of the item consumed last in this session
)
SHOWN = "shown"  # how often lately, faded; the last feature of worlds in which impressions leave a trace
WEIGHTS = (*FEATURES, "variety")  # the last weight takes points off an item for each item of its main topic above it
# Another feature: from observations and the features (B, M, 9) of `FEATURES` to (B, M), whatever made it.
Score = Callable[[Observation, NDArray[np.float32]], NDArray[np.float32]]
BLOCK = 512  # users whose pooled histories stay in the processor's cache
EXPOSURE_DAYS = 0.25  # the decay that the feature "exposed" assumes; the users' own is hidden and differs
SHOWN_DAYS = 3.0  # the decay that the feature "shown" assumes; the users' own is hidden


class ItemTables(NamedTuple):
    """What is visible of the items, a row an item; row 0, for no candidate, is zeros."""

    vectors: NDArray[np.float32]  # (N + 1, E) of unit length
    topics: NDArray[np.float32]  # (N + 1, G) shares
    static: NDArray[np.float32]  # (N + 1, 4) popularity, rating, log minutes, date of publication
    main_topic: NDArray[np.int32]  # (N + 1,)
    aging: bool  # whether the date is a day of the clock, so that novelty counts from there
    topic: NDArray[np.int32]  # (N + 1, J) the topics of each item alone, the rest filled with 0; J is 0 in version 1
    share: NDArray[np.float32]  # (N + 1, J) and its shares of them


class VisibleUsers(NamedTuple):
    """What is visible of B users, and their M candidates; all float32."""

    history: np.ndarray  # (B, H) item numbers
    completion: np.ndarray  # (B, H)
    age: np.ndarray  # (B, H) days
    context: np.ndarray  # (B, 8)
    profile: np.ndarray  # (B, G)
    candidates: np.ndarray  # (B, M) item numbers
    shown: np.ndarray  # (B, L, K) item numbers of the slates shown last; L is 0 where that is not known
    shown_age: np.ndarray  # (B, L) days
    similarity: np.ndarray  # (B, M) of each candidate and the pooled history; written when features are


def list_features(world: World) -> tuple[str, ...]:
    """Names of the scoring features of a world's candidates: `FEATURES`, and `SHOWN` where shown slates are known."""
    return (*FEATURES, SHOWN) if world.scenario.memory else FEATURES


class Scorer:
    """Turns weights over scoring features into slates.

    Parameters
    ----------
    world
        Source of the visible attributes: topics, popularity, rating, length, publication.
    item_vectors
        (N, E) from a text encoder.
    scores
        More features by name, such as the scores of a model that was fitted on a log; they come after the others.
    arithmetic
        Version of the arithmetic, to which the last bits of features and scores belong: 1 sums over all topics, and
        standardises in float64; 2 sums over those that an item has, and standardises in float32, in half the time.

    Attributes
    ----------
    own
        Names of the features that are the scorer's own: `list_features` of the world.
    names
        Names of all features.
    weights
        Names of what `recommend` weighs: the features and, last, ``"variety"``.
    """

    def __init__(
        self,
        world: World,
        item_vectors: NDArray[np.float32],
        scores: Mapping[str, Score] | None = None,
        arithmetic: int = 1,
    ) -> None:
        catalog = world.catalog
        self.arithmetic = arithmetic
        self.scores = dict(scores or {})
        self.own = list_features(world)
        self.names = (*self.own, *self.scores)
        self.weights = (*self.names, WEIGHTS[-1])
        vectors = pad_item_vectors(item_vectors, len(catalog))
        self.vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self.slots = world.scenario.shape.slate
        self.topics = world.topics.astype(np.float32)
        self.main_topic = self.topics.argmax(axis=1).astype(np.int32)
        static = np.zeros((len(catalog) + 1, 4), np.float32)
        # Where items age it matters how long they have been out by now, and a date alone would mean less every day.
        self.aging = bool(world.scenario.params.items_life > 0.0)
        date = world.items["born"][1:] if self.aging else catalog.published
        static[1:] = np.stack([catalog.popularity, catalog.rating, np.log(catalog.minutes), date], axis=1)
        self.static = static
        topic, share = list_topics(self.topics) if arithmetic > 1 else (np.zeros((len(self.topics), 0)),) * 2
        sparse = (topic.astype(np.int32), share.astype(np.float32))
        self._items = ItemTables(self.vectors, self.topics, static, self.main_topic, self.aging, *sparse)

    def features(self, observation: Observation) -> NDArray[np.float32]:
        """(B, M, F) features of the candidates, in the order of `names`, unscaled."""
        candidates = observation["candidates"]
        out = np.zeros((*candidates.shape, len(self.own)), np.float32)
        users = self._see(observation)
        _write_similarity(self.vectors, users)
        _write_features(self._items, users, out)
        added = [score(observation, out)[:, :, None] for score in self.scores.values()]
        return np.concatenate([out, *added], axis=2, dtype=np.float32) if added else out

    def _see(self, observation: Observation) -> VisibleUsers:
        candidates = observation["candidates"]
        count = len(candidates)
        if SHOWN in self.own:
            shown, shown_age = observation["shown_ids"], observation["shown_age"]
        else:
            shown, shown_age = np.zeros((count, 0, self.slots), np.float32), np.zeros((count, 0), np.float32)
        return VisibleUsers(
            history=observation["history_ids"],
            completion=observation["history_completion"],
            age=observation["history_age"],
            context=observation["context"],
            profile=observation["profile"],
            candidates=candidates,
            shown=shown,
            shown_age=shown_age,
            similarity=np.empty(candidates.shape, np.float32),
        )

    def recommend(self, observation: Observation, weights: NDArray[np.floating]) -> NDArray[np.int64]:
        """Slates (B, K) of the best candidates by ``Σ_f w_f·z_f``, features standardised over the user's candidates.

        Parameters
        ----------
        weights
            (B, F + 1) in [−1, 1], in the order of `weights`. The last, if positive, is the penalty, in standard
            deviations of the score, for each item of the same main topic already in the slate.
        """
        factors, cap = np.asarray(weights, np.float32), self.slots
        penalty = np.maximum(weights[:, -1], 0.0)
        if self.scores:
            scores = np.zeros(observation["candidates"].shape, np.float32)
            _add_scores(self.features(observation), observation["candidates"], factors, scores)
            return self.fill(observation, scores, penalty, cap)
        out, users = np.zeros((len(factors), cap), np.int64), self._see(observation)
        _write_similarity(self.vectors, users)
        _fill_weighted_slates(self._items, users, factors, np.asarray(penalty, np.float32), cap, out)
        return out

    def fill(
        self, observation: Observation, scores: NDArray[np.float32], penalty: NDArray[np.floating], cap: int
    ) -> NDArray[np.int64]:
        """Fill slates one slot after the other with the best-scored candidate left.

        Items of the history and empty candidates come last. An item loses `penalty` (B,) times the spread of the
        user's scores for each item of its main topic above it; no topic appears more than `cap` times.
        """
        out = np.zeros((len(scores), self.slots), np.int64)
        penalty = np.broadcast_to(np.asarray(penalty, np.float32), len(scores))
        scores = np.asarray(scores, np.float32)
        _fill_slates(self._items, observation["candidates"], observation["history_ids"], scores, penalty, cap, out)
        return out


def list_topics(topics: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of shares (N, G) the topics of each item, in order, and its shares of them: (N, J) each, filled up with 0."""
    most = max(int((topics > 0).sum(axis=1).max()), 1)
    # Stable: items with fewer topics are filled up with those of which they have nothing.
    order = np.sort(np.argsort(topics <= 0, axis=1, kind="stable")[:, :most], axis=1)
    return order, np.take_along_axis(topics, order, axis=1)


@njit(nogil=True, fastmath=True)
def _inner(a: np.ndarray, b: np.ndarray) -> np.float32:
    total = np.float32(0.0)
    for e in range(len(a)):
        total += a[e] * b[e]
    return total


@loop
def _write_similarity(vectors: np.ndarray, users: VisibleUsers) -> None:
    """Inner products of the pooled history and the candidates' vectors.

    In large batches many users have an item among their candidates: taken item by item, its vector is read from memory
    once for all of them.
    """
    history, completion, age, candidates = users.history, users.completion, users.age, users.candidates
    size = min(len(candidates), BLOCK)
    pooled = np.zeros((size, vectors.shape[1]), np.float32)
    for first in range(0, len(candidates), BLOCK):
        block, products = candidates[first : first + BLOCK], users.similarity[first : first + BLOCK]
        pooled[:] = 0.0
        for b in range(len(block)):
            user = (history[first + b], completion[first + b], age[first + b])
            pool_row(vectors[1:], *user, 1.0 / HALF_LIFE_ITEMS, 1.0 / HALF_LIFE_DAYS, pooled[b])
        if len(block) * block.shape[1] < len(vectors):
            for b in range(len(block)):
                for m in range(block.shape[1]):
                    products[b, m] = _inner(pooled[b], vectors[int(block[b, m])])
        else:
            places, ends = _sort_places(block, len(vectors))
            place = 0
            for item in range(len(vectors)):
                while place < ends[item]:
                    b = places[place] // block.shape[1]
                    m = places[place] % block.shape[1]
                    products[b, m] = _inner(pooled[b], vectors[item])
                    place += 1


@loop
def _sort_places(candidates: np.ndarray, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in `candidates`, flat, in the order of item numbers, and where those of each item end: counting sort."""
    ends = np.zeros(items + 1, np.int64)
    for b in range(len(candidates)):
        for m in range(candidates.shape[1]):
            ends[int(candidates[b, m]) + 1] += 1
    for item in range(items):
        ends[item + 1] += ends[item]
    places = np.empty(candidates.size, np.int64)
    for b in range(len(candidates)):
        for m in range(candidates.shape[1]):
            item = int(candidates[b, m])
            places[ends[item]] = b * candidates.shape[1] + m
            ends[item] += 1
    return places, ends


@njit(nogil=True, fastmath=True)
def _describe(items: ItemTables, wanted: np.ndarray, candidates: np.ndarray, clock: float, out: np.ndarray) -> None:
    """The visible attributes, and inner products of the topics with the rows of `wanted` (4, G), into `out` (M, F)."""
    for m in range(len(candidates)):
        item = int(candidates[m])
        for s in range(4):
            out[m, 1 + s] = items.static[item, s]
        if items.aging and item > 0:
            out[m, 4] = -np.log1p(max(24.0 * (clock - items.static[item, 3]), 0.0))
        if items.share.shape[1] > 0:
            for k in range(4):
                total = np.float32(0.0)
                for j in range(items.share.shape[1]):
                    total += wanted[k, items.topic[item, j]] * items.share[item, j]
                out[m, 5 + k] = total
        else:
            for k in range(4):
                total = np.float32(0.0)
                for g in range(wanted.shape[1]):
                    total += wanted[k, g] * items.topics[item, g]
                out[m, 5 + k] = total


@loop
def _count_shown(
    candidates: np.ndarray, shown: np.ndarray, shown_age: np.ndarray, counts: np.ndarray, out: np.ndarray
) -> None:
    """How often each candidate was shown, each time faded by the days since, into `out` (M,); `counts` is zero."""
    for j in range(len(shown)):
        left = np.float32(np.exp(-shown_age[j] / SHOWN_DAYS))
        for k in range(shown.shape[1]):
            counts[int(shown[j, k])] += left
    counts[0] = 0.0
    for m in range(len(candidates)):
        out[m] = counts[int(candidates[m])]
    for j in range(len(shown)):
        for k in range(shown.shape[1]):
            counts[int(shown[j, k])] = 0.0


@loop
def _write_user_features(items: ItemTables, users: VisibleUsers, b: int, counts: np.ndarray, out: np.ndarray) -> None:
    """Features of user b's candidates into `out` (M, F); `counts` (N + 1,) is zero, and is left so."""
    topics, history, completion, age = items.topics, users.history[b], users.completion[b], users.age[b]
    context, candidates = users.context[b], users.candidates[b]
    wanted = np.zeros((4, topics.shape[1]), np.float32)  # profile, familiar, exposed and last consumed topics
    wanted[0] = users.profile[b]
    for h in range(len(history)):
        item = int(history[h])
        if item > 0:
            recent = np.float32(np.exp(-age[h] / EXPOSURE_DAYS))
            for g in range(wanted.shape[1]):
                wanted[1, g] += completion[h] * topics[item, g]
                wanted[2, g] += recent * topics[item, g]
    # The session's last item is the most recent of the history, if anything was consumed in this session.
    if age[0] * 1440.0 < context[ContextColumn.SESSION_MINUTES.value]:
        wanted[3] = topics[int(history[0])]
    out[:, 0] = users.similarity[b]
    _describe(items, wanted, candidates, context[ContextColumn.DAY.value], out)
    if users.shown.shape[1] > 0:
        _count_shown(candidates, users.shown[b], users.shown_age[b], counts, out[:, len(FEATURES)])


@loop
def _write_features(items: ItemTables, users: VisibleUsers, out: np.ndarray) -> None:
    counts = np.zeros(len(items.main_topic), np.float32)
    for b in range(len(users.candidates)):
        _write_user_features(items, users, b, counts, out[b])


@loop
def _add_user_scores(features: np.ndarray, candidates: np.ndarray, weights: np.ndarray, scores: np.ndarray) -> None:
    """Weighted sums of one user's standardised features (M, F), added to `scores` (M,)."""
    real = candidates > 0
    count = max(real.sum(), 1)
    mean = np.zeros(features.shape[1])
    spread = np.zeros(features.shape[1])
    for m in range(len(real)):
        if real[m]:
            for f in range(len(mean)):
                mean[f] += features[m, f]
    for f in range(len(mean)):
        mean[f] /= count
    for m in range(len(real)):
        if real[m]:
            for f in range(len(mean)):
                spread[f] += (features[m, f] - mean[f]) ** 2
    for f in range(len(mean)):
        spread[f] = np.sqrt(spread[f] / count)
        if spread[f] > 1e-6:
            for m in range(len(real)):
                scores[m] += weights[f] * np.float32((features[m, f] - mean[f]) / spread[f])


@njit(nogil=True, fastmath=True)
def _add_user_scores_in_rows(
    features: np.ndarray, candidates: np.ndarray, weights: np.ndarray, scores: np.ndarray
) -> None:
    """The same of features (F, M), a feature a row, in float32: sums that the processor can do many of at a time."""
    count = 0
    for m in range(len(candidates)):
        count += candidates[m] > 0
    share = np.float32(1.0 / max(count, 1))
    for f in range(len(features)):
        row = features[f]
        total = np.float32(0.0)
        for m in range(len(candidates)):
            total += row[m] if candidates[m] > 0 else np.float32(0.0)
        mean = total * share
        square = np.float32(0.0)
        for m in range(len(candidates)):
            off = row[m] - mean
            square += off * off if candidates[m] > 0 else np.float32(0.0)
        spread = np.sqrt(square * share)
        if spread > np.float32(1e-6):
            factor = weights[f] / spread
            for m in range(len(candidates)):
                scores[m] += factor * (row[m] - mean)


@loop
def _add_scores(features: np.ndarray, candidates: np.ndarray, weights: np.ndarray, scores: np.ndarray) -> None:
    for b in range(len(features)):
        _add_user_scores(features[b], candidates[b], weights[b], scores[b])


@loop
def _fill_slate(
    items: ItemTables,
    candidates: np.ndarray,
    history: np.ndarray,
    scores: np.ndarray,
    penalty: float,
    cap: int,
    seen: np.ndarray,
    out: np.ndarray,
) -> None:
    """One user's slate into `out` (K,); `seen` (N + 1,) is zero, and is left so."""
    main_topic, topics = items.main_topic, items.topics.shape[1]
    count = len(candidates)
    real = scores[candidates > 0]
    step = penalty * (max(real.std(), 1e-9) if len(real) else 1e-9)
    left = np.empty(count)
    topic = np.empty(count, np.int32)
    for h in range(len(history)):
        seen[int(history[h])] += 1
    for m in range(count):
        item = int(candidates[m])
        topic[m] = main_topic[item]
        left[m] = scores[m] if item > 0 else -np.inf
        for _ in range(seen[item]):
            left[m] -= 1e6
    for h in range(len(history)):
        seen[int(history[h])] = 0
    used = np.zeros(topics)
    off = np.zeros(topics)
    full = np.zeros(topics)
    for k in range(len(out)):
        best = -1
        value = -np.inf
        for m in range(count):
            remaining = left[m] - off[topic[m]] - full[topic[m]]
            if remaining > value:
                value = remaining
                best = m
        if best < 0:
            break
        out[k] = int(candidates[best])
        used[topic[best]] += 1
        off[topic[best]] = step * used[topic[best]]
        full[topic[best]] = 1e8 if used[topic[best]] >= cap else 0.0
        left[best] = -np.inf


@loop
def _fill_slates(
    items: ItemTables,
    candidates: np.ndarray,
    history: np.ndarray,
    scores: np.ndarray,
    penalty: np.ndarray,
    cap: int,
    out: np.ndarray,
) -> None:
    seen = np.zeros(len(items.main_topic), np.int16)
    for b in range(len(candidates)):
        _fill_slate(items, candidates[b], history[b], scores[b], penalty[b], cap, seen, out[b])


@loop
def _fill_weighted_slates(
    items: ItemTables, users: VisibleUsers, weights: np.ndarray, penalty: np.ndarray, cap: int, out: np.ndarray
) -> None:
    """Features, scores and slates, user by user, so that what lies between stays in the processor's cache."""
    candidates, history = users.candidates, users.history
    count = weights.shape[1] - 1
    rows = np.zeros((count, candidates.shape[1]), np.float32)
    features = np.zeros((candidates.shape[1], count), np.float32)
    scores = np.zeros(candidates.shape[1], np.float32)
    seen = np.zeros(len(items.main_topic), np.int16)
    counts = np.zeros(len(items.main_topic), np.float32)
    for b in range(len(candidates)):
        scores[:] = 0.0
        if items.share.shape[1] > 0:
            _write_user_features(items, users, b, counts, rows.T)
            _add_user_scores_in_rows(rows, candidates[b], weights[b], scores)
        else:
            _write_user_features(items, users, b, counts, features)
            _add_user_scores(features, candidates[b], weights[b], scores)
        _fill_slate(items, candidates[b], history[b], scores, penalty[b], cap, seen, out[b])
