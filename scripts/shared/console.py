"""What the scripts share: the command line, the console, bars of progress, threads, and the loading of a world."""

import codecs
import io
import multiprocessing
import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from threadpoolctl import threadpool_limits

from longplay.agents.setting import Setting
from longplay.encoders.device import DEVICES, VARIABLE, find_device
from longplay.envs.shared.files import describe_disk_failure
from longplay.envs.shared.names import one_of
from longplay.scripts.shared.claims import release_claims
from longplay.scripts.shared.help import parse_words
from longplay.scripts.shared.processes import follow_parent, heed_signals

SPELLED = {
    "λ": "lambda",
    "−": "-",
    "–": "-",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "×": "x",
    "·": ".",
    "±": "+-",
    "“": '"',
    "”": '"',
}
LINES = {"HORIZONTAL": "-", "VERTICAL": "|"}  # by the last word of a line's name; corners and crossings are +
HANDLER = "longplay.spell"  # name of `_spell_rest` among Python's handlers of encoding errors


class SpellingConsole(Console):
    """A console that spells out what its encoding lacks before it is laid out, so that columns stay in line."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as rich lays it out."""
        return super().render_str(spell(text, self.encoding), **options)


console = SpellingConsole(highlight=False)


def spell(text: str, encoding: str) -> str:
    """A text in the characters of an encoding: γ as gamma, − as -, é without its accent, and ? for what has no name."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_spell_character(character, encoding) for character in text)
    return text


def _spell_character(character: str, encoding: str) -> str:
    name = unicodedata.name(character, "")
    greek = name.rpartition(" ")[2].lower() if name.startswith("GREEK SMALL LETTER") else ""
    line = "" if " AND " in name else LINES.get(name.rpartition(" ")[2], "")
    box = line or "+" if name.startswith("BOX DRAWINGS") else ""
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    for candidate in (character, SPELLED.get(character, greek or box or plain)):
        try:
            candidate.encode(encoding)
        except UnicodeEncodeError:
            continue
        return candidate
    return "?"


def _spell_rest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return spell(error.object[error.start : error.end], error.encoding), error.end


def fit_encoding() -> None:
    """Have this process's output spell out what its encoding lacks, such as γ on Windows, where Python would crash."""
    codecs.register_error(HANDLER, _spell_rest)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors=HANDLER)


def run_command(main: Callable[[Any], None], arguments: type[Any] | Callable[[Sequence[str]], type[Any]]) -> None:
    """Parse the arguments, run, and turn a refusal into one readable line and exit code 2.

    A request to stop ends it with 128 + the signal's number, and leaves no child behind.

    Parameters
    ----------
    main
        Takes the arguments.
    arguments
        Their type, or a function from the words of the command line to it. A type whose defaults depend on other words
        has a class method ``defaults``, from the words to the arguments.
    """
    fit_encoding()
    follow_parent()
    with heed_signals():
        _run(main, arguments)


def _run(main: Callable[[Any], None], arguments: type[Any] | Callable[[Sequence[str]], type[Any]]) -> None:
    try:
        if not isinstance(arguments, type):
            arguments = arguments(sys.argv[1:])
        options: dict[str, Any] = {"prog": _name_command(), "description": sys.modules[main.__module__].__doc__}
        if hasattr(arguments, "defaults"):
            options["default"] = arguments.defaults(sys.argv[1:])
        options["spell"] = partial(spell, encoding=console.encoding)
        given = parse_words(arguments, take_device(sys.argv[1:]), **options)
        with release_claims():
            main(given)
    except ValueError as error:
        console.print("[red]error:[/red] ", end="")
        console.print(str(error), markup=False)
        raise SystemExit(2) from error
    except Exception as error:
        reason = describe_disk_failure(error)
        if reason is None:
            raise
        console.print("[red]error:[/red] ", end="")
        console.print(reason, markup=False, soft_wrap=True)
        raise SystemExit(2) from error
    except KeyboardInterrupt as interruption:
        console.print("interrupted")
        raise SystemExit(128 + getattr(interruption, "number", signal.SIGINT)) from None
    finally:
        for worker in multiprocessing.active_children():  # an error may have left a pool to finish its work
            worker.kill()


def take_device(words: Sequence[str]) -> list[str]:
    """The words without ``--device NAME``, which holds for the whole process and its children; checked at once."""
    rest, words = list[str](), list(words)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag != "--device":
            rest.append(word)
            continue
        os.environ[VARIABLE] = value if equals else words.pop(0) if words else ""
        one_of("device", os.environ[VARIABLE], DEVICES)
        find_device()
    return rest


def _name_command() -> str | None:
    """How a module that ``python -m`` runs is called; of a file, tyro knows it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or not spec.name.startswith("longplay."):
        return None
    return f"python -m {spec.name.removesuffix('.__main__')}"


def make_progress(*, count: bool = False, remaining: bool = False, note: bool = False, quiet: bool = False) -> Progress:
    """Bars of progress on the console, each with its description.

    Parameters
    ----------
    count
        Whether "3/8" is shown.
    remaining
        Whether the time that is left is shown, in place of the time that has passed.
    note
        Whether a text follows, the field ``note`` of each task.
    quiet
        Whether nothing is shown at all.
    """
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    columns += [MofNCompleteColumn()] if count else []
    columns += [TimeRemainingColumn() if remaining else TimeElapsedColumn()]
    columns += [TextColumn("{task.fields[note]}")] if note else []
    return Progress(*columns, console=console, disable=quiet)


def set_threads(count: int) -> None:
    """Threads of torch, BLAS and OpenMP.

    One is best for the small networks here: two collapse when anything else runs, and two runs side by side use the
    cores better.
    """
    torch.set_num_threads(count)
    threadpool_limits(limits=count)


def load_world(setting: Setting, show_cleaning: bool = False) -> None:
    """Load the catalogue and its vectors; what is not in the cache is encoded on all cores.

    Parameters
    ----------
    setting
        Whose world and encoder.
    show_cleaning
        Also say what cleaning the catalogue found.
    """
    world = setting.world
    console.print(f"{world.catalog.name}: {len(world.catalog):,} items, {len(world.people):,} users")
    if show_cleaning:
        console.print("cleaning found: " + ", ".join(f"{k} {v:,}" for k, v in world.catalog.report.items() if v))
    set_threads(os.cpu_count() or 1)
    vectors = setting.item_vectors
    set_threads(1)
    console.print(f"item vectors: {vectors.shape[0]:,} × {vectors.shape[1]}")
