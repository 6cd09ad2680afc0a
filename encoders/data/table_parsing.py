"""Cells of an owner's log as numbers, and the filter that counts why rows are dropped, for `interactions.clean`."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...envs.catalogs.table import Table
from ...envs.shared.notices import say_once
from .time_units import UNITS, TimeUnit, resolve_time_unit
from .time_units import LogError as LogError

MUCH = 0.02  # of the rows that one reason takes is more than a few defects
AboveOne = Literal["drop", "clip"]
_FIXES = {
    "item_unknown": "the catalogue lacks these items, or writes their ids in another way",
    "time_invalid": "times are numbers of the unit given, or ISO 8601 dates such as 2024-01-31",
    "completion_out_of_range": "shares are from 0 to 1; those above, of items watched again, are kept as 1 with "
    "completion_above_one='clip' (--completion-above-one clip); ratings and percentages need rating and best_rating "
    "(--rating, --best-rating)",
    "consumed_invalid": "write true or false, or 1 or 0",
    "duplicates": "same user, item and time",
}
_WORDS = {"true": 1, "1": 1, "1.0": 1, "false": 0, "0": 0, "0.0": 0}  # of a yes or no, in small letters


class RowFilter:
    """Which rows stay, and how many each reason took: a row counts under the first that it meets."""

    def __init__(self, size: int) -> None:
        self.keep = np.ones(size, np.bool_)
        self.report = {"rows": size}

    def drop(self, bad: NDArray[np.bool_], reason: str) -> None:
        """Drop the rows where `bad` (n,), counting those that no earlier reason took."""
        self.report[reason] = int((self.keep & bad).sum())
        self.keep &= ~bad

    def say_what_went(self) -> None:
        """Say which reasons took more than the share `MUCH` of the rows, and what may help."""
        total = self.report["rows"]
        for reason, count in self.report.items():
            if reason not in ("rows", "completion_clipped") and count > MUCH * total:
                fix = f" ({_FIXES[reason]})" if reason in _FIXES else ""
                say_once(f"the log lost {count:,} of {total:,} rows, {count / total:.1%}, to {reason}{fix}")

    def list_reasons(self) -> str:
        """The reasons that took rows, with their counts."""
        return ", ".join(f"{reason}: {count}" for reason, count in self.report.items() if count and reason != "rows")


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise `LogError` if an argument is none of the allowed words."""
    if value not in allowed:
        raise LogError(f"{name} {value!r} is unknown. Fix: give one of {', '.join(map(repr, allowed))}")


def check_rating(completion: str | None, rating: str | None, best: float | None) -> None:
    """Raise `LogError` unless there is a completion, or a rating with the best possible one, or neither."""
    if (rating is None) != (best is None) or (rating and completion) or not (best is None or 0 < best < np.inf):
        defect = f"completion={completion!r}, rating={rating!r}, best_rating={best!r} do not fit together"
        fix = "give the completion, or the rating with the best possible one, above 0 (--rating, --best-rating)"
        raise LogError(f"{defect}. Fix: {fix}")


def read_long_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file of texts, also with ``.gz``; for logs, many times longer than the tables of `read_table`.

    Raises
    ------
    LogError
        If the file is broken, or two columns share a name. Cells that a short line lacks are missing.
    """
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False, encoding="utf-8-sig")
        names = header.iloc[0].tolist()
        table = pd.read_csv(path, dtype=str, na_filter=False, encoding="utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        fix = "check that its ending says what it is, that text is UTF-8, and that cells with commas are quoted"
        raise LogError(f"{path}: cannot be read ({error}). Fix: {fix}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise LogError(f"{path}: rows have more cells than the header's {len(names)}. Fix: name every column")
    if len(set(names)) < len(names):
        raise LogError(f"{path}: columns share a name among {', '.join(map(repr, names))}. Fix: name each once")
    return table


def find_columns(table: pd.DataFrame, requested: Mapping[str, str | None]) -> dict[str, pd.Series]:
    """Cells of each field, leaving out optional ones that neither have a name nor a column named like themselves."""
    names = Table(Path("the log"), "row", range(1, len(table) + 1), {str(name): () for name in table.columns})
    return {
        key: table[names.find(column or key, key)].reset_index(drop=True)
        for key, column in requested.items()
        if column or key in names.cells
    }


def read_ids(cells: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Number of each cell among the distinct ids, −1 where it is missing, and these ids as texts."""
    codes, values = pd.factorize(cells)
    numbers: dict[str, int] = {}
    lookup = np.full(len(values) + 1, -1, np.int64)  # code −1, a missing cell, finds the last
    for code, value in enumerate(values.tolist()):
        # Whole numbers with gaps between them arrive as floats: 7.0 was written as 7.
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if text.strip():
            lookup[code] = numbers.setdefault(text, len(numbers))
    return lookup[codes], list(numbers)


