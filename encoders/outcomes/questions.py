"""What a log says that predictors are fitted to: items shown and opened, items consumed, sessions and returns.

::

                       before the cut            from the cut on
    most users         training
    others             validation
    the rest                                     test

Users of one part are in no other, and nothing at or after the cut is known to a fit: a return that comes later counts
as not seen yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from ..base import Encoder, EncoderError
from ..data.interactions import Interactions
from .features import ITEM_FEATURES, USER_FEATURES, compute_item_features, compute_user_features
from .predictors import PENALTIES
from .survival import FEATURES, compute_session_features

PARTS = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)  # of the users
_BATCH = 4096  # histories encoded at once


@dataclass(frozen=True, eq=False)
class Outcomes:
    """n things that happened, and what was known before.

    Attributes
    ----------
    user : (n,) int
        Who.
    vectors : (n, E) float32
        User vectors just before.
    other : (n, F) array
        Item vectors, or features of the session.
    outcome : (n,) array
        Whether it was opened, how much of it was consumed, or whether the user came back in time.
    days : (n,) array
        Days of a session until the return or until nothing more is known; empty where these are no sessions.
    returned : (n,) bool array
        Whether a session's days are until the return; empty where these are no sessions.
    """

    user: NDArray[np.int64]
    vectors: NDArray[np.float32]
    other: NDArray[np.float64]
    outcome: NDArray[np.float64]
    days: NDArray[np.float64]
    returned: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Outcomes:
        """Some of the rows."""
        of_sessions = len(self.days) > 0
        days, returned = (self.days[rows], self.returned[rows]) if of_sessions else (self.days, self.returned)
        return Outcomes(self.user[rows], self.vectors[rows], self.other[rows], self.outcome[rows], days, returned)


class LogParts:
    """Users and times of the three parts of a log.

    Parameters
    ----------
    log : Interactions
    sessions : DataFrame
        Sessions of the same users and clock, sorted by ``user`` and ``session``, with the columns that
        `compute_session_features` reads.
    cut : float
        Share of the sessions that begin before the cut, above 0 and below 1.
    most : int
        Rows of a part at most; more are drawn from.
    seed : int
        Seed of the draw of users and rows.
    """

    def __init__(self, log: Interactions, sessions: pd.DataFrame, cut: float, most: int, seed: int) -> None:
        if not 0.0 < cut < 1.0:
            raise EncoderError(f"cut = {cut} is out of range; allowed: above 0 and below 1")
        self.log, self.sessions, self.most, self.seed = log, sessions, most, seed
        self.time = float(np.quantile(sessions["begin"], cut))
        self.end = float(max(sessions["end"].max(), log.time.max()))
        order = np.random.default_rng(seed).permutation(log.users)
        self.part = np.zeros(log.users, np.int64)
        self.part[order[round(SHARES[0] * log.users) :]] = 1
        self.part[order[round((SHARES[0] + SHARES[1]) * log.users) :]] = 2

    @property
    def train(self) -> Interactions:
        """What an encoder may learn from."""
        return self.log.take((self.part[self.log.user] == 0) & (self.log.time < self.time))

    def collect_shown(self, part: str, encoder: Encoder, features: bool = False) -> Outcomes:
        """Items that were shown in a session, and whether they were opened.

        With features, those of `compute_user_features` follow each user vector and those of `compute_item_features`
        each item vector, as ``log(1 + x)``: of all that any user did before the day of the row.
        """
        log = self.log
        first = self.sessions.groupby("user")["begin"].min().reindex(range(log.users), fill_value=np.inf).to_numpy()
        later = log.time >= first[log.user]  # not what came before the log
        return self._collect_items(part, encoder, later, log.consumed, features)

    def collect_consumed(self, part: str, encoder: Encoder, features: bool = False) -> Outcomes:
        """Items that were consumed, and how much of them; with features as in `collect_shown`."""
        return self._collect_items(part, encoder, self.log.consumed, self.log.completion, features)

    def collect_sessions(self, part: str, encoder: Encoder, within: float) -> Outcomes:
        """Sessions, and whether the user came back within some days; NaN where the log ends before them.

        Where it does, the answer is left open even if the user is back already: those who are not would be missing.

        Raises
        ------
        EncoderError
            If the days are not above 0.
        """
        if not within > 0.0:
            raise EncoderError(f"within = {within} is out of range; allowed: above 0 days")
        table, end = self.sessions, self.end if part == "test" else self.time
        user, left = table["user"].to_numpy(np.int64), table["end"].to_numpy(np.float64)
        rows = self._draw_rows(part, self.part[user], left)
        gap = table["gap"].to_numpy(np.float64)[rows]
        user, left, features = user[rows], left[rows], compute_session_features(table)[rows]
        returned = left + np.nan_to_num(gap, nan=np.inf) < end
        days = np.where(returned, gap, end - left)
        within_days = np.where(left + within <= end, returned & (days <= within), np.nan)
        return Outcomes(user, self._encode(encoder, user, left), features, within_days, days, returned)

    def _collect_items(
        self,
        part: str,
        encoder: Encoder,
        mask: NDArray[np.bool_],
        outcome: NDArray[np.generic],
        features: bool,
    ) -> Outcomes:
        log = self.log
        rows = np.flatnonzero(mask)
        rows = rows[self._draw_rows(part, self.part[log.user[rows]], log.time[rows])]
        vectors = encoder.item_vectors[log.item[rows]].astype(np.float64)
        of_users_before = self._encode(encoder, log.user[rows], log.time[rows])
        if features:
            of_users, of_items = self._compute_features(rows)
            of_users_before = np.concatenate([of_users_before, of_users], axis=1, dtype=np.float32)
            vectors = np.concatenate([vectors, of_items], axis=1)
        nothing = np.zeros(0)
        return Outcomes(
            log.user[rows], of_users_before, vectors, outcome[rows].astype(np.float64), nothing, nothing.astype(bool)
        )

    def _compute_features(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features of users and items before the day of each row; counting anew for each row would take too long."""
        log, day = self.log, np.floor(self.log.time[rows])
        of_users, of_items = (np.zeros((len(rows), len(names))) for names in (USER_FEATURES, ITEM_FEATURES))
        for begin in np.unique(day):
            mask = day == begin
            of_users[mask] = compute_user_features(log, begin).to_numpy()[log.user[rows[mask]]]
            of_items[mask] = compute_item_features(log, begin).to_numpy()[log.item[rows[mask]] - 1]
        return np.log1p(of_users), np.log1p(of_items)

    def _draw_rows(self, part: str, parts: NDArray[np.int64], time: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows of a part, drawn evenly where there are too many."""
        late = time >= self.time if part == "test" else time < self.time
        rows = np.flatnonzero((parts == PARTS.index(part)) & late)
        if not len(rows):
            raise EncoderError(f"the {part} part of the log has no rows; give more users or move the cut")
        if len(rows) <= self.most:
            return rows
        return np.sort(np.random.default_rng([self.seed, len(rows)]).choice(rows, self.most, replace=False))

    def _encode(self, encoder: Encoder, user: NDArray[np.int64], before: NDArray[np.float64]) -> NDArray[np.float32]:
        parts = [slice(at, at + _BATCH) for at in range(0, len(user), _BATCH)]
        return np.concatenate([encoder.encode(self.log.histories(user[chunk], before[chunk])) for chunk in parts])


def check_outcomes(question: str, fix: str, *, train: Outcomes, validation: Outcomes, test: Outcomes) -> None:
    """Refuse parts in which a classifier cannot be fitted, recalibrated or measured; `fix` ends the message.

    Raises
    ------
    EncoderError
        If training or validation part lack one of the two outcomes, or the test part has no row.
    """
    for name, part in zip(PARTS, (train, validation, test), strict=True):
        happened = int(part.outcome.sum())
        if not len(part) or (name != "test" and not 0 < happened < len(part)):
            raise EncoderError(
                f"{question}: of {len(part)} rows of the {name} part it holds for {happened}; some of both kinds are "
                f"needed. Fix: {fix}"
            )


def fit_best_penalty(fit: Callable[..., Any], train: Outcomes, valid: Outcomes, **options: Any) -> Any:
    """Fit once for each of `PENALTIES`; the model that tells the validation rows best, by log loss."""
    models = [fit(train.vectors, train.other, train.outcome, penalty=p, **options) for p in PENALTIES]
    losses = [log_loss(valid.outcome, model.predict(valid.vectors, valid.other), labels=[0, 1]) for model in models]
    return models[int(np.argmin(losses))]


def bootstrap_over_users(
    metric: Callable[..., float], user: NDArray[np.int64], *arrays: NDArray[Any], resamples: int = 200, seed: int = 0
) -> tuple[float, float, float]:
    """A metric and its 95 % interval, percentiles of a bootstrap that draws users, each with all rows.

    Parameters
    ----------
    metric : callable
        Metric of the arrays; NaN where some rows do not tell it.
    user : (n,) int
    *arrays : (n, ...) arrays
    resamples : int
    seed : int

    Returns
    -------
    tuple of float
        Value, low end, high end.
    """
    order = np.argsort(user, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(user[order])) + 1)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        drawn = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        values.append(metric(*(array[drawn] for array in arrays)))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(metric(*arrays)), float(low), float(high)


def align_sessions(sessions: pd.DataFrame, log: Interactions, begin: float) -> pd.DataFrame:
    """Sessions under the numbers of a log's users and on its clock.

    Parameters
    ----------
    sessions : DataFrame
        As ``scripts/collect.py`` writes it: ``user`` as the log's `user_ids` name them, times on the owner's clock.
    log : Interactions
    begin : float
        Time of the log's first row on the owner's clock [days].
    """
    missing = {"user", "session", "begin", "end", "gap", *FEATURES[:2], "slates", "completion"} - set(sessions.columns)
    if missing:
        raise EncoderError(f"the sessions have no column {', '.join(map(repr, sorted(missing)))}; add it")
    numbers = {name: number for number, name in enumerate(log.user_ids)}
    table = sessions.assign(user=sessions["user"].astype(str).map(numbers))
    table = table[table["user"].notna()].astype({"user": np.int64})
    table = table.assign(begin=table["begin"] - begin, end=table["end"] - begin)
    return table.sort_values(["user", "session"], ignore_index=True)
