"""Scores of items by compiled passes, with gradients written out: what `SlateNetwork` computes, where it learns.

``score_h(i) = ⟨w_h, z_i⟩ + c_h + ⟨u_h, p_i⟩``, with z the features in standard deviations and p the item's place in a
space of few dimensions, or its whole vector: then the projection is taken to the user's side, ``⟨u, P v⟩ = ⟨Pᵀ u, v⟩``,
which pays where few items of each user are scored. Sums run in another order than those of `torch`, so scores agree to
rounding. Every row depends on itself alone, and the same input gives the same bits on one machine.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...envs.shared.compiled import loop

Gradients = tuple[Tensor | None, ...]


def score_candidates(
    weights: Tensor, users: Tensor, places: Tensor, items: Tensor, ids: Tensor, scale: tuple[Tensor, Tensor, float]
) -> Tensor:
    """Scores (B, H, M) of candidates, minus infinity for none; differentiable in the first three.

    Parameters
    ----------
    weights
        (B, H, F + 1) of the features, and a constant last.
    users
        (B, H, D), with whose inner product with the item's place the score begins.
    places
        (N + 1, D) of the items by number.
    items, ids
        (B, M, F) features and (B, M) int64 item numbers, 0 for none.
    scale
        Mean (F,) and standard deviation (F,) of the features, and the number of these at which they are cut off.
    """
    found: Tensor = _CandidateScores.apply(weights, users, places, items, ids, *scale)  # type: ignore[no-untyped-call]
    return found


def score_slates(
    queries: Tensor, weights: Tensor, table: Tensor, scaled: Tensor, rows: Tensor, none: int = 0
) -> Tensor:
    """Scores (B, H, K) of few items by their whole vectors, minus infinity for none; differentiable in the first two.

    Parameters
    ----------
    queries
        (B, H, E), with whose inner product with the item's vector the score begins.
    weights
        (B, H, F + 1) of the features, and a constant last.
    table
        (N, E) vectors.
    scaled
        (B, K, F) features in standard deviations.
    rows, none
        (B, K) int64 rows of the table, and the row that stands for no item; −1 where all do for one.
    """
    found: Tensor = _SlateScores.apply(queries, weights, table, scaled, rows, none)  # type: ignore[no-untyped-call]
    return found


def scale_rows(state: Tensor, mean: Tensor, scale: tuple[Tensor, Tensor, float]) -> Tensor:
    """States (B, S) in standard deviations, and beside them `mean` (B, F) as it is: (B, S + F), without gradients."""
    middle, spread, clip = scale
    out = torch.empty(len(state), state.shape[1] + mean.shape[1], dtype=state.dtype)
    _scale_all(*_read(state, middle, spread), clip, out.numpy())
    out[:, state.shape[1] :] = mean
    return out


def average_candidates(items: Tensor, ids: Tensor, scale: tuple[Tensor, Tensor, float]) -> Tensor:
    """Mean features (B, F) of the candidates, in standard deviations; parameters are those of `score_candidates`."""
    mean, spread, clip = scale
    out = torch.empty(len(items), items.shape[2], dtype=items.dtype)
    _average_all(*_read(items, ids, mean, 1.0 / spread), clip, out.numpy())
    return out


def _read(*tensors: Tensor) -> Any:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


class _CandidateScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, users: Tensor, places: Tensor, items: Tensor, ids: Tensor, *scale: Any
    ) -> Tensor:
        mean, spread, ctx.clip = scale
        given = (weights, users, places, items, ids, mean, 1.0 / spread)
        ctx.save_for_backward(*given)
        out = torch.empty(len(items), weights.shape[1], items.shape[1], dtype=items.dtype)
        _score_all(*_read(*given), ctx.clip, out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        given = ctx.saved_tensors
        found = tuple(torch.zeros_like(part, memory_format=torch.contiguous_format) for part in given[:3])
        _pass_back_scores(*_read(*given), ctx.clip, *_read(gradient, *found))
        return (*found, None, None, None, None, None)


class _SlateScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, weights: Tensor, table: Tensor, scaled: Tensor, rows: Tensor, none: int
    ) -> Tensor:
        ctx.save_for_backward(table, scaled, rows)
        ctx.none = none
        out = torch.empty(*queries.shape[:2], rows.shape[1], dtype=queries.dtype)
        _score_few(*_read(queries, weights, table, scaled, rows), none, out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        table, scaled, rows = ctx.saved_tensors
        shape, kind = gradient.shape[:2], gradient.dtype
        found = tuple(torch.zeros(*shape, n, dtype=kind) for n in (table.shape[1], scaled.shape[2] + 1))
        _pass_back_few(*_read(gradient, table, scaled, rows), ctx.none, *_read(*found))
        return (*found, None, None, None, None)


@njit(nogil=True, fastmath=True)
def _standardise(items: np.ndarray, mean: np.ndarray, inverse: np.ndarray, clip: float, out: np.ndarray) -> None:
    """Features (M, F) in standard deviations, turned round: (F, M)."""
    limit = mean.dtype.type(clip)
    for f in range(len(mean)):
        for m in range(len(items)):
            out[f, m] = min(max((items[m, f] - mean[f]) * inverse[f], -limit), limit)


@njit(nogil=True, fastmath=True)
def _multiply(a: np.ndarray, b: np.ndarray) -> Any:
    total = a.dtype.type(0.0)
    for e in range(len(a)):
        total += a[e] * b[e]
    return total


@njit(nogil=True, fastmath=True)
def _add_multiple(factor: float, a: np.ndarray, out: np.ndarray) -> None:
    for e in range(len(a)):
        out[e] += factor * a[e]


@loop
def _scale_all(state: np.ndarray, mean: np.ndarray, spread: np.ndarray, clip: float, out: np.ndarray) -> None:
    limit = state.dtype.type(clip)
    for b in range(len(state)):
        for s in range(state.shape[1]):
            out[b, s] = min(max((state[b, s] - mean[s]) / spread[s], -limit), limit)


@loop
def _average_all(
    items: np.ndarray, ids: np.ndarray, mean: np.ndarray, inverse: np.ndarray, clip: float, out: np.ndarray
) -> None:
    z = np.empty((items.shape[2], items.shape[1]), items.dtype)
    real = np.empty(items.shape[1], items.dtype)
    for b in range(len(items)):
        count = 0
        for m in range(len(real)):
            real[m] = ids[b, m] > 0
            count += ids[b, m] > 0
        _standardise(items[b], mean, inverse, clip, z)
        for f in range(len(z)):
            out[b, f] = _multiply(z[f], real) / max(count, 1)


@loop
def _score_all(
    weights: np.ndarray,
    users: np.ndarray,
    places: np.ndarray,
    items: np.ndarray,
    ids: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    clip: float,
    out: np.ndarray,
) -> None:
    width = items.shape[2]
    z = np.empty((width, items.shape[1]), items.dtype)
    for b in range(len(items)):
        _standardise(items[b], mean, inverse, clip, z)
        for h in range(weights.shape[1]):
            out[b, h] = weights[b, h, width]
            for f in range(width):
                _add_multiple(weights[b, h, f], z[f], out[b, h])
        for m in range(items.shape[1]):
            item = ids[b, m]
            for h in range(weights.shape[1]):
                if item > 0:
                    out[b, h, m] += _multiply(users[b, h], places[item])
                else:
                    out[b, h, m] = -np.inf


@loop
def _pass_back_scores(
    weights: np.ndarray,
    users: np.ndarray,
    places: np.ndarray,
    items: np.ndarray,
    ids: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    clip: float,
    gradient: np.ndarray,
    to_weights: np.ndarray,
    to_users: np.ndarray,
    to_places: np.ndarray,
) -> None:
    width = items.shape[2]
    z = np.empty((width, items.shape[1]), items.dtype)
    push = np.empty(items.shape[1], items.dtype)
    ones = np.ones(items.shape[1], items.dtype)
    for b in range(len(items)):
        _standardise(items[b], mean, inverse, clip, z)
        for h in range(weights.shape[1]):
            for m in range(len(push)):
                push[m] = gradient[b, h, m] if ids[b, m] > 0 else 0.0
            for f in range(width):
                to_weights[b, h, f] = _multiply(push, z[f])
            to_weights[b, h, width] = _multiply(push, ones)
            for m in range(len(push)):
                if push[m] != 0.0:
                    _add_multiple(push[m], places[ids[b, m]], to_users[b, h])
                    _add_multiple(push[m], users[b, h], to_places[ids[b, m]])


@loop
def _score_few(
    queries: np.ndarray,
    weights: np.ndarray,
    table: np.ndarray,
    scaled: np.ndarray,
    rows: np.ndarray,
    none: int,
    out: np.ndarray,
) -> None:
    width = scaled.shape[2]
    for b in range(len(rows)):
        for k in range(rows.shape[1]):
            for h in range(queries.shape[1]):
                out[b, h, k] = -np.inf
                if rows[b, k] != none:
                    score = _multiply(queries[b, h], table[rows[b, k]]) + weights[b, h, width]
                    out[b, h, k] = score + _multiply(weights[b, h, :width], scaled[b, k])


@loop
def _pass_back_few(
    gradient: np.ndarray,
    table: np.ndarray,
    scaled: np.ndarray,
    rows: np.ndarray,
    none: int,
    to_queries: np.ndarray,
    to_weights: np.ndarray,
) -> None:
    width = scaled.shape[2]
    for b in range(len(rows)):
        for k in range(rows.shape[1]):
            for h in range(gradient.shape[1]):
                push = gradient[b, h, k]
                if rows[b, k] != none and push != 0.0:  # of minutes, only that of what was chosen is not 0
                    _add_multiple(push, table[rows[b, k]], to_queries[b, h])
                    _add_multiple(push, scaled[b, k], to_weights[b, h, :width])
                    to_weights[b, h, width] += push
