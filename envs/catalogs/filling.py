"""Popularity and time of publication from a log of interactions, for a catalogue that lacks them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..shared.notices import say_once
from .catalog import Catalog, compute_midrank_percentile
from .table import CatalogError, Table, read_table

FILLED = ("popularity", "published")
_MISSING = ("None", "nan", "NaT", "<NA>")  # as Python, NumPy and pandas write a cell that holds nothing


def fill_from_log(
    catalog: Catalog,
    log: str | Path | Mapping[str, Any],
    *,
    user: str = "user",
    item: str = "item",
    time: str = "time",
    consumed: str = "consumed",
    fields: Sequence[str] = FILLED,
) -> Catalog:
    """Catalogue whose popularity and time of publication come from a log: the table that encoders are fitted on.

    Popularity is the mid-rank percentile of the number of different users who consumed the item; published is the time
    of its first row. In a log that begins later than its items, those of its first days are older than they seem.

    Parameters
    ----------
    catalog : Catalog
        N items.
    log : str, Path, or mapping of column names to columns (a DataFrame, too)
        One row an interaction, in any order; a file is ``.csv`` or ``.jsonl``, either also with ``.gz``, or Parquet.
    user, item, time : str
        Columns that must be there: ids as the catalogue has them; times as numbers in any one unit, as dates, or as
        ISO 8601 texts (UTC unless said).
    consumed : str
        Column of whether the item was opened (true/false, 1/0), if there is one; rows of items only shown say that
        the item was there, and not that it was popular.
    fields : sequence of str
        Which of ``"popularity"`` and ``"published"`` to fill; what the catalogue has there is replaced.

    Returns
    -------
    Catalog
        A copy. Items without a row are the least popular, and published at the median; `report` counts them, and the
        rows that were left out.

    Raises
    ------
    CatalogError
        If a column is not there, a field is none of the two, or no row can be read.

    Examples
    --------
    >>> from longplay import Catalog, fill_from_log
    >>> neutral = dict(minutes=[5.0] * 2, popularity=[0.5] * 2, rating=[0.5] * 2, published=[0.0] * 2)
    >>> catalog = Catalog("two", ("a", "b"), ("About tea.", "About coffee."), ((), ()), **neutral)
    >>> log = {"user": ["u", "v", "u"], "item": ["b", "b", "a"], "time": ["2024-05-01", "2024-05-02", "2024-05-03"]}
    >>> filled = fill_from_log(catalog, log)
    >>> filled.popularity.tolist(), bool(filled.published[1] < filled.published[0])
    ([0.25, 0.75], True)
    """
    for name in fields:
        if name not in FILLED:
            raise CatalogError(f"field {name!r} cannot be filled from a log. Fix: give some of {', '.join(FILLED)}")
    source = str(log) if isinstance(log, str | Path) else "the log"
    cells = read_table(Path(log)).cells if isinstance(log, str | Path) else {str(key): log[key] for key in log}
    table = Table(Path(source), "row", (), dict.fromkeys(cells, ()))
    users, items = _read_texts(cells[table.find(user, "user")]), _read_texts(cells[table.find(item, "item")])
    times = _read_times(cells[table.find(time, "time")])
    numbers = {name: number for number, name in enumerate(catalog.ids)}
    number = np.array([numbers.get(name, -1) for name in items], np.int64)
    known, readable = number >= 0, np.isfinite(times) & np.array([bool(name.strip()) for name in users], bool)
    kept = np.flatnonzero(known & readable)
    if not len(kept):
        raise CatalogError(
            f"{source}: no row is left of {len(items)} ({int((~known).sum())} of items that are not in the catalogue, "
            f"{int((known & ~readable).sum())} without a user or a time). Fix: check the names of columns, the "
            "item ids and the times"
        )
    opened = _read_opened(cells[consumed])[kept] if consumed in cells else np.ones(len(kept), bool)
    report = {"log_rows": len(items), "log_item_unknown": int((~known).sum())}
    report["log_row_unreadable"] = int((known & ~readable).sum())
    values = {
        "popularity": lambda: _rank_popularity(
            [users[row] for row in kept[opened]], number[kept[opened]], len(catalog)
        ),
        "published": lambda: _find_first_times(number[kept], times[kept], len(catalog)),
    }
    report["items_without_rows"] = len(catalog) - len(np.unique(number[kept]))
    text = ", ".join(f"{key}: {count:,}" for key, count in report.items())
    say_once(f"{' and '.join(fields)} of catalogue {catalog.name!r} filled from {source} ({text})")
    filled: dict[str, Any] = {name: values[name]() for name in fields}
    return replace(catalog, **filled, report={**catalog.report, **report})


def _rank_popularity(users: list[str], items: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Percentiles (N,) of the number of different users of each item."""
    audience = np.zeros(count)
    for _, number in set(zip(users, items.tolist(), strict=True)):
        audience[number] += 1
    return compute_midrank_percentile(audience)


def _find_first_times(items: NDArray[np.int64], times: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Time (N,) of each item's first row, the median of them where it has none."""
    first = np.full(count, np.inf)
    np.minimum.at(first, items, times)
    return np.where(np.isfinite(first), first, np.median(first[np.isfinite(first)]))


def _read_texts(cells: Any) -> list[str]:
    """Ids as texts, "" where missing; 7.0, which a whole number among gaps arrives as, was written as 7."""
    texts = []
    for cell in cells.tolist() if hasattr(cells, "tolist") else cells:
        missing = str(cell) in _MISSING
        whole = isinstance(cell, float) and not missing and cell.is_integer()
        texts.append("" if missing else str(int(cell)) if whole else str(cell))
    return texts


def _read_times(cells: Any) -> NDArray[np.float64]:
    """Times (n,), NaN where there is none: numbers as they are, dates in seconds."""
    values = np.asarray(cells)
    if values.dtype.kind == "M":
        return np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype(np.float64) / 1e6)
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    return np.array([_read_time(cell) for cell in values.tolist()], np.float64)


def _read_time(cell: Any) -> float:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        try:
            moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
        except ValueError:
            return math.nan
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return value


def _read_opened(cells: Any) -> NDArray[np.bool_]:
    return np.array([text.strip().lower() in ("true", "1", "1.0") for text in _read_texts(cells)], bool)
