"""A log of clicks as arrays: who clicked what and when, cut into sessions."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ("user", "session", "clock", "item", "category")
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clicks:
    """Clicks ordered by user and time, and their sessions.

    Attributes
    ----------
    user, item, category
        (N,) numbers from 0, without holes.
    hour
        (N,) time of the click [h], from the start of the window.
    session
        (N,) number of the session over the whole log, from 0; sessions are ordered by user and time, too.
    position
        (N,) place of the click in its session, from 1.
    run
        (N,) clicks in a row on this category within the session, up to and with this one.
    first, length
        (S,) index of each session's first click, and its number of clicks.
    window
        Length of the log [h].
    """

    user: Ints
    hour: Floats
    item: Ints
    category: Ints
    session: Ints
    position: Ints
    run: Ints
    first: Ints
    length: Ints
    window: float

    @classmethod
    def from_table(cls, table: pd.DataFrame, days: float) -> "Clicks":
        """Sort and number a table with `COLUMNS`; ``clock`` is in days from the start of a window of `days`.

        Raises
        ------
        ValueError
            If a column is missing, the table is empty, or a click lies outside of the window.
        """
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise ValueError(f"the log has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
        if len(table) == 0:
            raise ValueError("the log has no clicks; simulate more users or a longer window")
        clock = table["clock"].to_numpy(np.float64)
        if not (np.isfinite(clock).all() and clock.min() >= 0.0 and clock.max() <= days):
            raise ValueError(f"clock runs from {clock.min():g} to {clock.max():g}; the window is 0 to {days:g} days")
        order = np.lexsort((clock, table["session"].to_numpy(), table["user"].to_numpy()))
        user, item, category = (
            np.unique(table[name].to_numpy()[order], return_inverse=True)[1].astype(np.int64)
            for name in ("user", "item", "category")
        )
        number = table["session"].to_numpy()[order]
        starts = np.r_[True, (user[1:] != user[:-1]) | (number[1:] != number[:-1])]
        first = np.flatnonzero(starts)
        session = np.cumsum(starts) - 1
        index = np.arange(len(user))
        length = np.diff(np.r_[first, len(user)])
        run = _count_runs(session, category)
        hour = clock[order] * 24.0
        return cls(user, hour, item, category, session, index - first[session] + 1, run, first, length, 24.0 * days)

    def recategorised(self, category: Ints) -> "Clicks":
        """The same clicks with other categories (N,)."""
        return replace(self, category=category, run=_count_runs(self.session, category))

    @property
    def last(self) -> Ints:
        """(S,) index of each session's last click."""
        return self.first + self.length - 1

    @property
    def session_user(self) -> Ints:
        """(S,) user of each session."""
        return self.user[self.first]

    @property
    def gaps(self) -> tuple[Floats, NDArray[np.bool_]]:
        """(S,) hours from each session's last click to the user's next session, and whether there is one.

        Where there is none, the hours until the window's end: the gap is censored there.
        """
        end, who = self.hour[self.last], self.session_user
        seen = np.r_[who[1:] == who[:-1], False]
        following = np.r_[self.hour[self.first[1:]], 0.0]
        return np.where(seen, following, self.window) - end, seen


def _count_runs(session: Ints, category: Ints) -> Ints:
    turns = np.flatnonzero(np.r_[True, (category[1:] != category[:-1]) | (session[1:] != session[:-1])])
    return np.asarray(np.arange(len(category)) - np.repeat(turns, np.diff(np.r_[turns, len(category)])) + 1)


def mean_of_other_sessions(clicks: Clicks) -> Floats:
    """(S,) mean length of the user's other sessions; NaN for users with one session."""
    who = clicks.session_user
    count = np.bincount(who)[who]
    total = np.bincount(who, clicks.length)[who]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 1, (total - clicks.length) / (count - 1), np.nan))
