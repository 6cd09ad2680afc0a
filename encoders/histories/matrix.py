"""Logs and histories as user–item matrices: how much each user consumed of each item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..base import EncoderError, Histories

if TYPE_CHECKING:
    from ..data.interactions import Interactions

Matrix = sparse.csr_array[Any, tuple[int, int]]

WEIGHTS = ("completion", "binary")


def build_log_matrix(log: Interactions, weights: str) -> Matrix:
    """What each user consumed of each item, (U, N + 1), float32; column 0, the padding, is empty.

    Parameters
    ----------
    log : Interactions
        Rows that were only shown, or of which nothing was consumed, say nothing here.
    weights : {"completion", "binary"}
        The sum of the shares consumed, so that an item consumed twice counts twice, or 1 for all.

    Raises
    ------
    EncoderError
        If nothing is left.
    """
    rows = log.consumed & (log.completion > 0.0)
    if not rows.any():
        raise EncoderError("the log has no row with a completion above 0; nothing can be learnt from it: collect more")
    values, places = log.completion[rows], (log.user[rows], log.item[rows])
    matrix = _sum_entries((values, places), (log.users, log.items + 1))
    if weights == "binary":
        matrix.data[:] = 1.0
    return matrix


def compute_entry_shares(histories: Histories) -> NDArray[np.float32]:
    """Share of each entry of a history in its item's, (B, H): 1 unless an item comes twice; 0 for nothing consumed."""
    ids = np.where(histories["history_completion"] > 0.0, histories["history_ids"], 0.0)
    same = (ids[:, :, None] == ids[:, None, :]).sum(axis=2)
    return np.where(ids > 0.0, 1.0 / same, 0.0).astype(np.float32)


def compute_entry_weights(histories: Histories, weights: str) -> NDArray[np.float32]:
    """What each entry of a history adds to its row of the matrix (B, H): those of an item add up to its weight."""
    if weights == "binary":
        return compute_entry_shares(histories)
    return np.where(histories["history_ids"] > 0.0, histories["history_completion"], 0.0).astype(np.float32)


def build_history_matrix(histories: Histories, items: int, weights: str) -> Matrix:
    """What `build_log_matrix` would hold of users of whom only histories are known, (B, N + 1), float32."""
    values = compute_entry_weights(histories, weights)
    rows, columns = np.nonzero(values)
    places = (rows, histories["history_ids"][rows, columns].astype(np.int64))
    return _sum_entries((values[rows, columns], places), (len(values), items + 1))


def _sum_entries(entries: Any, shape: tuple[int, int]) -> Matrix:
    """Values at their rows and columns, summed where some are the same."""
    matrix: Matrix = sparse.csr_array(entries, shape=shape, dtype=np.float32)
    matrix.sum_duplicates()
    return matrix


def measure_column_lengths(matrix: Matrix) -> NDArray[np.float32]:
    """Euclidean length of each column, 1 where it is empty."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0), np.float64))
    return np.where(length > 0.0, length, 1.0).astype(np.float32)


def scale_matrix(matrix: Matrix, rows: NDArray[Any] | None = None, columns: NDArray[Any] | None = None) -> Matrix:
    """The matrix with its rows and columns multiplied."""
    scaled = matrix.copy()
    if rows is not None:
        scaled.data *= np.repeat(rows, np.diff(matrix.indptr)).astype(np.float32)
    if columns is not None:
        scaled.data *= columns[matrix.indices].astype(np.float32)
    return scaled


def keep_largest(values: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Where the `count` largest positive values of each row are, those of equal size by column, (B, M)."""
    if count >= values.shape[1]:
        return values > 0.0
    least = np.partition(values, -count, axis=1)[:, -count, None]
    above, equal = values > least, values == least
    room = count - above.sum(axis=1, keepdims=True)
    return np.asarray((above | (equal & (np.cumsum(equal, axis=1) <= room))) & (values > 0.0))


def flatten_matrix(matrix: Matrix, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a matrix, to be saved under a name."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
        f"{name}.shape": np.array(matrix.shape, np.int64),
    }


def unflatten_matrix(arrays: Any, name: str) -> Matrix:
    """The matrix that `flatten_matrix` took apart."""
    data, indices, indptr, shape = (arrays[f"{name}.{field}"] for field in ("data", "indices", "indptr", "shape"))
    return sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