def read_items(
    cells: pd.Series, item_ids: Sequence[str], row_filter: RowFilter, unknown: Literal["drop", "error"]
) -> NDArray[np.int64]:
    """Item number of each cell, 1 .. N; 0 where it is dropped."""
    numbers = {name: number for number, name in enumerate(item_ids, start=1)}
    if len(numbers) < len(item_ids):
        twice = next(name for number, name in enumerate(item_ids, start=1) if numbers[name] != number)
        raise LogError(f"item_ids: {twice!r} comes twice. Fix: give every item an id of its own")
    codes, names = read_ids(cells)
    row_filter.drop(codes < 0, "item_missing")
    lookup = np.array([numbers.get(name, 0) for name in names] + [0], np.int64)
    strange = (codes >= 0) & (lookup[codes] == 0)
    if unknown == "error" and strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise LogError(
            f"row {row + 1}: item {names[codes[row]]!r} is not in item_ids ({int(strange.sum())} such rows). "
            "Fix: add it to the catalogue, or pass unknown_items='drop'"
        )
    row_filter.drop(strange, "item_unknown")
    return lookup[codes]


def read_values(
    cells: Mapping[str, pd.Series], unit: TimeUnit, best: float, above_one: AboveOne, row_filter: RowFilter
) -> dict[str, NDArray[Any]]:
    """Columns (n,) time [days], consumed, completion, minutes and session (labels' numbers); 0 where dropped."""
    values: dict[str, NDArray[Any]] = {"time": _read_times(cells["time"], unit, row_filter)}
    size = len(values["time"])
    opened = values["consumed"] = _read_consumed(cells.get("consumed"), size, row_filter)
    values["completion"] = _read_completion(cells.get("completion"), opened, best, above_one, row_filter)
    values["minutes"] = _read_minutes(cells.get("minutes"), opened, row_filter)
    values["session"] = _read_sessions(cells.get("session"), size, row_filter)
    return values


def _read_times(cells: pd.Series, unit: TimeUnit, row_filter: RowFilter) -> NDArray[np.float64]:
    """Days since any fixed moment, (n,); 0 where dropped."""
    dated = pd.api.types.is_datetime64_any_dtype(cells.dtype)  # whose numbers mean nothing
    days, missing = (np.full(len(cells), np.nan), _find_missing(cells)) if dated else _parse_numbers(cells)
    unread = ~missing & ~np.isfinite(days)
    if dated or unit == "iso" or (unit == "auto" and unread.any()):
        texts = cells if dated else cells.astype(str)
        dates = pd.to_datetime(texts.where(~missing), utc=True, errors="coerce", format="ISO8601")
        if dated or (unit == "auto" and int(dates.notna().sum()) > int(np.isfinite(days).sum())):
            unit = "iso"
    # What is missing tells nothing of the unit.
    resolved = resolve_time_unit(days[~missing], unit)
    if resolved == "iso":
        days = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).to_numpy(np.float64)
    else:
        days = days / UNITS[resolved]
    row_filter.drop(missing, "time_missing")
    row_filter.drop(~np.isfinite(days), "time_invalid")
    return np.where(np.isfinite(days), days, 0.0)


