"""Items in order of a column, such that a column that says nothing favours no row of the owner's table."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog


def sort_items(catalog: Catalog, column: str, seed: int, *, descending: bool = False) -> NDArray[np.int64]:
    """Indices (N,) of the items, from 0, in order of a numeric column.

    Equal values keep the order of the table. Where all are equal, because the table has no such column, that order
    alone would decide who is popular or new; the items then come in order of a hash of column, world seed and id.

    Parameters
    ----------
    catalog
        N items.
    column
        ``"popularity"`` or ``"published"``.
    seed
        The world's seed.
    descending
        Highest values first.
    """
    values: NDArray[np.float64] = getattr(catalog, column)
    if np.ptp(values) > 0:
        return np.argsort(-values if descending else values, kind="stable")
    digests = [hashlib.blake2b(f"{column} {seed} {name}".encode(), digest_size=8).digest() for name in catalog.ids]
    return np.argsort(np.array(digests, "S8").view(">u8"), kind="stable")
