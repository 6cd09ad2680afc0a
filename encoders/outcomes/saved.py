"""Small fitted models on disk: the fields of a frozen dataclass, as one safetensors file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...envs.shared.files import write_whole
from ..base import EncoderError

_FORMAT = "longplay model 1"


class Saved:
    """What a frozen dataclass of arrays and numbers inherits to be saved and loaded.

    The file says which class it holds, and carries a checksum; it is written whole or not at all.
    """

    def save(self, path: str | Path) -> None:
        """Write all fields to a ``.safetensors`` file."""
        names = [field.name for field in dataclasses.fields(cast(Any, self))]
        # Rows one after the other: safetensors writes memory as it lies.
        arrays = {name: np.array(getattr(self, name), np.float64, order="C") for name in names}
        metadata = {"format": _FORMAT, "kind": type(self).__name__, "sha256": _hash_arrays(type(self).__name__, arrays)}
        write_whole(Path(path), save(arrays, metadata))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        EncoderError
            If the file is missing or damaged, or holds a model of another kind or version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        except (OSError, SafetensorError) as error:
            raise EncoderError(f"{path} cannot be read ({error}). Fix: name a file that save() wrote") from error
        if metadata.get("format") != _FORMAT or metadata.get("kind") != cls.__name__:
            defect = metadata.get("kind", "something else")
            raise EncoderError(f"{path} holds {defect!r}, here it must be {cls.__name__!r}. Fix: name another file")
        if metadata.get("sha256") != _hash_arrays(cls.__name__, arrays):
            raise EncoderError(f"{path} is damaged: its checksum is wrong. Fix: fit the model again")
        fields = dataclasses.fields(cast(Any, cls))
        names = {field.name for field in fields}
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        if not needed <= arrays.keys() <= names:  # a file may be older than a field that has a default
            defect = f"its fields are {', '.join(sorted(arrays))}, here they are {', '.join(sorted(names))}"
            raise EncoderError(f"{path} is of another version: {defect}. Fix: fit the model again")
        return cls(**{name: float(array) if array.ndim == 0 else array for name, array in arrays.items()})


def _hash_arrays(kind: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) of the names, shapes and values."""
    total = hashlib.sha256(json.dumps([kind, [[name, arrays[name].shape] for name in sorted(arrays)]]).encode())
    for name in sorted(arrays):
        total.update(np.ascontiguousarray(arrays[name], "<f8").tobytes())
    return total.hexdigest()
