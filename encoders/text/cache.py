"""Vectors of texts on disk: one safetensors file for each model, replaced whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...envs.shared.files import write_whole

Vectors = NDArray[np.float32]

_FORMAT = "longplay text vectors 1"
_DIGEST = 16  # [bytes]; two of 10^9 texts share one with probability 10^-21

_log = logging.getLogger(__name__)


class CacheError(ValueError):
    """A cache file that cannot be trusted."""


def hash_text(text: str) -> bytes:
    """Digest by which the vector of a text is kept."""
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST).digest()


class VectorCache:
    """The vectors of one model, kept by the digest of each text.

    A file is read whole or not at all: its format, the model's identity, shapes and a checksum must be right, else it
    is reported in one line and counts as empty. It is written under another name and then renamed, so a reader never
    meets half a file, and a killed writer leaves the old one. Of two writers at once the later wins; what the other
    added is encoded again when next needed.

    Parameters
    ----------
    folder : Path
        Folder of the cache files; made when first written.
    identity : str
        Hash of all that vectors depend on besides the text; names the file.
    width : int
        Width E of the vectors.
    """

    def __init__(self, folder: Path, identity: str, width: int) -> None:
        self.path = folder / f"{identity[:32]}.safetensors"
        self._identity, self._width = identity, width

    def read(self) -> dict[bytes, Vectors]:
        """All vectors (E,) by digest; empty where there is no file that can be trusted."""
        try:
            return self._load()
        except CacheError as error:
            _log.warning("%s is not used (%s); its vectors are computed again", self.path, error)
            return {}

    def add(self, fresh: Mapping[bytes, Vectors]) -> None:
        """Merge vectors into the file; where it cannot be written, say so in one line and go on without."""
        stored: dict[bytes, Vectors] = {}
        with suppress(CacheError):  # `read` has reported it
            stored = self._load()
        stored.update(fresh)
        digests = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, _DIGEST)
        vectors = np.stack(list(stored.values()))
        metadata = {"format": _FORMAT, "identity": self._identity, "checksum": _compute_checksum((digests, vectors))}
        try:
            write_whole(self.path, save({"digests": digests, "vectors": vectors}, metadata))
        except OSError as error:
            _log.warning("%s cannot be written (%s); its vectors are computed again next time", self.path, error)

    def _load(self) -> dict[bytes, Vectors]:
        try:
            with safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT or metadata.get("identity") != self._identity:
                    raise CacheError("it was made by another model or another program")
                digests, vectors = file.get_tensor("digests"), file.get_tensor("vectors")
        except FileNotFoundError:
            return {}
        except (SafetensorError, OSError) as error:
            raise CacheError(f"it is damaged: {error}") from error
        if metadata.get("checksum") != _compute_checksum((digests, vectors)):
            raise CacheError("it is damaged: its checksum is wrong")
        if vectors.shape != (len(digests), self._width):
            raise CacheError(f"its vectors have shape {vectors.shape}, expected {(len(digests), self._width)}")
        joined = digests.tobytes()
        return {joined[i * _DIGEST : (i + 1) * _DIGEST]: vector for i, vector in enumerate(vectors)}


def _compute_checksum(arrays: Iterable[NDArray[np.generic]]) -> str:
    """CRC-32 of arrays: against accidents, which is all a cache has to fear, and faster than reading the file."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
    return f"{crc:08x}"
