"""Compiled loops, kept on disk between processes.

Numba's own cache notices a change in the file of the function that is kept, but not in the files of the functions that
it calls. Here the folder's name holds a digest of every file with compiled code, so any change starts a new folder.
"""

import functools
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock
from numba import config, njit, types
from numba.core import event

from .ownership import find_cache, open_private

PACKAGE = Path(__file__).parents[2]
SOURCES = (
    "envs/users/arithmetic.py",
    "envs/users/memory.py",
    "envs/users/chance.py",
    "envs/shared/compiled.py",
    "envs/shared/parts.py",
    "envs/users/constants.py",
    "envs/users/dynamics.py",
    "envs/engine.py",
    "envs/candidates/pooling.py",
    "envs/users/records.py",
    "envs/candidates/retriever.py",
    "envs/candidates/scoring.py",
)


def cache_folder() -> Path:
    """Where compiled loops are kept: below ``$LONGPLAY_CACHE``, by default ``~/.cache/longplay``."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((PACKAGE / name).read_bytes())
    return find_cache() / "compiled" / digest.hexdigest()[:16]


def loop(function: Callable[..., Any]) -> Any:
    """Compile a loop over users: without the interpreter's lock, and kept on disk.

    Numba's files are pickles, so whoever can write to their folder runs code in the process that reads them. Where the
    folder is not the user's alone (see `find_other_writer`), or cannot be written, each process compiles for itself,
    and says so.
    """
    try:
        # It tries to write, as Numba does: were Numba refused there, it would keep the loop beside its source, without
        # the digest.
        folder = open_private(cache_folder())
    except (OSError, RuntimeError) as error:  # the latter where there is no home
        _say_not_kept(str(error))
        return njit(nogil=True)(function)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        compiled = njit(nogil=True, cache=True)(function)
    finally:
        config.CACHE_DIR = before
    if not config.DISABLE_JIT:  # otherwise it is the plain function
        _lock_cache(compiled._cache, folder)
    return compiled


@functools.cache
def _say_not_kept(reason: str) -> None:
    """Once for each reason."""
    print(
        f"longplay: compiled loops are not kept on disk ({reason}); each process compiles them, about 5 s. Fix: set "
        "LONGPLAY_CACHE to a folder of your own that nobody else can write to",
        file=sys.stderr,
    )


def _lock_cache(cache: Any, folder: Path) -> None:
    """Let one process at a time read or write a cache.

    Numba numbers the loops that it keeps of a function. Two processes that keep one at the same time, each for records
    of its own scenario, take the same number: one of them would later be given machine code that reads other records.
    """
    lock = FileLock(folder / "lock", is_singleton=True)  # one in a process: a loop may be made while another one is

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            with lock:
                return method(*given)

        return call

    cache.load_overload, cache.save_overload = locked(cache.load_overload), locked(cache.save_overload)


def _mangle_record(record: Any) -> tuple[str, tuple[int]]:
    """What names a record type in the symbols of machine code: a digest of its layout.

    Numba counts the types of a process instead. Code kept by one process and code of another one could then go by the
    same name though their records differ, and where both are loaded one of them would be called in place of the other.
    """
    return type(record).__name__, (int(hashlib.sha256(record.name.encode()).hexdigest()[:12], 16),)


types.Record.mangling_args = property(_mangle_record)


class _Notice(event.Listener):  # type: ignore[misc]  # Numba ships no types that fit
    """Says once what the first step waits for."""

    said = False

    def on_start(self, event: Any) -> None:
        module = getattr(event.data.get("dispatcher"), "__module__", "") or ""
        if module.startswith("longplay.envs."):
            say_compiling("once for each version")

    def on_end(self, event: Any) -> None:
        pass


def say_compiling(when: str) -> None:
    """Say that the user model is compiled, and `when` it is; the first time only."""
    if not _Notice.said:
        _Notice.said = True
        print(f"longplay: compiling the user model, {when} (about 5 s) …", file=sys.stderr)


event.register("numba:compile", _Notice())
