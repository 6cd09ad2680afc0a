"""The catalogues that scenarios name; each is loaded when it is first asked for."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..kept.shelf import Entry, Shelf, make_key
from ..shared.registry import Registry
from .catalog import DEFAULTS, PRICE, Catalog

CATALOGS: Registry[Callable[[], Catalog]] = Registry("CATALOGS", "catalogue", "longplay.envs.catalogs")
SHELF = Shelf("catalogues")
READERS = tuple(f"envs/catalogs/{name}.py" for name in ("catalog", "registry", "table", "texts"))


def keep_catalog(load: Callable[[], Catalog], *, source: str, data: str, packages: Iterable[str]) -> Catalog:
    """What `load` returns, as it is kept on disk since it was loaded first.

    Parameters
    ----------
    load
        Makes the catalogue.
    source
        The file that has it, below the package.
    data
        Tells one state of the data that it is made from from another.
    packages
        Distributions that it is made with.
    """
    entry = SHELF.fetch(make_key([data], (source, *READERS), packages), lambda: _pack(load()))
    words: dict[str, Any] = json.loads(entry.arrays["words"].tobytes())
    words["topics"] = tuple(map(tuple, words["topics"]))
    words |= {name: tuple(words[name]) for name in ("ids", "texts")}
    numbers: dict[str, Any] = {name: array for name, array in entry.arrays.items() if name != "words"}
    return Catalog(**words, **numbers)


def _pack(catalog: Catalog) -> Entry:
    fields = {name: getattr(catalog, name) for name in ("name", "ids", "texts", "topics", "report", "source")}
    numbers = {name: getattr(catalog, name) for name in (*DEFAULTS, PRICE)}
    words = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    return Entry({"words": words, **{name: array for name, array in numbers.items() if array is not None}}, {})
