"""Measures of a ranking, one number a user, so that intervals can resample users.

Where items tie, each measure is its exact expectation over a random order of those that tie: nothing is drawn, nothing
depends on item numbers, and a scorer that gives all items the same score is exactly at chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

Floats = NDArray[np.float64]
Items = Sequence[NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Places:
    """Where the targets of B users lie among their candidates.

    Parameters
    ----------
    owner : (T,) int64
        User of each target, 0 .. B − 1, ascending.
    above, tied : (T,) int64
        Candidates of a higher score than the target, and of the same, itself included.
    targets, candidates : (B,) int64
        Number of each user's targets, and of the items ranked, targets included.
    """

    owner: NDArray[np.int64]
    above: NDArray[np.int64]
    tied: NDArray[np.int64]
    targets: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def sum_by_user(self, values: Floats) -> Floats:
        """Sum (B,) of what each target (T,) gives."""
        return np.asarray(np.bincount(self.owner, values, len(self.targets)), np.float64)


def find_places(scores: NDArray[np.floating], targets: Items, candidates: Items) -> Places:
    """Find where targets lie among candidates.

    Parameters
    ----------
    scores : (B, N + 1) float
        Higher is better; −∞ is allowed, NaN is not.
    targets : B arrays of int
        Items to be found, each among the user's candidates.
    candidates : B arrays of int
        Items that are ranked.

    Raises
    ------
    ValueError
        If a score of a candidate is NaN, or a target is no candidate.
    """
    above, tied = [], []
    for b, (own_targets, ranked) in enumerate(zip(targets, candidates, strict=True)):
        values = np.sort(scores[b, ranked])  # NaN sorts last
        if len(values) and np.isnan(values[-1]):
            raise ValueError(f"row {b}: a score is NaN. Fix: give finite scores, or −∞ for items never to be shown")
        own = scores[b, own_targets]
        low, high = np.searchsorted(values, own), np.searchsorted(values, own, "right")
        if (low == high).any() or not np.isin(own_targets, ranked).all():
            raise ValueError(f"row {b}: a target is not among the candidates. Fix: rank all targets")
        above.append(len(values) - high)
        tied.append(high - low)
    sizes = np.array([len(own_targets) for own_targets in targets], np.int64)
    none = [np.zeros(0, np.int64)]
    return Places(
        owner=np.repeat(np.arange(len(sizes)), sizes),
        above=np.concatenate(none + above),
        tied=np.concatenate(none + tied),
        targets=sizes,
        candidates=np.array([len(ranked) for ranked in candidates], np.int64),
    )


def ranks(places: Places) -> Floats:
    """Expected rank of each target, (T,), the best being 1."""
    return places.above + (places.tied + 1) / 2


def hits(places: Places, k: int) -> Floats:
    """Expected number of targets among the k best, (B,)."""
    return places.sum_by_user(np.clip((_check_k(k) - places.above) / places.tied, 0.0, 1.0))


def recall(places: Places, k: int) -> Floats:
    """Hits among the k best over the most that there could be, min(k, targets); (B,), NaN without targets."""
    return _divide(hits(places, k), np.minimum(k, places.targets))


def precision(places: Places, k: int) -> Floats:
    """Hits among the k best over k, (B,)."""
    return hits(places, k) / k


def f1(places: Places, k: int) -> Floats:
    """Harmonic mean of hits / k and hits / targets: 2 · hits / (k + targets), (B,)."""
    return 2.0 * hits(places, k) / (k + places.targets)


def ndcg(places: Places, k: int) -> Floats:
    """Sum of 1 / log2(1 + rank) over hits among the k best, over the most it could be; (B,), NaN without targets."""
    gain = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, _check_k(k) + 2)))])
    first, last = np.minimum(places.above, k), np.minimum(places.above + places.tied, k)
    return _divide(places.sum_by_user((gain[last] - gain[first]) / places.tied), gain[np.minimum(k, places.targets)])


def hit_rate(places: Places, k: int) -> Floats:
    """Probability that a target is among the k best, (B,); NaN without targets."""
    _check_k(k)
    chance = np.full(len(places.targets), np.nan)
    for b, above, tied, among in _find_best_ties(places):
        missed = _compute_chance_of_none(tied, among)
        chance[b] = 1.0 - missed[np.clip(k - above, 0, len(missed) - 1)]
    return chance


def reciprocal_rank(places: Places) -> Floats:
    """1 / rank of the best target, (B,); its mean over users is MRR. NaN without targets."""
    value = np.full(len(places.targets), np.nan)
    for b, above, tied, among in _find_best_ties(places):
        missed = _compute_chance_of_none(tied, among)
        value[b] = ((missed[:-1] - missed[1:]) / (above + np.arange(1, len(missed)))).sum()
    return value


def auc(places: Places) -> Floats:
    """Probability that a target scores above another candidate, ties half, (B,); NaN where there is no such pair."""
    m, size = places.targets, places.candidates
    beaten = places.sum_by_user(size[places.owner] - places.above - (places.tied + 1) / 2)
    # Of two targets one beats the other, or both half: m(m − 1)/2 in all, which is not about other candidates.
    return _divide(beaten - m * (m - 1) / 2, m * (size - m))


def click_through(places: Places, k: int) -> Floats:
    """Share of the k best that were clicked, (B,), where candidates are what the log showed and targets its clicks.

    Whether an item that was never shown would be clicked is not known, so the ranking is of those shown alone; with
    fewer than k, of all of them (then no ranking can matter). NaN where nothing was shown.
    """
    return _divide(hits(places, k), np.minimum(k, places.candidates))


def pick_best(
    scores: NDArray[np.floating], candidates: Items, k: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], ...]:
    """The k best candidates of each user (fewer where there are fewer), in no order; ties broken at random.

    Parameters
    ----------
    scores : (B, N + 1) float
    candidates : B arrays of int
    k : int
    rng : Generator
        Drawn from for users with ties at the k-th place alone.
    """
    chosen = []
    for row, ranked in zip(scores, candidates, strict=True):
        if len(ranked) > _check_k(k):
            values = row[ranked]
            least = np.partition(values, len(values) - k)[len(values) - k]
            better, equal = ranked[values > least], ranked[values == least]
            room = k - len(better)
            ranked = np.concatenate([better, equal if len(equal) == room else rng.choice(equal, room, replace=False)])
        chosen.append(ranked)
    return tuple(chosen)


def coverage(lists: Items, pool: NDArray[np.bool_]) -> float:
    """Share of the pool (N + 1,) that is in at least one user's list; NaN where the pool is empty."""
    listed = np.zeros(len(pool), np.bool_)
    for items in lists:
        listed[items] = True
    return float((listed & pool).sum() / pool.sum()) if pool.any() else float("nan")


