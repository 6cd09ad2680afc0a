"""The catalogue: the real texts a scenario recommends, with the few numbers that the user model needs about each.

An owner's own table becomes a catalogue with `Catalog.from_table`; the embedded films with `films.load_films`.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..shared.notices import say_once
from .table import CatalogError, Table, read_table

Where = Callable[[int], str]  # item index, from 0 -> the words by which its owner finds it

# The numeric fields, each with the value of a table that has no such column. Any constant is neutral: with equal
# lengths, say, no item pays more for being long. Where the field orders items, `order.sort_items` sees to that.
DEFAULTS = {"minutes": 10.0, "popularity": 0.5, "rating": 0.5, "published": 0.0}
PRICE = "price"  # a numeric field that a catalogue may do without
_PERCENTILES = ("popularity", "rating")
_POSITIVE = ("minutes", PRICE)


@dataclass(frozen=True, eq=False, repr=False)
class Catalog:
    """N items, checked on construction and read-only afterwards.

    Item number n (1..N) is ``ids[n - 1]``; number 0 stands for padding and empty slots, and is no item.

    Parameters
    ----------
    name : str
        Shown in tables and reports; changes nothing in a simulation.
    ids : tuple of str, length N
        The owner's own ids: unique, not blank.
    texts : tuple of str, length N
        Text of each item, in sentences; not blank.
    topics : tuple of tuple of str, length N
        Labels of each item; where all are empty, topics are inferred from the texts elsewhere.
    minutes : (N,) float64
        Raw length [min], above 0; scenarios compress it.
    popularity : (N,) float64
        How much the item is talked about: mid-rank percentile in [0, 1].
    rating : (N,) float64
        How good critics find it: mid-rank percentile in [0, 1].
    published : (N,) float64
        Time when it appeared: the year, or any finite number where larger is newer.
    report : mapping of str to int
        Counts of what cleaning found and did.
    source : str
        File that it was read from, for messages; "" for none.
    price : (N,) float64, optional
        What each item costs, above 0, in any currency; read by worlds in which prices matter alone, see
        `longplay.envs.users.world.find_prices`.

    Raises
    ------
    CatalogError
        If any of the above does not hold, naming field, item and value.
    """

    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    topics: tuple[tuple[str, ...], ...]
    minutes: NDArray[np.float64]
    popularity: NDArray[np.float64]
    rating: NDArray[np.float64]
    published: NDArray[np.float64]
    report: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    price: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        size = len(self.ids)
        if size < 2:
            raise CatalogError(f"field 'ids': {size} items. Fix: give at least 2, or nothing can be chosen")
        for column in (*DEFAULTS, *(() if self.price is None else (PRICE,))):
            # A copy, so that freezing it does not freeze the caller's own array.
            values = np.array(getattr(self, column), dtype=np.float64)
            if values.shape != (size,):
                raise CatalogError(f"field {column!r}: shape {values.shape}. Fix: give ({size},), one for each id")
            _check_numbers(values, column, _locate_items(column))
            values.setflags(write=False)
            object.__setattr__(self, column, values)
        for column in ("texts", "topics"):
            if len(getattr(self, column)) != size:
                length = len(getattr(self, column))
                raise CatalogError(f"field {column!r}: length {length}. Fix: give {size}, one for each id")
        _check_ids(self.ids, _locate_items("ids"))
        _check_texts(self.texts, _locate_items("texts"))
        owners = [i for i, labels in enumerate(self.topics) for _ in labels]
        _check_texts(
            [label for labels in self.topics for label in labels], lambda j: _locate_items("topics")(owners[j])
        )
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "texts", tuple(self.texts))
        object.__setattr__(self, "topics", tuple(map(tuple, self.topics)))
        object.__setattr__(self, "report", dict(self.report))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Catalog({self.name!r}, {len(self)} items)"

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that affects a simulation: every field but `name`, `report`, `source` and `price`.

        Prices have one of their own, `price_digest`, as most worlds do not read them.
        """
        # JSON marks where each text ends, so that moving a letter between neighbours changes the digest.
        words = json.dumps([self.ids, self.texts, self.topics])
        numbers = [getattr(self, column).astype("<f8").tobytes() for column in DEFAULTS]
        return hashlib.sha256(words.encode("ascii") + b"".join(numbers)).hexdigest()

    @property
    def price_digest(self) -> str:
        """SHA-256 (hex) of the prices; "" where there are none."""
        return "" if self.price is None else hashlib.sha256(self.price.astype("<f8").tobytes()).hexdigest()

    @classmethod
    def from_table(
        cls,
        path: str | Path,
        *,
        name: str | None = None,
        id_column: str = "id",
        text_column: str = "text",
        topics_column: str | None = None,
        minutes_column: str | None = None,
        popularity_column: str | None = None,
        rating_column: str | None = None,
        published_column: str | None = None,
        price_column: str | None = None,
    ) -> Catalog:
        """Read a catalogue from an owner's table; rows keep their order.

        Parameters
        ----------
        path : str or Path
            ``.csv`` (commas, one header line) or ``.jsonl``, either also with ``.gz``, or ``.parquet``; text is UTF-8.
        name : str, optional
            The catalogue's name; by default the file's, up to its first dot.
        id_column, text_column : str
            Must be there and full; kept exactly as written (``007`` stays ``007``).
        topics_column : str, optional
            Labels separated by ``|``, or a list (Parquet, JSONL).
        minutes_column, popularity_column, rating_column, published_column : str, optional
            Numbers; popularity and rating may have any scale and become mid-rank percentiles. Without a name given,
            an optional field takes the column named like itself, or else one neutral constant, which is said on the
            error stream; `longplay.fill_from_log` fills in popularity and time of publication.
        price_column : str, optional
            Numbers above 0. Without a name given, a column named ``price`` is taken if it holds such numbers.

        Raises
        ------
        CatalogError
            On any defect. A row is named by the line of the file on which it begins (CSV, JSONL; a CSV header is
            line 1, and a cell of several lines counts all of them) or by its number from 1 (Parquet).

        Notes
        -----
        Only a truly empty cell (null, or no characters) is missing: ``NA`` is a text, and an error among numbers.
        A missing number becomes its column's median; `report` counts them.
        """
        table = read_table(Path(path))
        names = {"id": id_column, "text": text_column, "topics": topics_column, "minutes": minutes_column}
        names |= {"popularity": popularity_column, "rating": rating_column, "published": published_column}
        names |= {PRICE: price_column}
        columns = {
            key: table.find(column or key, f"{key}_column")
            for key, column in names.items()
            if column or key in table.cells
        }
        if absent := [key for key in DEFAULTS if key not in columns]:
            _say_what_is_absent(path, absent)
        ids, texts = (table.cells[columns[key]] for key in ("id", "text"))
        _check_ids(ids, table.locate_cells(columns["id"]))
        _check_texts(texts, table.locate_cells(columns["text"]))
        topics = table.read_labels(columns["topics"]) if "topics" in columns else ((),) * len(ids)
        if PRICE in columns and price_column is None and not _holds_prices(table):
            del columns[PRICE]
        report = {"rows": len(ids), "columns_ignored": len(set(table.cells) - set(columns.values()))}
        report["topics_missing"] = sum(not labels for labels in topics)
        numbers = {key: _read_numeric_field(table, key, columns.get(key), report) for key in DEFAULTS}
        if PRICE in columns:
            numbers[PRICE] = _read_numeric_field(table, PRICE, columns[PRICE], report)
        _say_what_was_done(path, report, [column for column in table.cells if column not in columns.values()])
        name = name or Path(path).name.split(".")[0]
        return cls(name, tuple(ids), tuple(texts), topics, **numbers, report=report, source=str(path))


