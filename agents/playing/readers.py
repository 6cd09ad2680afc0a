"""Readers of slates that come with the package: a person at the terminal, and a table of recorded answers."""

import hashlib
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ...envs.drawing.viewer import format_clock
from ...envs.users.behaviours import import_named
from ...envs.users.opinions import EnoughError, Question, get_answer

READ_LAST = 3  # items of the history that a person is reminded of
BETWEEN = "|"  # between the ids of a slate in a table
KEYS = ["user", "session", "depth"]
NUMBERS = ("slot", "share")
TABLES = (".csv", ".parquet")


class Person:
    """Somebody who reads slates and types numbers: 1 for the first, 0 for nothing, q (or no more input) to stop.

    Parameters
    ----------
    ask
        Shows a prompt and returns a line; raises EOFError where there is none.
    say
        Prints a line.
    width
        Columns that a line may take.
    """

    digest = "a person"

    def __init__(self, ask: Callable[[str], str], say: Callable[[str], object], width: int = 100) -> None:
        self.ask, self.say, self.width = ask, say, width

    def answer(self, question: Question) -> int | None:
        """Show the slate, and ask until the answer is one."""
        self.say("")
        self.say(f"{format_clock(question.day)}   session {question.session + 1}, slate {question.depth + 1}")
        if question.session == question.depth == 0 and question.favourites:
            self.say(f"you named: {', '.join(question.favourites)}")
        for item in question.history[: 1 if question.depth else READ_LAST]:
            self.say(self._shorten(f"you read: {item.text}", f" ({item.completion:.0%}, {_say_ago(item.days)})"))
        for slot in question.slots:
            self.say(self._shorten(f"{slot + 1:3d}. {question.texts[slot]}"))
        numbers = [slot + 1 for slot in question.slots]
        allowed = f"{numbers[0]} to {numbers[-1]}, " if numbers == list(range(1, len(numbers) + 1)) and numbers else ""
        allowed = allowed or "".join(f"{number}, " for number in numbers)
        while True:
            try:
                line = self.ask(f"which one ({allowed}0 for nothing, q to stop)? ").strip()
            except EOFError:
                line = "q"
            if line.lower() == "q":
                raise EnoughError("the person stopped")
            if line.isdecimal() and int(line) in (0, *numbers):
                return int(line) - 1 if int(line) else None
            self.say(f"{line!r} is no answer; allowed: {allowed}0 for nothing, q to stop")

    def _shorten(self, text: str, rest: str = "") -> str:
        """A text on one line, indented as it is, with a rest that is kept."""
        indent = len(text) - len(text.lstrip())
        room = max(self.width - len(rest) - indent, 20)
        return " " * indent + textwrap.shorten(text, room, placeholder="…") + rest


def _say_ago(days: float) -> str:
    for unit, length in (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440)):
        if (count := round(days / length)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


class RecordedAnswers:
    """Answers to slates that were written down, such as those of people who were shown them.

    Parameters
    ----------
    path
        A table, CSV or Parquet, of a row a slate: ``user``, ``session`` and ``depth`` as in a `Question`, ``slate``,
        the ids of its items from the first slot on with ``|`` between them (nothing where the question's is empty),
        ``slot``, the slot taken from 0, or nothing, and, if it was noted, ``share``, what was watched of it, 0 to 1.
        ``results.parquet`` of the study of agreement is one. Other columns are not read.

    Raises
    ------
    ValueError
        For a table without these columns, and for two answers to one slate.
    """

    def __init__(self, path: str | Path) -> None:
        file = Path(path)
        if file.suffix not in TABLES:
            raise ValueError(f"reader = {str(path)!r} must be a table, {' or '.join(TABLES)}")
        if not file.is_file():
            raise ValueError(f"reader = {str(path)!r}: no such file")
        self.digest = hashlib.sha256(file.read_bytes()).hexdigest()
        table = pd.read_csv(file, dtype={"slate": str}) if file.suffix == ".csv" else pd.read_parquet(file)
        if missing := [name for name in (*KEYS, "slate", "slot") if name not in table]:
            raise ValueError(f"{file}: no column {missing[0]!r} among {', '.join(map(repr, table.columns))}; add it")
        twice = table[table.duplicated(KEYS)]
        if len(twice):
            where = ", ".join(f"{name} {twice.iloc[0][name]}" for name in KEYS)
            raise ValueError(f"{file}: {where} has two answers; keep one")
        columns = {name: table[name] if name in table else pd.Series(None, table.index) for name in NUMBERS}
        try:
            slots, shares = map(pd.to_numeric, columns.values())
        except ValueError as error:
            raise ValueError(f"{file}: a slot or share is no number ({error}); give one, or leave it empty") from error
        rows = zip(*(table[name] for name in KEYS), table["slate"].fillna(""), slots, shares, strict=True)
        self._answers = {
            (u, s, d): (slate, _read_cell(slot), _read_cell(share)) for u, s, d, slate, slot, share in rows
        }

    def answer(self, question: Question) -> tuple[Any, Any]:
        """What was answered; LookupError for a slate that is not in the table."""
        key = (question.user, question.session, question.depth)
        if key not in self._answers:
            raise LookupError("the table has no row of this slate")
        slate, slot, share = self._answers[key]
        if slate != (asked := BETWEEN.join(question.items)):
            raise LookupError(f"the table has an answer to the slate {slate!r}, asked is {asked!r}")
        return slot, share


def _read_cell(value: Any) -> Any:
    """None for an empty cell, and a whole number for one that was read as 3.0."""
    if pd.isna(value):
        return None
    return int(value) if float(value).is_integer() else float(value)


def load_reader(address: str) -> Any:
    """A reader by its address: ``package.module:Object``, or the path of a table of `RecordedAnswers`.

    A class is called without arguments. Importing runs code.

    Raises
    ------
    ValueError
        If there is none.
    """
    if address.endswith(TABLES):
        return RecordedAnswers(address)
    form = "'package.module:Reader', or the path of a table, .csv or .parquet"
    thing = import_named(f"reader = {address!r}", address, "the reader", form)
    try:
        reader = thing() if isinstance(thing, type) else thing
    except TypeError as error:
        raise ValueError(
            f"reader = {address!r} cannot be made without arguments ({error}); make one in a module, and name that"
        ) from error
    get_answer(reader)
    return reader
