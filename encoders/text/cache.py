"""Vectors of texts on disk: one safetensors file for each model, replaced whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...envs.shared.files import write_whole

Vectors = NDArray[np.float32]
Counts = NDArray[np.int32]

_FORMAT = "longplay text vectors 1"
_DIGEST = 16  # [bytes]; two of 10^9 texts share one with probability 10^-21

_NOT_COUNTED = np.zeros(2, np.int32)

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

    Attributes
    ----------
    counts : dict of bytes to (2,) int32
        Of the last `read`, by digest: tokens of a text, and those unknown to the model, as far as they were kept.
    """

    def __init__(self, folder: Path, identity: str, width: int) -> None:
        self.counts: dict[bytes, Counts] = {}
        self.path = folder / f"{identity[:32]}.safetensors"
        self._identity, self._width = identity, width

    def read(self) -> dict[bytes, Vectors]:
        """All vectors (E,) by digest; empty where there is no file that can be trusted."""
        try:
            vectors, self.counts = self._load()
        except CacheError as error:
            _log.warning("%s is not used (%s); its vectors are computed again", self.path, error)
            vectors, self.counts = {}, {}
        return vectors

    def add(self, fresh: Mapping[bytes, Vectors], counts: Mapping[bytes, Counts] | None = None) -> None:
        """Merge vectors, and counts of their tokens, into the file.

        Where it cannot be written, say so in one line and go on without.
        """
        stored: dict[bytes, Vectors] = {}
        counted: dict[bytes, Counts] = {}
        with suppress(CacheError):  # `read` has reported it
            stored, counted = self._load()
        stored.update(fresh)
        counted.update(counts or {})
        tensors: dict[str, NDArray[Any]] = {
            "digests": np.frombuffer(b"".join(stored), np.uint8).reshape(-1, _DIGEST),
            "vectors": np.stack(list(stored.values())),
            "counts": np.stack([counted.get(key, _NOT_COUNTED) for key in stored]),
        }
        checksum = _compute_checksum(tensors.values())
        metadata = {"format": _FORMAT, "identity": self._identity, "checksum": checksum}
        try:
            write_whole(self.path, save(tensors, metadata))
        except OSError as error:
            _log.warning("%s cannot be written (%s); its vectors are computed again next time", self.path, error)

    def _load(self) -> tuple[dict[bytes, Vectors], dict[bytes, Counts]]:
        try:
            with safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT or metadata.get("identity") != self._identity:
                    raise CacheError("it was made by another model or another program")
                # Files of before have no counts.
                names = ("digests", "vectors", "counts") if "counts" in file.keys() else ("digests", "vectors")  # noqa: SIM118
                tensors = [file.get_tensor(name) for name in names]
        except FileNotFoundError:
            return {}, {}
        except (SafetensorError, OSError) as error:
            raise CacheError(f"it is damaged: {error}") from error
        if metadata.get("checksum") != _compute_checksum(tensors):
            raise CacheError("it is damaged: its checksum is wrong")
        digests, vectors = tensors[:2]
        if vectors.shape != (len(digests), self._width):
            raise CacheError(f"its vectors have shape {vectors.shape}, expected {(len(digests), self._width)}")
        joined = digests.tobytes()
        keys = [joined[start : start + _DIGEST] for start in range(0, len(joined), _DIGEST)]
        return dict(zip(keys, vectors, strict=True)), dict(zip(keys, tensors[2], strict=True)) if tensors[2:] else {}


def _compute_checksum(arrays: Iterable[NDArray[np.generic]]) -> str:
    """CRC-32 of arrays: against accidents, which is all a cache has to fear, and faster than reading the file."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).data, crc)
    return f"{crc:08x}"