def compute_midrank_percentile(values: ArrayLike) -> NDArray[np.float64]:
    """Share of the values below each value, plus half the share equal to it.

    Parameters
    ----------
    values : (N,) array_like of float
        Any scale; NaN is unknown.

    Returns
    -------
    (N,) float64
        In (0, 1) with mean 0.5 over the known values; 0.5, the neutral percentile, where unknown.
    """
    raw = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(raw)
    percentile = np.full(raw.shape, 0.5)
    _, inverse, counts = np.unique(raw[present], return_inverse=True, return_counts=True)
    percentile[present] = ((np.cumsum(counts) - counts / 2) / present.sum())[inverse]
    return percentile


def _locate_items(column: str) -> Where:
    return lambda i: f"field {column!r}, item {i + 1}"


def _check_ids(ids: Sequence[Any], where: Where) -> None:
    first: dict[str, int] = {}
    for i, item in enumerate(ids):
        if not isinstance(item, str) or not item.strip():
            raise CatalogError(
                f"{where(i)}: {reprlib.repr(item)} is blank or no text. Fix: give every item an id of its own"
            )
        if item in first:
            before = f"{where(i)}: the id {reprlib.repr(item)} was used before, at {where(first[item])}"
            raise CatalogError(f"{before}. Fix: remove one of the two, or give it an id of its own")
        first[item] = i


