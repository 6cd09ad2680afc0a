"""Specifications that make their environment again: from any folder, and as JSON whatever they were made of."""

import enum
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from .catalogs.catalog import DEFAULTS, PRICE, Catalog
from .catalogs.table import CatalogError
from .shared.files import write_whole
from .shared.ownership import find_cache
from .users.behaviours import name_function
from .users.constants import format_key
from .users.params import Scenario

KEPT = ".catalog.json"  # ends the name of a file that holds a catalogue to the bit
PATHS = ("catalog", "scenario", "item_vectors")  # keywords that may name files


class PortableSpec(EnvSpec):
    """A specification whose paths are absolute, and which JSON can hold.

    `to_json` writes a catalogue and vectors that are held in memory to files of the cache, named by their contents, and
    puts their paths in place; a `Scenario` becomes its constants.
    """

    @classmethod
    def of(cls, spec: EnvSpec) -> "PortableSpec":
        """The same specification, its paths seen from the folder where the process is now."""
        values = {field.name: getattr(spec, field.name) for field in fields(spec) if field.init}
        kwargs = {key: _resolve(value) if _is_path(key, value) else value for key, value in spec.kwargs.items()}
        return cls(**values | {"kwargs": kwargs})

    def to_json(self) -> str:
        """As `gymnasium.envs.registration.EnvSpec.from_json` reads it."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        kwargs = {key: _make_plain(value) for key, value in self.kwargs.items()}
        return EnvSpec(**values | {"kwargs": kwargs}).to_json()


class KeepsSpec:
    """An environment whose ``spec``, which Gymnasium sets, is a `PortableSpec`."""

    _spec: PortableSpec | None = None

    @property
    def spec(self) -> PortableSpec | None:
        """How the environment was made."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else PortableSpec.of(spec)


def read_catalog(source: str | Path, **columns: Any) -> Catalog:
    """A catalogue from a table of an owner's, or from a file of the cache that a specification names.

    Parameters
    ----------
    source
        Path of either.
    columns
        ``id_column`` and the like, see `Catalog.from_table`.
    """
    if not str(source).endswith(KEPT):
        return Catalog.from_table(source, **columns)
    content = json.loads(_check_file("catalog", source).read_text(encoding="utf-8"))
    numbers: dict[str, Any] = {key: np.array(content[key]) for key in (*DEFAULTS, PRICE) if key in content}
    topics = tuple(map(tuple, content["topics"]))
    return Catalog(content["name"], tuple(content["ids"]), tuple(content["texts"]), topics, **numbers)


def read_item_vectors(source: str | Path | NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of items (N, E), as they are or from a file of NumPy (``.npy``) that holds nothing but numbers.

    Raises
    ------
    ValueError
        If there is no such file, or it is none of NumPy's.
    """
    if not isinstance(source, str | Path):
        return source
    path = _check_file("item_vectors", source)
    try:
        vectors: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"item_vectors = {str(source)!r} cannot be read as an array ({error}); fix: numpy.save it again, as float32"
        ) from error
    return vectors


def _check_file(field: str, source: str | Path) -> Path:
    path = Path(source)
    if not path.is_file():
        kind: Any = CatalogError if field == "catalog" else ValueError
        raise kind(
            f"{field} = {str(source)!r}: no such file, seen from {Path.cwd()}. Fix: if the specification was written "
            f"elsewhere, pass {field}=... to gymnasium.make in its place"
        )
    return path


def _is_path(key: str, value: Any) -> bool:
    """Whether a keyword's value names a file; a scenario may also be a name."""
    return isinstance(value, os.PathLike) or (
        key in PATHS and isinstance(value, str) and (key != "scenario" or value.endswith(".toml"))
    )


def _resolve(value: Any) -> str:
    return str(Path(value).resolve())


def _make_plain(value: Any) -> Any:
    """What JSON can hold in place of a keyword's value."""
    if isinstance(value, Catalog):
        return _keep_catalog(value)
    if isinstance(value, Scenario):
        return _list_constants(value)
    if isinstance(value, np.ndarray):
        return _keep_array(value)
    if callable(value) and not isinstance(value, type):
        return name_function(value)
    if isinstance(value, Mapping):
        return {key: _make_plain(inner) for key, inner in value.items()}
    if isinstance(value, enum.Enum | np.generic):
        return value.value if isinstance(value, enum.Enum) else value.item()
    return str(value) if isinstance(value, os.PathLike) else value


def _list_constants(scenario: Scenario) -> dict[str, Any]:
    """All that a scenario says, as overrides of any other."""
    constants = {format_key(key): value for key, value in scenario.values.items()}
    shape = {f"shape.{key}": value for key, value in vars(scenario.shape).items()}
    own = {f"behaviours.{key}": name_function(function) for key, function in scenario.behaviours.items()}
    named = {"day.hours": list(scenario.hours), "catalog": scenario.catalog, "reward": scenario.reward} | own
    return {
        key: value.item() if isinstance(value, np.generic) else value for key, value in (constants | shape).items()
    } | named


def _keep_catalog(catalog: Catalog) -> str:
    words = {"name": catalog.name, "ids": catalog.ids, "texts": catalog.texts, "topics": catalog.topics}
    numbers = {key: getattr(catalog, key) for key in (*DEFAULTS, PRICE)}
    content = json.dumps(words | {key: values.tolist() for key, values in numbers.items() if values is not None})
    return _keep(content.encode(), KEPT)


def _keep_array(array: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return _keep(buffer.getvalue(), ".npy")


def _keep(content: bytes, ending: str) -> str:
    """Write a file of the cache unless it is there; returns its path."""
    path = find_cache().resolve() / "specs" / (hashlib.sha256(content).hexdigest()[:32] + ending)
    if not path.is_file():
        write_whole(path, content)
    return str(path)
