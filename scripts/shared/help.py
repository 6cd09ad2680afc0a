"""The command line: words to arguments, and a help page of 80 columns that shows what may be chosen."""

import dataclasses
import inspect
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Annotated, Any, get_args
from unittest.mock import patch

import tyro

from longplay.envs.shared.options import KEY

WIDTH = 80  # columns of a help page at most
WIDE = "129"  # in which tyro renders it: no word is cut, and boxes do not stand side by side yet
RULE = "─" * 20
DEVICE = (  # an option of all commands, which run_command reads
    "--device {auto, cpu, cuda}",
    "Device on which texts are encoded, and networks learn that have no other place; auto is a GPU where there is one. "
    "(default: cpu)",
)


def show_choices(names: Iterable[str]) -> Any:
    """For ``Annotated[str, show_choices(NAMES)]``: the help page names them; the command itself refuses any other."""
    return tyro.conf.arg(metavar="{" + ", ".join(names) + "}")


def parse_words(kind: type[Any], words: Sequence[str], spell: Callable[[str], str] = str, **options: Any) -> Any:
    """The arguments that the words of a command line stand for.

    Parameters
    ----------
    kind
        Dataclass of the arguments.
    words
        As they were typed.
    spell
        Puts a text of the help page into characters that the terminal has; done before it is laid out.
    options
        Of `tyro.cli`.

    Raises
    ------
    SystemExit
        After the help page, and after what tyro says of wrong words.
    """
    _mark_choices(kind, set())
    if default := options.get("default"):
        _mark_choices(type(default), set(), default)
    if not {"-h", "--help"} & set(words):
        return tyro.cli(kind, args=words, **options)
    page = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    width = max(40, min(WIDTH, shutil.get_terminal_size().columns))
    try:
        with redirect_stdout(page), patch.dict(os.environ, {"COLUMNS": WIDE}):
            return tyro.cli(kind, args=words, **options)
    finally:
        text = page.buffer.getvalue().decode()
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in _tidy(text.splitlines(), width, spell)))


def _mark_choices(kind: Any, done: set[Any], default: Any = None) -> None:
    """Have the fields whose words are declared (`longplay.envs.shared.options.word`) show them, nested ones too."""
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind) or kind in done:
        return
    done.add(kind)
    for field in dataclasses.fields(kind):
        allowed = field.metadata.get(KEY)
        if allowed is not None and allowed.words:
            owner = next(base for base in kind.__mro__ if field.name in inspect.get_annotations(base))
            owner.__annotations__[field.name] = Annotated[str, show_choices(allowed.words)]
        value = getattr(default, field.name, None)
        if value is None and field.default_factory is not dataclasses.MISSING:
            value = field.default_factory
        kinds = [value if isinstance(value, type) else type(value), field.type, *get_args(field.type)]
        for inner in kinds:
            _mark_choices(inner, done, None if isinstance(value, type) else value)


@dataclass
class Entry:
    """An option in a box: how it is written, and what it is."""

    written: str
    about: str = ""


def _tidy(lines: Sequence[str], width: int, spell: Callable[[str], str]) -> Iterator[str]:
    """A page of tyro's that was rendered wide, in so many columns, with one title on each box: what the box is of."""
    first = next((i for i, line in enumerate(lines) if line.startswith("╭")), len(lines))
    before = ""
    for line in lines[:first]:
        if line.strip() or before.strip():  # one blank line, not two
            yield from _wrap(spell(line), width)
        before = line
    column = next((line.index("show this help") for line in lines if "show this help" in line), 4) - 2
    title, head, entries, device = "", "", list[Entry](), [Entry(*DEVICE)]
    for line in lines[first:]:
        inside, is_rule = line[2:-2].rstrip(), line[2:].startswith(RULE)
        if line.startswith("╭"):
            title, head, entries = spell(inside.strip("─ ")), "", []
            continue
        inside = spell(inside)
        if line.startswith("╰"):
            yield from _render_box(title, head, [*entries, *device], column, width)
            device = []  # in the first box
        elif is_rule and not head:
            head, entries = " ".join(f"{entry.written.strip()} {entry.about}" for entry in entries), []
        elif not inside[:column].strip() and entries:
            entries[-1].about += f" {inside.strip()}"
        elif entries and not entries[-1].about and inside[:1] not in ("-", " ", "("):  # what is written goes on
            entries[-1].written += f" {inside}"
        elif inside[column - 2 : column].strip():  # too long for its column, so that what it is comes below
            entries.append(Entry(inside))
        else:
            entries.append(Entry(inside[:column].rstrip(), inside[column:]))


def _render_box(title: str, head: str, entries: Iterable[Entry], column: int, width: int) -> Iterator[str]:
    """Its lines; the first sentence of its head is its title, in place of a prefix."""
    inside = width - 4
    sentence, _, rest = " ".join(head.split()).partition(". ")
    if sentence and len(sentence) + 2 <= inside:
        title, head = sentence.removesuffix("."), rest
    elif sentence:  # too long for a title, which then is the last word of the prefix
        title = title.removesuffix(" options").rpartition(".")[2]
    lines = textwrap.wrap(head, inside)
    for entry in entries:
        about = textwrap.wrap(entry.about.strip(), inside - column, break_on_hyphens=False)
        if about and len(entry.written) <= column - 2:
            lines.append(f"{entry.written:<{column}}{about.pop(0)}")
        else:
            lines += textwrap.wrap(entry.written, inside, subsequent_indent="    ", break_on_hyphens=False)
        lines += [" " * column + line for line in about]
    yield f"╭─ {title} {'─' * (inside - len(title) - 1)}╮"
    yield from (f"│ {line:<{inside}} │" for line in lines)
    yield "╰" + "─" * (width - 2) + "╯"


def _wrap(line: str, width: int) -> list[str]:
    """Prose at spaces; an example (indented) too, with a mark by which a shell goes on in the next line."""
    if len(line) <= width:
        return [line]
    if not line.startswith(" "):
        return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    indent = " " * (len(line) - len(line.lstrip()))
    command, space, comment = line.strip().partition("  #")
    head = textwrap.wrap(indent + command, width - 2, subsequent_indent=2 * indent, break_on_hyphens=False)
    example = [f"{part} \\" for part in head[:-1]] + head[-1:]
    notes = textwrap.wrap(comment.strip(), width - len(indent) - 2) if space else []
    return [*(f"{indent}# {note}" for note in notes), *example]
