"""A history as one vector: item vectors pooled by recency and completion."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

HALF_LIFE = 5.0  # an item counts half as much as one consumed five items later


@njit(nogil=True, fastmath=True)
def pool_row(vectors: np.ndarray, ids: np.ndarray, completion: np.ndarray, half_life: float, out: np.ndarray) -> None:
    """Pool one user's history into `out` (E,); the loops are over one row, so a batch cannot change the result."""
    out[:] = 0.0
    for h in range(len(ids)):
        item = int(ids[h])
        if item > 0:
            weight = np.float32((0.1 + completion[h]) * 2.0 ** (-h / half_life))
            for e in range(len(out)):
                out[e] += weight * vectors[item, e]
    norm = np.float32(0.0)
    for e in range(len(out)):
        norm += out[e] * out[e]
    if norm > 0.0:
        scale = np.float32(1.0 / np.sqrt(norm))
        for e in range(len(out)):
            out[e] *= scale


@njit(nogil=True)
def _pool_all(
    vectors: np.ndarray, ids: np.ndarray, completion: np.ndarray, half_life: float, out: np.ndarray
) -> None:
    for b in range(len(ids)):
        pool_row(vectors, ids[b], completion[b], half_life, out[b])


def pool_history(
    vectors: NDArray[np.float32],
    ids: NDArray[np.float32],
    completion: NDArray[np.float32],
    half_life: float = HALF_LIFE,
) -> NDArray[np.float32]:
    """Unit vector of each user's history.

    Item h of a history (0 is the most recent) weighs ``(0.1 + completion_h)·2^(−h / half_life)``: what was watched to
    its end counts more than what was given up, and what was given up still counts a little, since it was chosen.

    Parameters
    ----------
    vectors
        (N+1, E) item vectors; row 0 belongs to the padding and is not read.
    ids, completion
        (B, H) of the observation, most recent first.
    half_life
        In items.

    Returns
    -------
    numpy.ndarray
        (B, E) float32; zeros for an empty history.
    """
    out = np.zeros((len(ids), vectors.shape[1]), np.float32)
    _pool_all(vectors, ids, completion, half_life, out)
    return out


def padded_vectors(vectors: NDArray[np.float32], items: int) -> NDArray[np.float32]:
    """(N, E) vectors of the items of a catalogue to (N+1, E) with a row of zeros for the padding, checked.

    Raises
    ------
    ValueError
        For a wrong shape or a value that is not finite.
    """
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2 or len(array) != items or array.shape[1] < 1:
        raise ValueError(f"item_vectors have shape {array.shape}, expected (items, width) = ({items}, E): one row an item")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"item_vectors row {row} (item {row + 1}) has a value that is not finite; encode that item again")
    padded = np.zeros((items + 1, array.shape[1]), np.float32)
    padded[1:] = array
    return padded