def _check_texts(texts: Sequence[Any], where: Where) -> None:
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise CatalogError(
                f"{where(i)}: {reprlib.repr(text)} is blank or no text. Fix: write the text, or remove the item"
            )


def _check_numbers(values: NDArray[np.float64], field_name: str, where: Where) -> None:
    allowed, rule = np.isfinite(values), "finite numbers"
    if field_name in _POSITIVE:
        allowed, rule = allowed & (values > 0), "finite numbers above 0"
    elif field_name in _PERCENTILES:
        allowed, rule = allowed & (values >= 0) & (values <= 1), "percentiles from 0 to 1"
    for i in np.flatnonzero(~allowed).tolist():
        raise CatalogError(f"{where(i)}: {values[i]} is not allowed. Fix: {field_name} takes {rule}")


def _say_what_is_absent(path: str | Path, absent: Sequence[str]) -> None:
    fixes = ["add a column, or name one as " + " or ".join(f"{key}_column" for key in absent)]
    if {"popularity", "published"} & set(absent):
        fixes.append("fill popularity and published from a log with longplay.fill_from_log")
    values = ", ".join(f"{key} ({DEFAULTS[key]:g})" for key in absent)
    say_once(
        f"{Path(path).name} has no {values}: all its items get the value in brackets. To change that, "
        f"{', or '.join(fixes)}"
    )


def _say_what_was_done(path: str | Path, report: Mapping[str, int], ignored: Sequence[str]) -> None:
    """Say what was filled in where cells are empty, and which columns mean nothing here."""
    filled = {key: report.get(f"{key}_filled_with_median", 0) for key in (*DEFAULTS, PRICE)}
    parts = [f"{count:,} empty cells of {key} get the column's median" for key, count in filled.items() if count]
    if ignored:
        named = ", ".join(ignored[:5]) + f" and {len(ignored) - 5} more" * (len(ignored) > 5)
        parts.append(f"not read: {named} (name a column as topics_column, minutes_column and so on)")
    if parts:
        say_once(f"{Path(path).name}: {'; '.join(parts)}")


def _holds_prices(table: Table) -> bool:
    """Whether a column called price holds numbers above 0, so that it can be taken for what it is called."""
    try:
        values = table.read_floats(PRICE)
    except CatalogError:
        return False
    return bool((values[~np.isnan(values)] > 0).all())


def _read_numeric_field(table: Table, key: str, column: str | None, report: dict[str, int]) -> NDArray[np.float64]:
    """Values of a numeric field, filled and ranked as the field asks; `report` gets what was done."""
    if column is None:
        report[f"{key}_set_to_default"] = len(table.numbers)
        return np.full(len(table.numbers), DEFAULTS[key])
    values = table.read_floats(column)
    present = np.flatnonzero(~np.isnan(values)).tolist()
    if key not in _PERCENTILES:  # those may have any scale, and are ranked below
        _check_numbers(values[present], key, lambda j: table.locate_cells(column)(present[j]))
    report[f"{key}_filled_with_median"] = len(values) - len(present)
    values = np.where(np.isnan(values), np.median(values[present]), values)
    return compute_midrank_percentile(values) if key in _PERCENTILES else values
