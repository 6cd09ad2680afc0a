"""Shelves: what takes long to make, kept on disk by all that it is made from.

An entry is one safetensors file of plain arrays and JSON, never a pickle, with a digest of its content: a file that was
cut short, changed or is another's is made anew, and that is said once. What was used longest ago goes first where a
shelf would grow beyond its size.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba.core.registry import cpu_target
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..shared.files import replacing
from ..shared.notices import say_once
from ..shared.ownership import find_cache, open_private

PACKAGE = Path(__file__).parents[2]
WORTH = 0.2  # seconds that making takes at least of what is kept


class Entry(NamedTuple):
    """Arrays, and facts that JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Shelf:
    """A folder of entries below the root of the cache.

    Parameters
    ----------
    name
        The folder, and what its entries are called.
    size
        Bytes that it may hold.
    """

    name: str
    size: int = 2**29

    def fetch(self, key: str, make: Callable[[], Entry]) -> Entry:
        """The entry of a key, as kept or made now; it is kept where making took longer than `WORTH`.

        Parameters
        ----------
        key
            Of `make_key`.
        make
            Makes the entry.
        """
        try:
            folder = open_private(find_cache() / self.name)
        except (OSError, RuntimeError) as error:
            say_once(
                f"{self.name} are not kept on disk ({error}); each process makes them, some seconds. Fix: set "
                "LONGPLAY_CACHE to a folder of your own that nobody else can write to"
            )
            return make()
        path = folder / f"{key}.safetensors"
        if (kept := self._read(path, key)) is not None:
            return kept
        start = time.perf_counter()
        made = make()
        if time.perf_counter() - start >= WORTH:
            self._write(path, key, made)
        return made

    def _read(self, path: Path, key: str) -> Entry | None:
        try:
            os.utime(path)  # it was used just now
            with safe_open(path, "numpy") as file:
                notes = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dictionary
            if notes.get("digest") != _digest(key, arrays, notes["facts"]):
                raise ValueError("its digest is another one")
            return Entry(arrays, json.loads(notes["facts"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            say_once(f"{path} is damaged or another's ({error}); it is made anew")
            return None

    def _write(self, path: Path, key: str, made: Entry) -> None:
        arrays = {name: np.ascontiguousarray(array) for name, array in made.arrays.items()}
        if 2 * sum(array.nbytes for array in arrays.values()) > self.size:
            return
        facts = json.dumps(made.facts)
        try:
            with replacing(path) as temporary:
                save_file(arrays, temporary, {"facts": facts, "digest": _digest(key, arrays, facts)})
            self._make_room(path.parent)
        except (OSError, SafetensorError) as error:
            say_once(f"{self.name} are not kept on disk ({error}); free some space, or set LONGPLAY_CACHE")

    def _make_room(self, folder: Path) -> None:
        """Drop what was used longest ago until the rest fits."""
        found = []
        for path in folder.iterdir():
            try:
                found.append((path.stat(), path))
            except FileNotFoundError:  # another process has dropped it
                continue
        room = self.size
        for about, path in sorted(found, key=lambda pair: pair[0].st_mtime, reverse=True):
            room -= about.st_size
            if room < 0:
                path.unlink(missing_ok=True)


def _digest(key: str, arrays: Mapping[str, NDArray[Any]], facts: str) -> str:
    digest = hashlib.sha256(f"{key} {facts} ".encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def make_key(parts: Iterable[Any], sources: Iterable[str], packages: Iterable[str]) -> str:
    """Digest of all that an entry is made from.

    Parameters
    ----------
    parts
        What JSON can hold; numbers at full precision.
    sources
        Files that make it, below the package.
    packages
        Distributions whose versions count, beside Python's and the processor, for which sums are written.
    """
    about = [sys.version, *describe_processor()]
    content = json.dumps([list(parts), about, [f"{name} {version(name)}" for name in packages]])
    return hashlib.sha256(f"{content} {digest_sources(tuple(sources), PACKAGE)}".encode()).hexdigest()[:32]


@cache
def describe_processor() -> tuple[str, ...]:
    """System, processor and its features, as Numba keeps its loops by."""
    return tuple(cpu_target.target_context.codegen().magic_tuple())


@cache
def digest_sources(sources: tuple[str, ...], package: Path) -> str:
    """Digest of files below a folder."""
    digest = hashlib.sha256()
    for name in sources:
        digest.update((package / name).read_bytes())
    return digest.hexdigest()
