"""What the scripts share: the command line, the console, bars of progress, threads, and the loading of a world."""

import errno
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
import tyro
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
from threadpoolctl import threadpool_limits

from longplay.agents.setting import Setting
from longplay.scripts.shared.claims import release_claims
from longplay.scripts.shared.processes import follow_parent, heed_signals

console = Console(highlight=False)

_DISK_FAILURES = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EFBIG: ("the file would be larger than allowed here", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the disk is read-only", "work in a folder that can be written to"),
    errno.EACCES: ("permission is denied", "work in a folder that is yours"),
    errno.EPERM: ("the system does not permit it", "work in a folder that is yours"),
}


def run_command(main: Callable[[Any], None], arguments: type[Any]) -> None:
    """Parse the arguments, run, and turn a refusal into one readable line and exit code 2.

    A request to stop ends it with 128 + the signal's number, and leaves no child behind.

    Arguments whose defaults depend on other words have a class method ``defaults``, from the words to the arguments.
    """
    follow_parent()
    with heed_signals():
        _run(main, arguments)


def _run(main: Callable[[Any], None], arguments: type[Any]) -> None:
    try:
        options: dict[str, Any] = {"prog": _name_command()}
        if hasattr(arguments, "defaults"):
            options["default"] = arguments.defaults(sys.argv[1:])
        given = tyro.cli(arguments, description=sys.modules[main.__module__].__doc__, **options)
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


def describe_disk_failure(error: BaseException | None) -> str | None:
    """What a disk refused, and what can be done; None if an error has another cause.

    Libraries that write files from other languages say it in their own words, so that errors behind it are read, too.
    """
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        for code, (words, fix) in _DISK_FAILURES.items():
            if number == code or (number is None and os.strerror(code) in str(error)):
                place = getattr(error, "filename", None)
                where = "the system refuses " + (str(place) if place else "a file")
                return f"{where}: {words}; what was finished before is kept. Fix: {fix}, and give the command again"
        error = error.__cause__ or error.__context__
    return None


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
