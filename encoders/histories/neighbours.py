"""Neighbourhoods: items consumed by the same users, and users who consumed the same items, by cosine similarity.

Sarwar et al. (2001), Item-based collaborative filtering recommendation algorithms; Herlocker et al. (1999), An
algorithmic framework for performing collaborative filtering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from ...envs.shared.options import Options, number, word
from ...envs.shared.progress import ProgressCallback
from ..base import Encoder, EncoderError, Histories
from ..registry import ENCODERS, EncoderEntry
from ..text.cache import Vectors
from .frozen import normalise_rows
from .matrix import (
    WEIGHTS,
    Matrix,
    build_history_matrix,
    build_log_matrix,
    compute_entry_weights,
    flatten_matrix,
    keep_largest,
    measure_column_lengths,
    scale_matrix,
    unflatten_matrix,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ..data.interactions import Interactions

_CHUNK = 512  # rows that are dense at a time


def cosine_similarity(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Cosine of each pair of rows (M, M), float64; 0 where a row is zeros.

    For R = [[0,1,0,1],[1,0,1,0],[0,1,1,0],[1,1,0,1]], four users and four items, it gives with a = 1/√6 = 0.408 and
    b = 2/√6 = 0.816 ::

        1    0    1/2  b
        0    1    1/2  a
        1/2  1/2  1    a
        b    a    a    1
    """
    rows = normalise_rows(np.asarray(matrix, np.float64))
    return np.asarray(rows @ rows.T)


def rank_items(scores: NDArray[Any], consumed: NDArray[Any]) -> list[NDArray[np.int64]]:
    """The items of each user from the best to the worst, numbered from 1.

    What a user consumed is left out: it is no recommendation. Items of equal score come by number. ``argsort()[::-1]``
    gets both wrong: it recommends what was consumed, which a profile is always most alike, and turns ties round.

    Parameters
    ----------
    scores, consumed : (U, N)
        Column n is item n + 1; consumed where not 0.
    """
    order = np.argsort(-np.round(np.asarray(scores, np.float64), 12), axis=1, kind="stable")
    return [row[~np.asarray(owned, np.bool_)[row]] + 1 for row, owned in zip(order, consumed, strict=True)]


