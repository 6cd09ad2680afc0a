"""The log of interactions: who consumed what, when, and how much of it; cleaned once, then read-only.

An owner's table becomes a log with `clean` or `from_table`. Encoders are trained on logs and read histories from them
in the form of the environment's observation, so that the same encoder serves both.

Cleaning drops rows with a field other than profile or minutes missing, with one that cannot be read, is not finite or
is out of range, with an unknown item, and all but one of the same user, item and time (the first consumed stays). A log
without a completion column counts as consumed whole; a missing value in such a column says nothing of the kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ...envs.catalogs.table import read_table
from .table_parsing import (
    AboveOne,
    LogError,
    RowFilter,
    check_choice,
    check_rating,
    find_columns,
    find_first_profiles,
    find_repeats,
    number_sessions,
    read_ids,
    read_items,
    read_long_csv,
    read_values,
)
from .time_units import TimeUnit

LIKED = 0.5  # share consumed (or rating / best rating) from which an item counts as liked

Histories = dict[str, NDArray[np.float32]]  # the three ``history_`` arrays of an observation, each (B, H)

_COLUMNS = {
    "user": np.int64,
    "item": np.int64,
    "time": np.float64,
    "completion": np.float32,
    "consumed": np.bool_,
    "session": np.int64,
    "minutes": np.float32,
}
_RANGES = {"time": (-np.inf, np.inf), "completion": (0.0, 1.0), "session": (0, np.inf), "minutes": (0.0, np.inf)}


@dataclass(frozen=True, eq=False, repr=False)
class Interactions:
    """n rows of a cleaned log, sorted by user and then by time; checked on construction and read-only afterwards.

    Parameters
    ----------
    user : (n,) int64
        User number, 0 .. users − 1.
    item : (n,) int64
        Item number, 1 .. items; 0 is padding everywhere in longplay.
    time : (n,) float64
        Days since the log's first row.
    completion : (n,) float32
        Share consumed, or rating / best rating, in [0, 1]; 0 where the item was only shown.
    consumed : (n,) bool
        False where the item was shown and not opened: an impression without a click.
    users, items : int
        Counts U and N; some may have no rows here.
    user_ids, item_ids : tuple of str, lengths U and N
        The owner's own ids, each once.
    profiles : tuple of str, length U
        What is known of each user, as a text; ``""`` where nothing is.
    session : (n,) int64
        Number of the session among the user's, from 0; 0 everywhere if the log names none.
    minutes : (n,) float32
        Dwell [min]; 0 where it is unknown or the item was only shown.
    report : mapping of str to int
        What cleaning found and did, counted.

    Raises
    ------
    LogError
        If any of the above does not hold, naming field, row and value.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.float64]
    completion: NDArray[np.float32]
    consumed: NDArray[np.bool_]
    users: int
    items: int
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    profiles: tuple[str, ...]
    session: NDArray[np.int64]
    minutes: NDArray[np.float32]
    report: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = len(np.atleast_1d(self.user))
        for name, dtype in _COLUMNS.items():
            # A copy, so that freezing it does not freeze the caller's own array.
            values: NDArray[Any] = np.array(getattr(self, name), dtype=dtype)
            if values.shape != (size,):
                raise LogError(f"field {name!r}: shape {values.shape}. Fix: give ({size},), one value for each row")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        for name, count in (("user_ids", self.users), ("item_ids", self.items), ("profiles", self.users)):
            texts = tuple(getattr(self, name))
            if len(texts) != count:
                raise LogError(f"field {name!r}: length {len(texts)}. Fix: give {count}, one for each number")
            object.__setattr__(self, name, texts)
        for name, (low, high) in (_RANGES | {"user": (0, self.users - 1), "item": (1, self.items)}).items():
            values = getattr(self, name)
            for row in np.flatnonzero(~((values >= low) & (values <= high) & np.isfinite(values)))[:1].tolist():
                allowed = "finite numbers" if np.isinf(low) else f"finite numbers from {low} to {high}"
                raise LogError(f"field {name!r}, row {row}: {values[row]} is not allowed. Fix: {name} takes {allowed}")
        step = np.diff(self.user)
        for row in np.flatnonzero((step < 0) | ((step == 0) & (np.diff(self.time) < 0)))[:1].tolist():
            raise LogError(f"row {row + 1} comes before row {row}. Fix: sort the rows by user, then by time")
        for row in np.flatnonzero(~self.consumed & ((self.completion > 0) | (self.minutes > 0)))[:1].tolist():
            raise LogError(f"row {row} was only shown, yet something of it was consumed. Fix: mark it as consumed")
        object.__setattr__(self, "report", dict(self.report))

    def __len__(self) -> int:
        return len(self.user)

    def __repr__(self) -> str:
        return f"Interactions({len(self)} rows, {self.users} users, {self.items} items)"

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the rows and of the numbers of users and items."""
        total = hashlib.sha256(f"{self.users} {self.items}".encode())
        for name in _COLUMNS:
            total.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return total.hexdigest()

    @property
    def liked(self) -> NDArray[np.bool_]:
        """(n,) bool: consumed, and at least the share `LIKED` of it."""
        return np.asarray(self.consumed & (self.completion >= LIKED))

    def take(self, rows: ArrayLike) -> Interactions:
        """Return some of the rows, in the same order, under the same numbers of users and items.

        Parameters
        ----------
        rows : (n,) bool, or indices of rows in any order
        """
        selected = np.asarray(rows)
        if selected.dtype != np.bool_:
            selected = np.sort(selected.astype(np.int64))
        elif selected.shape != (len(self),):
            raise LogError(f"mask of rows: shape {selected.shape}. Fix: give ({len(self)},), or indices")
        return replace(self, **{name: getattr(self, name)[selected] for name in _COLUMNS})

    def histories(
        self,
        users: ArrayLike,
        before: ArrayLike,
        length: int = 20,
        *,
        exclude_items: NDArray[np.bool_] | None = None,
    ) -> Histories:
        """Return what users had consumed strictly before a time, most recent first.

        Parameters
        ----------
        users : (B,) int
            User numbers; one may come several times.
        before : float or (B,) float
            Time [days] for all, or for each.
        length : int
            H, from 1.
        exclude_items : (N + 1,) bool, optional
            Items to leave out, as if never consumed.

        Returns
        -------
        dict of (B, H) float32
            ``history_ids`` (0 pads the end), ``history_completion`` and ``history_age`` (days before `before`), as in
            the environment's observation. Rows of equal time keep the log's order.
        """
        numbers = np.asarray(users, dtype=np.int64)
        until = np.broadcast_to(np.asarray(before, dtype=np.float64), numbers.shape)
        if numbers.ndim != 1 or (numbers.size and (numbers.min() < 0 or numbers.max() >= self.users)):
            raise LogError(f"users of shape {numbers.shape}. Fix: give a list of numbers from 0 to {self.users - 1}")
        if length < 1 or not np.isfinite(until).all():
            raise LogError(f"length {length}, before {before!r}. Fix: a length from 1, and finite times [days]")
        rows, keys, times = self._consumed_rows
        if exclude_items is not None:
            allowed = ~np.asarray(exclude_items, dtype=np.bool_)[self.item[rows]]
            rows, keys = rows[allowed], keys[allowed]
        start = np.searchsorted(keys, numbers * (len(times) + 1))
        end = np.searchsorted(keys, numbers * (len(times) + 1) + np.searchsorted(times, until))
        position = end[:, None] - 1 - np.arange(length)
        b, h = np.nonzero(position >= start[:, None])
        selected = rows[position[b, h]]
        values = {"ids": self.item[selected], "completion": self.completion[selected]}
        values["age"] = until[b] - self.time[selected]
        histories = {f"history_{name}": np.zeros(position.shape, np.float32) for name in values}
        for name, column in values.items():
            histories[f"history_{name}"][b, h] = column
        return histories

    @cached_property
    def _consumed_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Consumed rows, for each one integer that sorts as (user, time) does, and the distinct times."""
        rows = np.flatnonzero(self.consumed)
        times, rank = np.unique(self.time[rows], return_inverse=True)
        return rows, self.user[rows] * (len(times) + 1) + rank, times


