"""A folder has one writer at a time: a lock that dies with its holder, and a note that says who holds it."""

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from longplay.envs.shared.files import write_whole

CLAIMED = "LONGPLAY_CLAIMED"  # in a child's environment: folders that its parent writes to, and lets it write to
_WAIT = 1.0  # seconds: a writer that has been killed is gone by then

_held: dict[Path, FileLock] = {}


def claim(folder: Path) -> None:
    """Make a folder this process's to write to, until `release_claims` or the end of the process, however it ends.

    Raises
    ------
    ValueError
        If another process writes to it.
    """
    place = folder.resolve()
    if place in _held or str(place) in os.environ.get(CLAIMED, "").split(os.pathsep):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.with_name(f".{place.name}.lock"), timeout=_WAIT)  # beside it: what is in it are results
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{folder} is being written to by {_read_holder(place)}; wait until it ends, end it, or give another --name"
        ) from None
    _held[place] = lock
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    write_whole(locate_holder(place), json.dumps({"process": os.getpid(), "command": command, "since": since}))


def locate_holder(place: Path) -> Path:
    """File that says who has claimed a folder."""
    return place.with_name(f".{place.name}.writer.json")


def _read_holder(place: Path) -> str:
    try:
        note = json.loads(locate_holder(place).read_text(encoding="utf-8"))
        return f"process {note['process']} ({note['command']}) since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun
        return "another process"


def share_claims() -> dict[str, str]:
    """What to add to the environment of a child that writes to folders of this process."""
    return {CLAIMED: os.pathsep.join(map(str, _held))}


@contextmanager
def release_claims() -> Iterator[None]:
    """In the end, let go of what was claimed within."""
    before = set(_held)
    try:
        yield
    finally:
        for place in set(_held) - before:
            locate_holder(place).unlink(missing_ok=True)
            _held.pop(place).release()
