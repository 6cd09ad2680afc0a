"""A history as one vector: item vectors pooled by recency and completion."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..shared.compiled import loop

# A weight halves over this many more recent items, or days. Assumed, not fitted: settings to tune.
HALF_LIFE_ITEMS = 10.0
HALF_LIFE_DAYS = 7.0


@njit(inline="always")
def weigh_recency(rank: int, completion: float, days: float, per_item: float, per_day: float) -> float:
    """Weight of the item at a rank (0 for the most recent), `days` older than the most recent one."""
    return completion * math.exp2(-(rank * per_item + days * per_day))


@loop
def pool_row(
    table: np.ndarray,
    ids: np.ndarray,
    completion: np.ndarray,
    age: np.ndarray,
    per_item: float,
    per_day: float,
    out: np.ndarray,
) -> None:
    """Pool one user's history into `out` (E,), zeros at first; row i of `table` is item i + 1."""
    rank = 0
    youngest = 0.0  # ages count from here, lest the weights of an old history vanish
    for h in range(len(ids)):
        if ids[h] == 0:
            continue
        if rank == 0:
            youngest = float(age[h])
        weight = np.float32(weigh_recency(rank, completion[h], float(age[h]) - youngest, per_item, per_day))
        item = int(ids[h]) - 1
        for e in range(len(out)):
            out[e] += weight * table[item, e]
        rank += 1
    square = 0.0
    for e in range(len(out)):
        square += float(out[e]) ** 2
    if square > 0.0:
        scale = np.float32(1.0 / math.sqrt(square))
        for e in range(len(out)):
            out[e] *= scale


@loop
def _pool_rows(
    table: np.ndarray,
    ids: np.ndarray,
    completion: np.ndarray,
    age: np.ndarray,
    per_item: float,
    per_day: float,
    out: np.ndarray,
) -> None:
    """User by user, so that no gathered copy (B, H, E) is made and no sum depends on the batch."""
    for b in range(len(ids)):
        pool_row(table, ids[b], completion[b], age[b], per_item, per_day, out[b])


def pool_history(
    item_vectors: NDArray[np.float32],
    ids: NDArray[np.float32],
    completion: NDArray[np.float32],
    age: NDArray[np.float32],
    *,
    half_life_items: float = HALF_LIFE_ITEMS,
    half_life_days: float = HALF_LIFE_DAYS,
) -> NDArray[np.float32]:
    """Pool the vectors of what each user consumed, by completion and recency.

    The item at rank h (0 for the most recent) weighs ``completion · 2^(-h / half_life_items - age / half_life_days)``.

    Parameters
    ----------
    item_vectors : array (N, E)
        Row i is item i + 1.
    ids : array (B, H)
        Item numbers 1 to N, the most recent first; 0 is padding and is passed over.
    completion : array (B, H)
        Share consumed, in [0, 1].
    age : array (B, H)
        Days since consumed. Only differences within a history count, as the result has unit length.
    half_life_items, half_life_days : float
        More recent items, or days, that halve a weight; ``math.inf`` makes all alike.

    Returns
    -------
    array (B, E), float32
        Unit vectors; zero where the history is empty or nothing of it was consumed. A user's vector has the same bits
        in any batch.

    Raises
    ------
    ValueError
        If shapes do not fit, an id is not of this table, or a half-life is not positive.
    """
    if not (half_life_items > 0 and half_life_days > 0):
        raise ValueError(f"half-lives must be positive, got {half_life_items} items and {half_life_days} days")
    if not (ids.ndim == 2 and ids.shape == completion.shape == age.shape):
        raise ValueError(f"ids {ids.shape}, completion {completion.shape} and age {age.shape} must all be (B, H)")
    check_ids(ids, len(item_vectors))
    table, ids, completion, age = (np.ascontiguousarray(a, np.float32) for a in (item_vectors, ids, completion, age))
    pooled = np.zeros((len(ids), table.shape[1]), np.float32)
    _pool_rows(table, ids, completion, age, 1.0 / half_life_items, 1.0 / half_life_days, pooled)
    return pooled


def check_ids(ids: NDArray[np.float32], items: int) -> None:
    """Refuse ids that are not of a table of `items` items."""
    wrong = (ids < 0) | (ids > items) | (ids != np.floor(ids))
    if wrong.any():
        raise ValueError(f"history_ids holds {ids[wrong][0]:g}; items are 1 to {items}, 0 is padding")


def pad_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, E) to (N + 1, E), float32, with a row of zeros for the padding."""
    table = np.zeros((len(vectors) + 1, vectors.shape[1]), np.float32)
    table[1:] = vectors
    return table


def pad_item_vectors(vectors: NDArray[np.float32], items: int) -> NDArray[np.float32]:
    """Vectors of the items of a catalogue, checked and with the row of `pad_vectors`.

    Raises
    ------
    ValueError
        For a wrong shape or a value that is not finite.
    """
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2 or len(array) != items or array.shape[1] < 1:
        raise ValueError(
            f"item_vectors have shape {array.shape}, expected (items, width) = ({items}, E): one row an item"
        )
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(
            f"item_vectors row {row} (item {row + 1}) has a value that is not finite; encode that item again"
        )
    return pad_vectors(array)