def binary_measures(labels: ArrayLike, probabilities: ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and AUC of predicted probabilities; NaN where one is undefined.

    Parameters
    ----------
    labels : (n,) bool
    probabilities : (n,) float
        Probabilities of a positive, in [0, 1].
    threshold : float
        Probability from which the prediction is positive.

    Raises
    ------
    ValueError
        If the lengths differ, are 0, or a probability is out of range.
    """
    truth, chance = np.asarray(labels, dtype=np.bool_), np.asarray(probabilities, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != chance.shape or not len(truth):
        raise ValueError(f"labels {truth.shape} and probabilities {chance.shape}. Fix: give two lists of one length")
    for i in np.flatnonzero(~((chance >= 0.0) & (chance <= 1.0)))[:1].tolist():
        raise ValueError(f"probability {i}: {chance[i]} is out of range. Fix: give values from 0 to 1")
    positive = chance >= threshold
    undefined = {"zero_division": np.nan}
    return {
        "accuracy": float(accuracy_score(truth, positive)),
        "precision": float(precision_score(truth, positive, **undefined)),
        "recall": float(recall_score(truth, positive, **undefined)),
        "f1": float(f1_score(truth, positive, **undefined)),
        "auc": float(roc_auc_score(truth, chance)) if 0 < truth.sum() < len(truth) else float("nan"),
    }


def find_best_threshold(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The probability from which a prediction is best called positive: that of the highest F1; 0.5 without positives.

    Parameters
    ----------
    labels : (n,) bool
        Of rows that are not tested on, such as validation rows.
    probabilities : (n,) float
        Probabilities of a positive, in [0, 1].
    """
    truth, chance = np.asarray(labels, dtype=np.bool_), np.asarray(probabilities, dtype=np.float64)
    if not truth.any():
        return 0.5
    values = np.unique(chance)
    above, right = (len(some) - np.searchsorted(np.sort(some), values) for some in (chance, chance[truth]))
    return float(values[np.argmax(2.0 * right / (above + truth.sum()))])


def _find_best_ties(places: Places) -> list[tuple[int, int, int, int]]:
    """For each user with targets: number, `above` and `tied` of the best target, and how many targets tie with it."""
    order = np.lexsort((places.above, places.owner))
    users, first = np.unique(places.owner[order], return_index=True)
    best = order[first]
    least = np.zeros(len(places.targets), np.int64)
    least[users] = places.above[best]
    among = places.sum_by_user((places.above == least[places.owner]).astype(np.float64)).astype(np.int64)
    columns = (users, places.above[best], places.tied[best], among[users])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _compute_chance_of_none(tied: int, among: int) -> Floats:
    """Probability that none of `among` targets is in the first j of `tied` items in random order, j = 0 .. the most."""
    j = np.arange(tied - among + 1)
    return np.concatenate([[1.0], np.cumprod((tied - among - j) / (tied - j))])


def _divide(numerator: Floats, denominator: ArrayLike) -> Floats:
    """Ratio, NaN where there is no whole."""
    total = np.asarray(denominator, dtype=np.float64)
    return np.asarray(np.divide(numerator, total, out=np.full(len(total), np.nan), where=total > 0.0), np.float64)


def _check_k(k: int) -> int:
    if k < 1:
        raise ValueError(f"k {k!r} is out of range. Fix: rank at least 1")
    return k
