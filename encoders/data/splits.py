"""Splits of a log by time, by user and by item, with nothing of the test part in the training part.

::

                        training     validation │ cut    test
    most users            train         val.    │        targets of `warm`
    most users,
      cold items          ─── left out ───      │        targets of `cold_items`
    cold users            ─── left out ───      │ shown first, then targets of `cold_users`

Every target lies at or after the cut; what an encoder learns from lies before it. Histories hold no held-out items. A
warm user's is that at the cut; a cold user's is that right after the last item shown, or at the cut if it is later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .interactions import Histories, Interactions
from .table_parsing import LogError

Items = tuple[NDArray[np.int64], ...]  # item numbers of each user, ascending
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cases:
    """B users of whom some future is known: what an encoder may see of them, and what it has to find.

    Parameters
    ----------
    users : (B,) int64
        User numbers of the log, ascending.
    histories : dict of (B, H) float32
        As the environment's observation has them.
    targets : tuple of B arrays of int64
        Items of the pool that the user liked and had not consumed before; at least one each.
    pool : (N + 1,) bool
        Items that are ranked; never item 0.
    seen : tuple of B arrays of int64
        Items consumed before: left out of the user's ranking.
    profiles : tuple of str, length B
        What is known of the user, as a text.
    shown, clicked : tuple of B arrays of int64
        Items of the pool, not in `seen`, that the log showed to the user in the time of the targets, and those among
        them that were consumed. They differ only where the log has impressions.
    """

    users: NDArray[np.int64]
    histories: Histories
    targets: Items
    pool: Mask
    seen: Items
    profiles: tuple[str, ...]
    shown: Items
    clicked: Items

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Split:
    """What to learn from and what to be measured by; see `split`.

    Parameters
    ----------
    train, validation : Interactions
        Without rows of cold users or cold items; with impressions, as real negatives.
    validation_start, test_start : float
        The two cuts [days]: ``train < validation_start ≤ validation < test_start``.
    known : (N + 1,) bool
        Items with consumed rows in `train`.
    cold_item : (N + 1,) bool
        Items held out.
    cold_user : (U,) bool
        Users held out.
    warm : Cases
        Users with liked rows in `train`; targets among the known items.
    cold_users : Cases
        Held-out users, of whom only a few liked items are shown; targets among the known items.
    cold_users_empty : Cases
        The same users and targets with nothing shown: a profile text at most.
    cold_items : Cases
        Users with liked rows in `train`; targets and pool are the held-out items.
    validation_cases : Cases
        As `warm`, one cut earlier: for early stopping and choice of settings.
    """

    train: Interactions
    validation: Interactions
    validation_start: float
    test_start: float
    known: Mask
    cold_item: Mask
    cold_user: Mask
    warm: Cases
    cold_users: Cases
    cold_users_empty: Cases
    cold_items: Cases
    validation_cases: Cases


def split(
    log: Interactions,
    *,
    test_share: float = 0.2,
    validation_share: float = 0.1,
    test_start: float | None = None,
    validation_start: float | None = None,
    cold_users: float = 0.1,
    cold_items: float = 0.1,
    shown: int = 3,
    history: int = 20,
    seed: int = 0,
) -> Split:
    """Split a log by time, by user and by item.

    Parameters
    ----------
    log : Interactions
        The whole log.
    test_share, validation_share : float
        Shares of the rows, the last in time and those before them; rows of the very time of a cut fall after it.
    test_start, validation_start : float, optional
        The cuts as times [days], instead of the shares.
    cold_users, cold_items : float
        Shares of the users with rows and of the items with consumed rows to hold out, drawn evenly by `seed`.
    shown, history : int
        Liked items shown of a cold user, from 1: the first that are known. Length H of histories.

    Raises
    ------
    LogError
        If an argument is out of range, or if no rows to learn from, or no warm users, are left.
    """
    _check_arguments(log, test_share, validation_share, cold_users, cold_items, shown)
    start, end = _find_cuts(log, validation_start, validation_share, test_start, test_share)
    cold_user, cold_item = _hold_out(log, cold_users, cold_items, seed)
    learnable = ~cold_user[log.user] & ~cold_item[log.item]
    train = log.take(learnable & (log.time < start))
    known = _make_mask(log.items + 1, train.item[train.consumed])
    liking = _make_mask(log.users, train.user[train.liked])
    finder = _CaseFinder(log, cold_item, history)
    cold_user_cases = finder.find_cold_users(cold_user, known, end, shown)
    parts = Split(
        train=train,
        validation=log.take(learnable & (log.time >= start) & (log.time < end)),
        validation_start=start,
        test_start=end,
        known=known,
        cold_item=cold_item,
        cold_user=cold_user,
        warm=finder.find_cases(liking, known, end, np.inf),
        cold_users=cold_user_cases,
        cold_users_empty=replace(
            cold_user_cases, histories={name: np.zeros_like(h) for name, h in cold_user_cases.histories.items()}
        ),
        cold_items=finder.find_cases(liking, cold_item, end, np.inf),
        validation_cases=finder.find_cases(liking, known, start, end),
    )
    if not len(parts.warm):
        defect = f"no user liked an item in training (before day {start:g}) and a new one from day {end:g} on"
        raise LogError(f"{defect}. Fix: give more rows, or other shares")
    return parts


def hold_back(log: Interactions, share: float = 0.1) -> tuple[Interactions, Interactions]:
    """The log up to a time, and the last `share` of its rows after it, to stop early by: for a fit that is to be used.

    Nobody and nothing is held out, so such an encoder cannot be measured on this log.
    """
    if not 0.0 < share < 1.0:
        raise LogError(f"share {share!r} is out of range. Fix: give one above 0 and below 1")
    cut = np.quantile(log.time, 1.0 - share)
    return log.take(log.time < cut), log.take(log.time >= cut)


class _CaseFinder:
    """Finds cases in a log. A pair of user and item is one integer here, ``user · (N + 1) + item``."""

    def __init__(self, log: Interactions, cold_item: Mask, history: int) -> None:
        self._log, self._cold_item, self._history = log, cold_item, history
        self._pair = log.user * (log.items + 1) + log.item

    def find_cases(self, users: Mask, pool: Mask, begin: float | NDArray[np.float64], until: float) -> Cases:
        """Cases among `users` (U,), targets in `pool` (N + 1,), from `begin` (for each or all) and before `until`."""
        log = self._log
        since = np.broadcast_to(begin, log.users)
        relevant = users[log.user] & pool[log.item]
        later = log.time >= since[log.user]
        seen = _sort_distinct(self._pair[relevant & ~later & log.consumed])
        future = relevant & later & (log.time < until)
        offered = future & ~np.isin(self._pair, seen)
        shown, clicked, liked = (_sort_distinct(self._pair[offered & rows]) for rows in (True, log.consumed, log.liked))
        case_users = _sort_distinct(liked // (log.items + 1))
        return Cases(
            users=case_users,
            histories=log.histories(case_users, since[case_users], self._history, exclude_items=self._cold_item),
            targets=self._list_items(case_users, liked),
            pool=pool,
            seen=self._list_items(case_users, seen),
            profiles=tuple(log.profiles[user] for user in case_users.tolist()),
            shown=self._list_items(case_users, shown),
            clicked=self._list_items(case_users, clicked),
        )

    def find_cold_users(self, cold_user: Mask, known: Mask, end: float, shown: int) -> Cases:
        """Cases of held-out users who liked at least `shown` known items, with these alone as their histories."""
        log = self._log
        rows = np.flatnonzero(log.liked & cold_user[log.user] & known[log.item])
        _, first = np.unique(self._pair[rows], return_index=True)
        rows = rows[np.sort(first)]  # of each item its first time; still sorted by user and time
        rows = rows[np.arange(len(rows)) - np.searchsorted(log.user[rows], log.user[rows]) < shown]
        now = np.full(log.users, end)
        np.maximum.at(now, log.user[rows], np.nextafter(log.time[rows], np.inf))
        enough = np.bincount(log.user[rows], minlength=log.users) == shown
        cases = self.find_cases(enough, known, now, np.inf)
        return replace(cases, histories=log.take(rows).histories(cases.users, now[cases.users], self._history))

    def _list_items(self, users: NDArray[np.int64], pairs: NDArray[np.int64]) -> Items:
        """Items of each of the users in ascending pairs."""
        size = self._log.items + 1
        begins, ends = np.searchsorted(pairs, users * size), np.searchsorted(pairs, (users + 1) * size)
        return tuple(pairs[begin:end] % size for begin, end in zip(begins.tolist(), ends.tolist(), strict=True))


def _find_cuts(
    log: Interactions, start: float | None, validation_share: float, end: float | None, test_share: float
) -> tuple[float, float]:
    """The two cuts [days], from shares of the rows where they are not given."""
    times, size = np.sort(log.time), len(log)
    if end is None:
        end = float(times[min(size - 1, round((1.0 - test_share) * size))])
    before = int(np.searchsorted(times, end))
    if start is None:
        first = max(0, before - round(validation_share * size))
        start = float(times[first]) if first < before else end
    if not times[0] < start <= end <= times[-1]:
        defect = f"validation would start on day {start:g}, the test on day {end:g}, rows from {times[0]:g} to"
        raise LogError(f"{defect} {times[-1]:g}. Fix: leave rows before the first cut and after the second")
    return start, end


def _hold_out(log: Interactions, cold_users: float, cold_items: float, seed: int) -> tuple[Mask, Mask]:
    """Users (U,) and items (N + 1,) to hold out."""
    rng = np.random.default_rng(seed)
    return _draw_share(rng, log.users, log.user, cold_users), _draw_share(
        rng, log.items + 1, log.item[log.consumed], cold_items
    )


def _draw_share(rng: np.random.Generator, size: int, numbers: NDArray[np.int64], share: float) -> Mask:
    """A share of the numbers that occur, drawn evenly, as a mask (size,)."""
    present = np.unique(numbers)
    return _make_mask(size, rng.permutation(present)[: round(share * len(present))])


def _sort_distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Different values (n,), all from 0, ascending: `numpy.unique`, faster where they are nearly sorted already."""
    ordered = np.sort(values)
    return ordered[np.diff(ordered, prepend=-1) > 0]


def _make_mask(size: int, numbers: NDArray[np.int64]) -> Mask:
    mask = np.zeros(size, np.bool_)
    mask[numbers] = True
    return mask


def _check_arguments(
    log: Interactions, test_share: float, validation_share: float, cold_users: float, cold_items: float, shown: int
) -> None:
    shares = {"test_share": test_share, "validation_share": validation_share}
    for name, share in (shares | {"cold_users": cold_users, "cold_items": cold_items}).items():
        if not 0.0 <= share < 1.0:
            raise LogError(f"{name} {share!r} is out of range. Fix: give a share from 0 to below 1")
    if test_share + validation_share >= 1.0:
        raise LogError(f"test and validation take {test_share + validation_share:g} of the rows. Fix: leave some")
    if shown < 1:
        raise LogError(f"shown {shown!r} is out of range. Fix: show at least 1 item of a cold user")
    if not len(log):
        raise LogError("the log has no rows. Fix: give some")
