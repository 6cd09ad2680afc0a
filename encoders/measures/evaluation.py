"""How well a scorer finds the targets of cases: one row a user."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..base import EncoderError
from ..data.interactions import Interactions
from ..data.splits import Cases
from . import metrics

_CELLS = 2**26  # scores held at once: 256 MiB in float32
_MEASURES = ("recall", "precision", "f1", "ndcg", "hit_rate", "reciprocal_rank", "auc", "click_through")
COLUMNS = ("user", "targets", "candidates", *_MEASURES)


class ItemScorer(Protocol):
    """Scores all items for given histories; every `Encoder` does."""

    def score(self, histories: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """How well each item goes with each history, (B, N + 1); higher is better, column 0 is not read."""


def evaluate(scorer: ItemScorer, cases: Cases, k: int = 10, batch: int = 1024, seed: int = 0) -> pd.DataFrame:
    """Rank each user's candidates and measure where the targets are.

    Parameters
    ----------
    scorer : ItemScorer
        Anything with ``score(histories) -> (B, N + 1)``.
    cases : Cases
        Candidates are the pool without what the user has consumed.
    k : int
        Length of the list of recommendations.
    batch : int
        Users scored at once; fewer where the catalogue is so large that memory would grow.
    seed : int
        Breaks ties in the lists that coverage counts; nothing else is drawn.

    Returns
    -------
    DataFrame
        A row for each of ``cases.users``: ``user``, ``targets`` and ``candidates`` (counts), and the measures of
        `longplay.encoders.measures.metrics`: ``recall``, ``precision``, ``f1``, ``ndcg``, ``hit_rate``,
        ``reciprocal_rank``, ``auc`` and ``click_through`` (NaN where the log showed the user nothing that was not
        clicked). ``attrs`` holds ``k``, ``coverage`` (share of the pool in at least one user's list) and ``pool`` (its
        size).

    Raises
    ------
    ValueError
        If scores have another shape or a NaN among the candidates.
    """
    size, pool = len(cases.pool), np.flatnonzero(cases.pool)
    step = max(1, min(batch, _CELLS // size))
    rng = np.random.default_rng(seed)
    listed = np.zeros(size, np.bool_)
    parts = []
    for start in range(0, len(cases), step):
        chunk = slice(start, start + step)
        histories = {name: values[chunk] for name, values in cases.histories.items()}
        scores = np.asarray(scorer.score(histories))
        expected = (len(cases.users[chunk]), size)
        if scores.shape != expected:
            raise ValueError(f"scores of shape {scores.shape}. Fix: give {expected}, a row a user, a column an item")
        candidates = [np.setdiff1d(pool, seen, assume_unique=True) for seen in cases.seen[chunk]]
        parts.append(_measure_users(scores, cases, chunk, candidates, k))
        for items in metrics.pick_best(scores, candidates, k, rng):
            listed[items] = True
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS), dtype=np.float64)
    coverage = metrics.coverage([np.flatnonzero(listed)], cases.pool) if parts else float("nan")
    table.attrs.update(k=k, coverage=coverage, pool=len(pool))
    return table


def _measure_users(
    scores: NDArray[np.float32], cases: Cases, chunk: slice, candidates: list[NDArray[np.int64]], k: int
) -> pd.DataFrame:
    places = metrics.find_places(scores, cases.targets[chunk], candidates)
    offered = metrics.find_places(scores, cases.clicked[chunk], cases.shown[chunk])
    informative = offered.candidates > offered.targets  # else all that was shown was clicked: there is nothing to rank
    values = {
        "user": cases.users[chunk],
        "targets": places.targets,
        "candidates": places.candidates,
        "recall": metrics.recall(places, k),
        "precision": metrics.precision(places, k),
        "f1": metrics.f1(places, k),
        "ndcg": metrics.ndcg(places, k),
        "hit_rate": metrics.hit_rate(places, k),
        "reciprocal_rank": metrics.reciprocal_rank(places),
        "auc": metrics.auc(places),
        "click_through": np.where(informative, metrics.click_through(offered, k), np.nan),
    }
    return pd.DataFrame({name: values[name] for name in COLUMNS})


class PopularityScorer:
    """Scores an item by the number of users who liked it in the training part; the same for every history."""

    def __init__(self, train: Interactions) -> None:
        pairs = np.unique(np.column_stack([train.user, train.item])[train.liked], axis=0)
        self._likes = np.bincount(pairs[:, 1], minlength=train.items + 1).astype(np.float32)
        self._likes[0] = -np.inf

    def score(self, histories: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Likes of each item, (B, N + 1), read-only: all rows are one."""
        return np.broadcast_to(self._likes, (len(histories["history_ids"]), len(self._likes)))


@dataclass(frozen=True)
class RandomScorer:
    """Scores at random: evenly in [0, 1), a function of the seed and of the row's history alone.

    Parameters
    ----------
    items : int
        N.
    seed : int
    """

    items: int
    seed: int = 0

    def score(self, histories: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Random scores, (B, N + 1)."""
        ids, ages = (np.ascontiguousarray(histories[f"history_{name}"], np.float32) for name in ("ids", "age"))
        scores = np.full((len(ids), self.items + 1), -np.inf, np.float32)
        for row, seen, age in zip(scores, ids, ages, strict=True):
            key = zlib.crc32(age.tobytes(), zlib.crc32(seen.tobytes()))
            row[1:] = np.random.default_rng([self.seed, key]).random(self.items, np.float32)
        return scores


MOST_USERS = 2000  # users asked about, to be quick


def find_validation_cases(
    log: Interactions, validation: Interactions, history: int = 20, *, pool: NDArray[np.bool_] | None = None
) -> Cases:
    """Cases of users who liked something in the log, and like a new item in the validation rows.

    Of more than `MOST_USERS` such users, `MOST_USERS` drawn evenly, always the same.

    Parameters
    ----------
    history : int
        Length of the histories, as they are when the validation rows begin.
    pool : (N + 1,) bool, optional
        Items that are ranked; by default those consumed in the log.

    Raises
    ------
    EncoderError
        If there is no such user.
    """
    size = log.items + 1
    consumed = np.unique((log.user * size + log.item)[log.consumed])
    if pool is None:
        pool = np.bincount(log.item[log.consumed], minlength=size) > 0

    def find_new_pairs(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        keys = np.setdiff1d((validation.user * size + validation.item)[rows], consumed)
        return np.asarray(keys[pool[keys % size]])

    liked = find_new_pairs(validation.liked)
    users = np.intersect1d(np.unique(liked // size), log.user[log.liked])
    if not len(users):
        raise EncoderError("no user likes a new item in the validation rows. Fix: give later rows, or none at all")
    if len(users) > MOST_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, MOST_USERS, replace=False))

    def group_by_user(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        ends = np.searchsorted(keys, users * size), np.searchsorted(keys, (users + 1) * size)
        return tuple(keys[begin:end] % size for begin, end in zip(*(end.tolist() for end in ends), strict=True))

    return Cases(
        users=users,
        histories=log.histories(users, validation.time.min(), history),
        targets=group_by_user(liked),
        pool=pool,
        seen=group_by_user(consumed[pool[consumed % size]]),
        profiles=tuple(log.profiles[user] for user in users.tolist()),
        shown=group_by_user(find_new_pairs(np.ones(len(validation), np.bool_))),
        clicked=group_by_user(find_new_pairs(validation.consumed)),
    )
