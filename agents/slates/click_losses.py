"""Losses of models of what is chosen from slates and for how long, with gradients, in one compiled pass.

An item's vector is read once for its score, the losses and the gradient, which is most of what such a model costs where
vectors are long and few items of each user are scored.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...envs.shared.compiled import loop

Gradients = tuple[Tensor | None, ...]


class Shown(NamedTuple):
    """Slates of K items for each of B users, and what came of them.

    Attributes
    ----------
    scaled
        (B, K, F) features of the items.
    rows
        (B, K) int64 rows of the table of vectors.
    none
        The row that stands for no item, −1 where all do for one.
    choice
        (B,) int64 slot chosen, −1 for none.
    minutes
        (B,) minutes of what was chosen.
    """

    scaled: Tensor
    rows: Tensor
    none: int
    choice: Tensor
    minutes: Tensor


def compute_click_losses(
    queries: Tensor, weights: Tensor, own: Tensor, position: Tensor, table: Tensor, shown: Shown
) -> tuple[Tensor, Tensor]:
    """Mean losses of choices and of minutes: differentiable in the first four.

    With the scores ``s_h(k) = ⟨q_h, v_k⟩ + ⟨w_h, z_k⟩ + c_h + own_h(k)`` of two heads, the logit of a slot is its first
    score and what `position` adds, that of no choice is 0, and the loss of the choice the negative log-likelihood. The
    second score is the logarithm of the mean minutes, whose loss ``s + y e^{−s}`` is counted where something was chosen
    (`gamma_deviance`).

    Parameters
    ----------
    queries, weights
        (B, 2, E), and (B, 2, F + 1) with the constant last.
    own
        (2, N) of each row of the table, or (2, 0) for none.
    position
        (K,) of the slots.
    table
        (N, E) vectors.
    """
    found = _ClickLosses.apply(queries, weights, own, position, table, *shown)  # type: ignore[no-untyped-call]
    return found[0], found[1]


class _ClickLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        moving = given[:4]
        gradients = [torch.zeros_like(part, memory_format=torch.contiguous_format) for part in moving]
        losses = np.zeros(2)
        arrays = [part.detach().contiguous().numpy() if isinstance(part, Tensor) else part for part in given]
        _lose_all(*arrays, *(part.numpy() for part in gradients), losses)
        ctx.save_for_backward(*gradients)
        return tuple(torch.tensor(loss, dtype=given[0].dtype) for loss in losses)  # type: ignore[return-value]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_choice: Tensor, to_minutes: Tensor) -> Gradients:
        queries, weights, own, position = ctx.saved_tensors
        by_head = torch.stack([to_choice, to_minutes])  # each head has one loss
        if (by_head != 1.0).any():
            queries, weights, own = queries * by_head[:, None], weights * by_head[:, None], own * by_head[:, None]
            position = position * to_choice
        return queries, weights, own, position, *(None,) * 6


# A loop is kept on disk with the functions of its own file: one of another file could change without its notice.
@njit(nogil=True, fastmath=True)
def _multiply(a: np.ndarray, b: np.ndarray) -> Any:
    total = a.dtype.type(0.0)
    for e in range(len(a)):
        total += a[e] * b[e]
    return total


@njit(nogil=True, fastmath=True)
def _add_multiple(factor: float, a: np.ndarray, out: np.ndarray) -> None:
    exact = out.dtype.type(factor)
    for e in range(len(a)):
        out[e] += exact * a[e]


@njit(nogil=True)
def _score(
    query: np.ndarray, weights: np.ndarray, own: np.ndarray, vector: np.ndarray, z: np.ndarray, row: int
) -> float:
    width = len(z)
    score = float(_multiply(query, vector) + _multiply(weights[:width], z) + weights[width])
    return score + own[row] if len(own) > 0 else score


@njit(nogil=True)
def _push(
    by: float,
    vector: np.ndarray,
    z: np.ndarray,
    row: int,
    to_query: np.ndarray,
    to_weights: np.ndarray,
    to_own: np.ndarray,
) -> None:
    _add_multiple(by, vector, to_query)
    _add_multiple(by, z, to_weights[: len(z)])
    to_weights[len(z)] += by
    if len(to_own) > 0:
        to_own[row] += by


@loop
def _lose_all(
    queries: np.ndarray,
    weights: np.ndarray,
    own: np.ndarray,
    position: np.ndarray,
    table: np.ndarray,
    scaled: np.ndarray,
    rows: np.ndarray,
    none: int,
    choice: np.ndarray,
    minutes: np.ndarray,
    to_queries: np.ndarray,
    to_weights: np.ndarray,
    to_own: np.ndarray,
    to_position: np.ndarray,
    losses: np.ndarray,
) -> None:
    count, slots = rows.shape
    logits = np.empty(slots)
    for b in range(count):
        largest = 0.0  # of no choice
        for k in range(slots):
            row = rows[b, k]
            logits[k] = -np.inf
            if row != none:
                score = _score(queries[b, 0], weights[b, 0], own[0], table[row], scaled[b, k], row)
                logits[k] = score + position[k]
                largest = max(largest, logits[k])
        mass = np.exp(-largest)
        for k in range(slots):
            mass += np.exp(logits[k] - largest)
        chosen = choice[b]
        losses[0] += (largest + np.log(mass) - (logits[chosen] if chosen >= 0 else 0.0)) / count
        for k in range(slots):
            row = rows[b, k]
            if row != none:
                by = (np.exp(logits[k] - largest) / mass - (1.0 if k == chosen else 0.0)) / count
                _push(by, table[row], scaled[b, k], row, to_queries[b, 0], to_weights[b, 0], to_own[0])
                to_position[k] += by
        if chosen >= 0 and rows[b, chosen] != none:
            row = rows[b, chosen]
            score = _score(queries[b, 1], weights[b, 1], own[1], table[row], scaled[b, chosen], row)
            relative = minutes[b] * np.exp(-score)
            losses[1] += (score + relative) / count
            by = (1.0 - relative) / count
            _push(by, table[row], scaled[b, chosen], row, to_queries[b, 1], to_weights[b, 1], to_own[1])