def from_table(path: str | Path, item_ids: Sequence[str], **columns: object) -> Interactions:
    """Read a log from ``.csv`` or ``.jsonl``, either also with ``.gz``, or ``.parquet``; keywords are those of `clean`.

    Raises
    ------
    CatalogError
        If the file is missing, of another kind or broken, or as `clean` does.
    """
    path = Path(path)
    if path.is_file() and path.name.lower().endswith((".csv", ".csv.gz")):
        table = read_long_csv(path)
    else:
        table = pd.DataFrame(dict(read_table(path).cells))
    return clean(table, item_ids, **columns)  # type: ignore[arg-type]


def clean(
    table: pd.DataFrame,
    item_ids: Sequence[str],
    *,
    user: str = "user",
    item: str = "item",
    time: str = "time",
    completion: str | None = None,
    rating: str | None = None,
    best_rating: float | None = None,
    profile: str | None = None,
    consumed: str | None = None,
    session: str | None = None,
    minutes: str | None = None,
    time_unit: TimeUnit = "auto",
    completion_above_one: AboveOne = "drop",
    unknown_items: Literal["drop", "error"] = "drop",
) -> Interactions:
    """Clean a table of interactions, counting in `report` what was dropped, each row under the first reason.

    Without a name given, an optional field takes the column named like itself. Users are numbered by their ids as text.

    Parameters
    ----------
    table : DataFrame
        One row an interaction, in any order.
    item_ids : sequence of str, length N
        Item n is ``item_ids[n - 1]``.
    user, item, time : str
        Columns that must be there; ids are kept as written.
    completion, rating, best_rating : str, str and float, optional
        Column of the share consumed, in [0, 1]; or one of ratings and the best possible, for rating / best rating.
    profile : str, optional
        A text about the user; the earliest row that has one counts, so that nothing later leaks into it.
    consumed : str, optional
        Whether the item was opened (true/false, 1/0); where not, it was only shown: completion and dwell are 0.
    session, minutes : str, optional
        Any label, numbered for each user by its first row; dwell [min], from 0, an empty cell being unknown (0).
    time_unit : {"auto", "days", "seconds", "milliseconds", "microseconds", "nanoseconds", "iso"}
        Numbers counted from any moment, or ISO 8601 (UTC unless said); they become days since the first row kept. By
        "auto" numbers are the Unix time that dates them between 1990 and 2100, which is said, or else days.
    completion_above_one : {"drop", "clip"}
        What to do about rows of more than the whole item, such as watch ratios of what was watched twice: leave them
        out, or count them as whole.
    unknown_items : {"drop", "error"}
        What to do about items that are not in `item_ids`.

    Raises
    ------
    CatalogError
        If a column is not there, an id comes twice, nothing is left, an item is unknown (where asked), or the times
        cannot be in the unit given.

    Notes
    -----
    A reason that takes more than 2 % of the rows is said on the error stream.
    """
    check_choice("time_unit", time_unit, get_args(TimeUnit))
    check_choice("completion_above_one", completion_above_one, get_args(AboveOne))
    check_choice("unknown_items", unknown_items, ("drop", "error"))
    check_rating(completion, rating, best_rating)
    if "rating" in table and not (rating or completion or "completion" in table):
        fix = "give rating='rating' and best_rating (--rating rating --best-rating 5), or rename it"
        raise LogError(f"the table has a column 'rating'. Fix: {fix}")
    requested: dict[str, str | None] = {"user": user, "item": item, "time": time, "completion": completion or rating}
    requested |= {"profile": profile, "consumed": consumed, "session": session, "minutes": minutes}
    cells, row_filter = find_columns(table, requested), RowFilter(len(table))
    owners, names = read_ids(cells["user"])
    row_filter.drop(owners < 0, "user_missing")
    values = {"user": owners, "item": read_items(cells["item"], item_ids, row_filter, unknown_items)}
    values |= read_values(cells, time_unit, best_rating or 1.0, completion_above_one, row_filter)
    row_filter.drop(find_repeats(values, row_filter.keep), "duplicates")
    row_filter.say_what_went()
    return _sort_rows(values, names, item_ids, cells.get("profile"), row_filter)


