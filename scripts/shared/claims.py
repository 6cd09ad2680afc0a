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

LOCK, HOLDER = ".lock", ".writer.json"
CLAIMED = "LONGPLAY_CLAIMED"  # in a child's environment: folders that its parent writes to, and lets it write to
_WAIT = 1.0  # seconds: a writer that has been killed is gone by then

_held: dict[Path, FileLock] = {}
_made: set[Path] = set()  # of these, the folders that were not there before


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
    if not place.exists():
        _made.add(place)
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / LOCK, timeout=_WAIT)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{folder} is being written to by {_read_holder(place)}; wait until it ends, end it, or give another --name"
        ) from None
    _held[place] = lock
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    write_whole(place / HOLDER, json.dumps({"process": os.getpid(), "command": command, "since": since}))


def _read_holder(place: Path) -> str:
    try:
        note = json.loads((place / HOLDER).read_text(encoding="utf-8"))
        return f"process {note['process']} ({note['command']}) since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun
        return "another process"


def share_claims() -> dict[str, str]:
    """What to add to the environment of a child that writes to folders of this process."""
    return {CLAIMED: os.pathsep.join(map(str, _held))}


@contextmanager
def release_claims() -> Iterator[None]:
    """In the end, let go of what was claimed within; a folder that was made for it and stayed empty is removed."""
    before = set(_held)
    try:
        yield
    finally:
        for place in set(_held) - before:
            (place / HOLDER).unlink(missing_ok=True)
            if place in _made and [file.name for file in place.iterdir()] == [LOCK]:
                (place / LOCK).unlink()
                place.rmdir()
            _made.discard(place)
            _held.pop(place).release()
