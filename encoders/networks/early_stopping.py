"""When to stop learning: how well an encoder foretells what users come to like, asked while it is being fitted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..base import Encoder, EncoderError
from ..data.interactions import Interactions
from ..data.splits import Cases
from ..evaluation import evaluate

MOST = 2000  # users asked about, to be quick
TOP = 10


def validation_cases(
    log: Interactions, validation: Interactions, history: int = 20, *, pool: NDArray[np.bool_] | None = None
) -> Cases:
    """Cases of users who liked something in the log, and like a new item in the validation rows.

    Of more than `MOST` such users, `MOST` drawn evenly, always the same.

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

    def new(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        keys = np.setdiff1d((validation.user * size + validation.item)[rows], consumed)
        return np.asarray(keys[pool[keys % size]])

    liked = new(validation.liked)
    users = np.intersect1d(np.unique(liked // size), log.user[log.liked])
    if not len(users):
        raise EncoderError("no user likes a new item in the validation rows. Fix: give later rows, or none at all")
    if len(users) > MOST:
        users = np.sort(np.random.default_rng(0).choice(users, MOST, replace=False))

    def by_user(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        ends = np.searchsorted(keys, users * size), np.searchsorted(keys, (users + 1) * size)
        return tuple(keys[begin:end] % size for begin, end in zip(*(end.tolist() for end in ends), strict=True))

    return Cases(
        users=users,
        histories=log.histories(users, validation.time.min(), history),
        targets=by_user(liked),
        pool=pool,
        seen=by_user(consumed[pool[consumed % size]]),
        profiles=tuple(log.profiles[user] for user in users.tolist()),
        shown=by_user(new(np.ones(len(validation), np.bool_))),
        clicked=by_user(new(validation.consumed)),
    )


class ValidationRecall:
    """Mean recall@10 on the validation cases, of an encoder as it is when asked.

    Parameters
    ----------
    encoder : Encoder
        In the middle of its fit.
    cases : Cases
        Of `validation_cases`.
    refresh : callable, optional
        Brings what the encoder scores with up to date with its network.
    """

    def __init__(self, encoder: Encoder, cases: Cases, refresh: Callable[[], object] = lambda: None) -> None:
        self._encoder, self._cases, self._refresh = encoder, cases, refresh

    def __call__(self) -> float:
        """Score the users; the encoder counts as fitted meanwhile, and no longer: a fit may yet be interrupted."""
        encoder, fitted = self._encoder, self._encoder._fitted
        self._refresh()
        encoder._fitted = True
        try:
            return float(evaluate(encoder, self._cases, TOP)["recall"].mean())
        finally:
            encoder._fitted = fitted