def rank_by_content(matrix: NDArray[Any], features: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Rank items (`rank_items`) by the cosine of their features (N, F) to the mean features of what a user consumed.

    The mean and the sum of the features give the same cosines. With R of `cosine_similarity` and the features
    [[1,0,1],[0,1,0],[1,1,1],[1,0,0]] the users get items (3, 1), (4, 2), (1, 4) and (3). An order of all four items
    would begin with what the second and the third user consumed already.
    """
    consumed, features = np.asarray(matrix, np.float64), np.asarray(features, np.float64)
    both = cosine_similarity(np.concatenate([consumed @ features, features]))
    return rank_items(both[: len(consumed), len(consumed) :], consumed)


def rank_by_users(matrix: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Rank items (`rank_items`) by the sum, over all other users, of their cosine to the user times what they consumed.

    With R of `cosine_similarity` the users get items (1, 3), (2, 4), (1, 4) and (3). User 1, say, scores item 1 with
    b = 0.816, by user 4, and item 3 with 1/2, by user 3. User 3 scores items 1 and 4 alike, with 1/2 + a.
    """
    consumed = np.asarray(matrix, np.float64)
    similarity = cosine_similarity(consumed)
    np.fill_diagonal(similarity, 0.0)
    return rank_items(similarity @ consumed, consumed)


@dataclass(frozen=True)
class NeighbourOptions(Options):
    """Options of `ItemNeighbours` and `UserNeighbours`."""

    neighbours: int = number(500, 1, 10**6)
    """Nearest ones that count, k."""
    weights: str = word("completion", *WEIGHTS)
    """What an item counts: the share consumed, or 1 ("binary")."""
    shrinkage: float = number(10.0, 0.0, 1e9)
    """Similarity is times n / (n + shrinkage), n being the users or items in common: few are little evidence."""
    width: int = number(64, 1, 4096)
    """Width of the vectors, at most the number of items."""


class _Neighbourhood(Encoder):
    """What both neighbourhoods share: a low-rank form of their linear scores, (N + 1, N + 1) ≈ `_left` · `_right`ᵀ."""

    options_type: ClassVar[type[Options]] = NeighbourOptions
    _left: Vectors
    _right: Vectors

    def _encode(self, histories: Histories) -> Vectors:
        return np.asarray(self._build_matrix(histories) @ self._left, np.float32)

    def _item_vectors(self) -> Vectors:
        return self._right

    def _build_matrix(self, histories: Histories) -> Matrix:
        return build_history_matrix(histories, len(self.items), self.options.weights)

    def _compress(self, matrix: Any, seed: int) -> None:
        """Take the leading left singular vectors of a matrix (N + 1, N + 1), and its product with them."""
        self.width = min(self.options.width, len(self.items))
        left, _, _ = randomized_svd(matrix, self.width, n_iter=4, random_state=seed)
        self._left = np.asarray(left, np.float32)
        self._right = np.asarray(matrix.T @ left, np.float32)
        self._right[0] = 0.0

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._left, self._right = weights["left"], weights["right"]
        self.width = self._left.shape[1]


class ItemNeighbours(_Neighbourhood):
    """Item-based neighbourhoods: the score of item j is ``Σ_h w_h S[h, j]`` over the history.

    ``S[h, j]`` is the cosine of the two items' columns of the user–item matrix where j is among the k nearest of h,
    else 0; no item is its own neighbour. `score` and `contributions` use S as it is. `encode` gives the history's
    weights on the leading left singular vectors of S, and `item_vectors` the items in that space: their product is the
    score under the best approximation of S of that rank, and the user's vector a state for other learners.
    """

    _similarity: Matrix

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        matrix = build_log_matrix(log, self.options.weights)
        unit = scale_matrix(matrix, columns=1.0 / measure_column_lengths(matrix))
        self._similarity = _find_nearest_columns(unit, self.options.neighbours, self.options.shrinkage)
        self._compress(self._similarity, seed)

    def score(self, histories: Histories) -> Vectors:
        """Sum the similarities to the history, (B, N + 1); −∞ for the padding."""
        self.encode(histories)  # which checks them
        scores = (self._build_matrix(histories) @ self._similarity).toarray()
        scores[:, 0] = -np.inf
        return scores

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """Exact: the terms of the sum."""
        self.encode(histories)  # which checks them
        ids = histories["history_ids"].astype(np.int64)
        shares = compute_entry_weights(histories, self.options.weights)
        if ids.size:  # else what scipy finds is of another type and shape
            shares *= self._similarity[ids.ravel(), np.repeat(item, ids.shape[1])].reshape(ids.shape)
        return shares

    def nearest_items(self, item: int, k: int = 10) -> tuple[NDArray[np.int64], Vectors]:
        """The at most k nearest items of an item, and their similarities; the nearest first."""
        self._check_fitted()
        if not 1 <= item <= len(self.items):
            raise EncoderError(f"item {item} is unknown; items are 1 to {len(self.items)}")
        return _pick_largest(self._similarity[[item]].toarray(), k)

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {"left": self._left, "right": self._right} | flatten_matrix(self._similarity, "similarity")

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(weights)
        self._similarity = unflatten_matrix(weights, "similarity")


class UserNeighbours(_Neighbourhood):
    """User-based neighbourhoods: the score of item j is ``Σ_u s(u) R[u, j]`` over the k users nearest to a history.

    R is the user–item matrix of the log, and ``s(u)`` the cosine of its row u to the history's row. A user of the log
    is met like anyone else, by a history, and may be among the own neighbours: what they add to the scores is what was
    consumed already. `encode` gives the history's unit row on the leading singular vectors of ``R̂ᵀR``, R̂ having unit
    rows, and `item_vectors` the items in that space: their product approximates the score with all users as neighbours.
    """

    _consumed: Matrix
    _unit: Matrix

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        self._set_log(build_log_matrix(log, self.options.weights))
        self._compress(self._unit.T @ self._consumed, seed)

    def _set_log(self, consumed: Matrix) -> None:
        self._consumed = consumed
        self._unit = _normalise_rows(consumed)
        self._binary = _replace_by_ones(consumed)

    def _encode(self, histories: Histories) -> Vectors:
        return np.asarray(_normalise_rows(self._build_matrix(histories)) @ self._left, np.float32)

    def score(self, histories: Histories) -> Vectors:
        """Sum what the neighbours consumed, by similarity, (B, N + 1); −∞ for the padding."""
        self.encode(histories)  # which checks them
        rows = self._build_matrix(histories)
        scores = np.zeros((rows.shape[0], len(self.items) + 1), np.float32)
        for start in range(0, len(scores), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            scores[chunk] = (sparse.csr_array(self._weigh_neighbours(rows[chunk])) @ self._consumed).toarray()
        scores[:, 0] = -np.inf
        return scores

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """What each entry adds to the similarities of the neighbours who consumed the item; they sum to the score.

        Neighbours, shrinkage and the history's length are held as they are.
        """
        self.encode(histories)  # which checks them
        rows, ids = self._build_matrix(histories), histories["history_ids"].astype(np.int64)
        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)))
        entries = (
            compute_entry_weights(histories, self.options.weights) / np.where(lengths > 0.0, lengths, 1.0)[:, None]
        )
        shares = np.zeros(ids.shape, np.float32)
        for b in range(len(ids)):
            row = rows[[b]]
            is_neighbour = (self._weigh_neighbours(row) > 0.0)[0]
            similarity = (
                is_neighbour * self._shrink_similarity(row)[0] * self._consumed[:, [int(item[b])]].toarray()[:, 0]
            )
            shares[b] = entries[b] * (similarity @ self._unit)[ids[b]]
        return shares

    def nearest_users(self, histories: Histories, k: int = 10) -> list[tuple[NDArray[np.int64], Vectors]]:
        """Of each history the at most k nearest users of the log, and their similarities; the nearest first."""
        self.encode(histories)  # which checks them
        return [_pick_largest(row[None], k) for row in self._weigh_neighbours(self._build_matrix(histories))]

    def _weigh_neighbours(self, rows: Matrix) -> Vectors:
        """Similarity of each row to all users (B, U), 0 but for the neighbours."""
        similarity = (_normalise_rows(rows) @ self._unit.T).toarray() * self._shrink_similarity(rows)
        return np.where(keep_largest(similarity, self.options.neighbours), similarity, np.float32(0.0))

    def _shrink_similarity(self, rows: Matrix) -> Vectors:
        """By how much each similarity (B, U) is shrunk."""
        return _compute_shrinkage((_replace_by_ones(rows) @ self._binary.T).toarray(), self.options.shrinkage)

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {"left": self._left, "right": self._right} | flatten_matrix(self._consumed, "consumed")

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        super()._restore(weights)
        self._set_log(unflatten_matrix(weights, "consumed"))