def _read_consumed(cells: pd.Series | None, size: int, row_filter: RowFilter) -> NDArray[np.bool_]:
    """Whether each item was opened, (n,); everywhere if the log does not say."""
    if cells is None:
        return np.ones(size, np.bool_)
    codes, words = pd.factorize(cells)
    lookup = np.array([_WORDS.get(str(word).strip().lower(), -1) for word in words.tolist()] + [-1])
    missing = _find_missing(cells)
    row_filter.drop(missing, "consumed_missing")
    row_filter.drop(~missing & (lookup[codes] < 0), "consumed_invalid")
    return np.asarray(lookup[codes] == 1)


def _read_completion(
    cells: pd.Series | None, opened: NDArray[np.bool_], best: float, above_one: AboveOne, row_filter: RowFilter
) -> NDArray[np.float64]:
    """Share of each item that was consumed, (n,); 0 where it was only shown or the row is dropped."""
    if cells is None:
        return opened.astype(np.float64)
    share, missing = _parse_numbers(cells)
    share = share / best
    row_filter.drop(opened & missing, "completion_missing")
    row_filter.drop(opened & ~np.isfinite(share), "completion_invalid")
    if above_one == "clip":
        row_filter.report["completion_clipped"] = int((row_filter.keep & opened & (share > 1)).sum())
        share = np.minimum(share, 1.0)
    row_filter.drop(opened & ~((share >= 0) & (share <= 1)), "completion_out_of_range")
    return np.where(opened & (share >= 0) & (share <= 1), share, 0.0)


def _read_minutes(cells: pd.Series | None, opened: NDArray[np.bool_], row_filter: RowFilter) -> NDArray[np.float64]:
    """Dwell [min], (n,); 0 where it is unknown, the item was only shown, or the row is dropped."""
    if cells is None:
        return np.zeros(len(opened))
    minutes, missing = _parse_numbers(cells)
    fine = np.isfinite(minutes) & (minutes >= 0)
    row_filter.drop(opened & ~missing & ~fine, "minutes_invalid")
    return np.where(opened & fine, minutes, 0.0)


def _read_sessions(cells: pd.Series | None, size: int, row_filter: RowFilter) -> NDArray[np.int64]:
    """Number of each row's session label among all labels, (n,); 0 everywhere if the log has none."""
    if cells is None:
        return np.zeros(size, np.int64)
    codes, _ = read_ids(cells)
    row_filter.drop(codes < 0, "session_missing")
    return codes


def find_repeats(values: Mapping[str, NDArray[Any]], keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows (n,) whose user, item and time another kept row has that stays: the first consumed, else the first."""
    rows = np.flatnonzero(keep)
    keys = [values[name][rows] for name in ("user", "item", "time")]
    order = np.lexsort([~values["consumed"][rows], *keys])
    same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    repeats = np.zeros(len(keep), np.bool_)
    repeats[rows[order[1:]][same]] = True
    return repeats


def number_sessions(user: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each row's session among its user's, from 0 in the order of first rows; rows sorted by user."""
    _, first, session = np.unique(np.column_stack([user, label]), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    begins = np.searchsorted(user[first[order]], np.arange(user.max() + 1))  # of each user, among all sessions
    number = np.empty(len(first), np.int64)
    number[order] = np.arange(len(first)) - begins[user[first[order]]]
    return number[session.reshape(-1)]


def find_first_profiles(
    cells: pd.Series | None, rows: NDArray[np.int64], user: NDArray[np.int64], users: int
) -> tuple[str, ...]:
    """Text in the earliest of each user's `rows` that has one, ``""`` where none has; rows sorted by user and time."""
    profiles = [""] * users
    if cells is not None:
        filled = np.flatnonzero(~_find_missing(cells)[rows])
        owners, first = np.unique(user[filled], return_index=True)
        for number, text in zip(owners.tolist(), cells.to_numpy()[rows[filled[first]]].tolist(), strict=True):
            profiles[number] = " ".join(str(text).split())
    return tuple(profiles)


def _find_missing(cells: pd.Series) -> NDArray[np.bool_]:
    """Cells that hold nothing: null, or white space alone."""
    missing = cells.isna()
    if not pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_datetime64_any_dtype(cells.dtype):
        missing |= cells.astype(str).str.strip() == ""
    return missing.to_numpy(np.bool_)


def _parse_numbers(cells: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cells as numbers, NaN where they are none, and which of them are missing."""
    return pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan), _find_missing(cells)
