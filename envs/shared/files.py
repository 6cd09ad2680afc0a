"""Files are written whole or not at all, so that a name always stands for a complete file; and what a disk refuses."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DISK_FAILURES = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EFBIG: ("the file would be larger than allowed here", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the disk is read-only", "work in a folder that can be written to"),
    errno.EACCES: ("permission is denied", "work in a folder that is yours"),
    errno.ENOTDIR: ("a file stands where a folder is wanted", "move it away"),
    errno.EEXIST: ("a file stands where a folder is wanted", "move it away"),
    errno.EPERM: ("the system does not permit it", "work in a folder that is yours"),
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path` at the end, and disappears after an error.

    Writers at the same time do not disturb each other: the last to finish stays. The folder is made where it is
    missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # on the disk before the name says so
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """A new, empty folder to write to and then rename; it disappears after an error, for a full disk needs the room.

    What an earlier writer that was killed has left there is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, by way of `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


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