def _find_nearest_columns(unit: Matrix, count: int, shrinkage: float) -> Matrix:
    """Cosine of each column with its `count` nearest others, (M, M); `unit` has columns of unit length."""
    columns, ones = unit.T.tocsr(), _replace_by_ones(unit)
    blocks = []
    for start in range(0, columns.shape[0], _CHUNK):
        chunk = columns[start : start + _CHUNK]
        similarity = (chunk @ unit).toarray() * _compute_shrinkage(
            (_replace_by_ones(chunk) @ ones).toarray(), shrinkage
        )
        rows = np.arange(chunk.shape[0])
        similarity[rows, start + rows] = 0.0
        blocks.append(sparse.csr_array(np.where(keep_largest(similarity, count), similarity, np.float32(0.0))))
    return sparse.csr_array(sparse.vstack(blocks))


def _compute_shrinkage(common: Vectors, shrinkage: float) -> Vectors:
    return np.asarray(common / np.maximum(common + shrinkage, np.float32(1.0)), np.float32)


def _replace_by_ones(matrix: Matrix) -> Matrix:
    """The matrix with 1 for every entry."""
    ones = matrix.copy()
    ones.data = np.ones_like(ones.data)
    return ones


def _normalise_rows(matrix: Matrix) -> Matrix:
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)))
    return scale_matrix(matrix, rows=1.0 / np.where(length > 0.0, length, 1.0))


def _pick_largest(similarity: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
    """Places and sizes of the k largest positive values of one row, the largest first."""
    order = np.argsort(-similarity[0], kind="stable")[:k]
    order = order[similarity[0, order] > 0.0]
    return order, similarity[0, order]


ENCODERS.register(
    "item-knn", EncoderEntry(ItemNeighbours), encoder="ItemNeighbours", about="neighbours of the history's items"
)
ENCODERS.register("user-knn", EncoderEntry(UserNeighbours), encoder="UserNeighbours", about="neighbours of the user")