def _sort_rows(
    values: dict[str, NDArray[Any]],
    names: list[str],
    item_ids: Sequence[str],
    profile: pd.Series | None,
    row_filter: RowFilter,
) -> Interactions:
    """Sort the rows that the filter kept, and number users, sessions and days among them."""
    rows = np.flatnonzero(row_filter.keep)
    if not len(rows):
        defect = f"no row is left of {len(row_filter.keep)} ({row_filter.list_reasons()})"
        raise LogError(f"{defect}. Fix: check the names of columns, the unit of time and the item ids")
    present = sorted(np.unique(values["user"][rows]).tolist(), key=lambda code: names[code])
    number = np.zeros(len(names), np.int64)
    number[present] = np.arange(len(present))
    user = number[values["user"][rows]]
    order = np.lexsort((values["time"][rows], user))
    rows, user = rows[order], user[order]
    columns = {name: column[rows] for name, column in values.items()} | {"user": user}
    columns["time"] = columns["time"] - columns["time"].min()
    columns["session"] = number_sessions(user, columns["session"])
    report = row_filter.report | {"kept": len(rows), "users": len(present)}
    report["items_without_rows"] = len(item_ids) - len(np.unique(columns["item"]))
    return Interactions(
        **columns,
        users=len(present),
        items=len(item_ids),
        user_ids=tuple(names[code] for code in present),
        item_ids=tuple(item_ids),
        profiles=find_first_profiles(profile, rows, user, len(present)),
        report=report,
    )
