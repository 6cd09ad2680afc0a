"""An owner's table as read from a file: cells by column, and for each row the words by which its owner finds it."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import math
import reprlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAGS = ("id_column", "text_column", "user", "item", "time")  # arguments that commands take as well, as --id-column


class CatalogError(ValueError):
    """A defect in a catalogue; the message names the place, the value, what is allowed and the fix."""


@dataclass(frozen=True)
class Table:
    """Cells of a file, by column. An empty cell is ``None`` or ``""``.

    Parameters
    ----------
    path : Path
        The file, for messages.
    unit : str
        Thing that `numbers` counts: "line" (of the file, on which the row begins) or "row".
    numbers : sequence of int, length N
        The line or row of each data row, from 1.
    cells : mapping of str to sequence, each of length N
        Texts, whole numbers written as text, and whatever else a format allows.
    """

    path: Path
    unit: str
    numbers: Sequence[int]
    cells: Mapping[str, Sequence[Any]]

    def locate_cells(self, column: str) -> Callable[[int], str]:
        """Return the function that names a cell of `column` by its row's index (from 0)."""
        return lambda i: f"{self.path}, {self.unit} {self.numbers[i]}, column {column!r}"

    def find(self, column: str, argument: str) -> str:
        """Return `column` if the table has it; else raise `CatalogError` with the nearest name that it does have."""
        if column in self.cells:
            return column
        folded = {name.casefold(): name for name in self.cells}
        near = difflib.get_close_matches(column.casefold(), folded, n=1)
        name = folded[near[0]] if near else ""
        flag = f" (--{argument.replace('_', '-')} {name}".rstrip() + ")" if argument in FLAGS else ""
        hint = f"{argument}={name!r}{flag}" if near else f"one of them as {argument}{flag}"
        present = ", ".join(map(repr, self.cells))
        if len(self.cells) == 1 and (mark := next((mark for mark in ";\t|" if mark in next(iter(self.cells))), "")):
            raise CatalogError(
                f"{self.path}: one column, {present}, with {mark!r} in its name. Fix: separate the columns by commas"
            )
        raise CatalogError(f"{self.path}: no column {column!r} among {present}. Fix: rename one, or pass {hint}")

    def read_labels(self, column: str) -> tuple[tuple[str, ...], ...]:
        """Labels of each row, without white space around them, each once; none where the cell is empty.

        Raises
        ------
        CatalogError
            If a cell is neither text (labels separated by ``|``) nor a list of texts.
        """
        rows = []
        for i, cell in enumerate(self.cells[column]):
            labels = cell.split("|") if isinstance(cell, str) else [] if cell is None else cell
            if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
                defect = f"{self.locate_cells(column)(i)}: {reprlib.repr(cell)} is no list of labels"
                raise CatalogError(f"{defect}. Fix: give texts, separated by '|' or in a list")
            rows.append(tuple(dict.fromkeys(label.strip() for label in labels if label.strip())))
        return tuple(rows)

    def read_floats(self, column: str) -> NDArray[np.float64]:
        """Numbers of a column, (N,), NaN where the cell is empty.

        Raises
        ------
        CatalogError
            If a cell is no finite number (a written ``nan`` is not empty), or all are empty.
        """
        values = np.array([_parse_float(cell) for cell in self.cells[column]])
        for i in np.flatnonzero(np.isinf(values)).tolist():
            defect = f"{self.locate_cells(column)(i)}: {reprlib.repr(self.cells[column][i])} is not a finite number"
            raise CatalogError(f"{defect}. Fix: write one like 90 or 12.5, or leave the cell empty")
        if np.isnan(values).all():
            raise CatalogError(
                f"{self.path}, column {column!r}: all cells are empty. Fix: fill some, or drop the column"
            )
        return values


def read_table(path: Path) -> Table:
    """Read a table of at least two data rows.

    Parameters
    ----------
    path : Path
        ``.csv`` (commas, one header line), ``.csv.gz``, ``.jsonl``, ``.jsonl.gz`` (one object a line) or ``.parquet``;
        text is UTF-8.

    Returns
    -------
    Table
        Rows in the file's order. Cells are as written: a CSV or JSONL number is still text.

    Raises
    ------
    CatalogError
        If the file is missing, of another kind, broken or too short.
    """
    reader = next((read for suffix, read in _READERS.items() if path.name.lower().endswith(suffix)), None)
    if reader is None:
        raise CatalogError(f"{path}: unknown kind of file. Fix: give it one of the endings {', '.join(_READERS)}")
    if not path.is_file():
        raise CatalogError(f"{path}: no such file. Fix: check the path, seen from {Path.cwd()}")
    try:
        table = reader(path)
    except CatalogError:
        raise
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zlib.error) as error:
        fix = "check that its ending says what it is, that text is UTF-8, and that no two columns share a name"
        raise CatalogError(f"{path}: cannot be read ({error}). Fix: {fix}") from error
    if len(table.numbers) < 2:
        raise CatalogError(f"{path}: {len(table.numbers)} data rows. Fix: give at least 2, or nothing can be chosen")
    return table


def _parse_float(cell: Any) -> float:
    """Return the cell as a number: NaN where it is empty, infinity where it is no finite number."""
    if cell is None or cell == "":
        return math.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return math.inf
    return value if math.isfinite(value) and not isinstance(cell, bool) else math.inf


def _open(path: Path) -> io.TextIOWrapper:
    # newline="" leaves line ends inside quoted cells as written; "utf-8-sig" drops the mark some programs put first.
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return io.TextIOWrapper(opener(path, "rb"), encoding="utf-8-sig", newline="")


def _read_csv(path: Path) -> Table:
    lines, rows, begin = [], [], 1
    with _open(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise csv.Error(f"columns share a name among {', '.join(map(repr, header))}")
            begin = reader.line_num + 1
            for row in reader:
                if row:  # a blank line holds no row
                    if len(row) != len(header):
                        raise csv.Error(f"{len(row)} cells under {len(header)} columns")
                    lines.append(begin)
                    rows.append(row)
                begin = reader.line_num + 1
        except csv.Error as error:
            fix = "quote cells that hold commas, quotes or line ends, and name each column once"
            raise CatalogError(f"{path}, line {begin}: broken CSV ({error}). Fix: {fix}") from error
    return Table(path, "line", lines, dict(zip(header, zip(*rows, strict=True), strict=bool(rows))))


def _read_jsonl(path: Path) -> Table:
    lines, rows = [], []
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                # Numbers stay as written: ids must, and all three formats then share one conversion.
                row = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
            except json.JSONDecodeError as error:
                raise CatalogError(f"{path}, line {number}: no JSON ({error}). Fix: write one object a line") from error
            if not isinstance(row, dict):
                defect = f"{path}, line {number}: {reprlib.repr(row)} is no object"
                raise CatalogError(f"{defect}. Fix: write one object a line")
            lines.append(number)
            rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(path, "line", lines, {name: [row.get(name) for row in rows] for name in names})


def _read_parquet(path: Path) -> Table:
    from pyarrow import parquet  # here, since only this format needs it and it takes a while to load

    with parquet.ParquetFile(path) as file:
        content = file.read()
    cells = {
        # Whole numbers become text, as the other formats give them, so that they can be ids.
        name: [str(cell) if type(cell) is int else cell for cell in content[name].to_pylist()]
        for name in content.column_names
    }
    return Table(path, "row", range(1, content.num_rows + 1), cells)


_READERS = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".parquet": _read_parquet,
}
