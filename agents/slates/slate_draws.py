"""Plackett–Luce slates by compiled passes: the draws and the log-probabilities of `plackett_luce`, for learners.

The same draws, from the same noise; sums run in another order, so log-probabilities agree to rounding. Gradients are
written out: ``∂ log π_k/∂s_j`` is 1 at the slot's own item less the chance ``e^{s_j} / mass_k`` of each item that was
left, and ``∂H/∂s_j = −p_j (log p_j + H)``.
"""

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...envs.shared.compiled import loop
from .plackett_luce import NEVER, draw_gumbel

BLOCK = 16  # users whose thousands of weights stay in the processor's cache
SAFE = {"reassoc", "contract", "nsz"}  # sums in any order, while infinities and what is no number keep their meaning


def draw_largest(scores: Tensor, slots: int, torch_rng: torch.Generator | None = None) -> Tensor:
    """Slates (B, K) at random: `plackett_luce.draw`, but for the order of columns that are never drawn.

    Raises
    ------
    ValueError
        If there are fewer columns than slots.
    """
    if scores.shape[1] < slots:
        raise ValueError(f"{slots} slots need as many candidates, got {scores.shape[1]}: give more candidates")
    keys = draw_gumbel(scores, torch_rng).add_(scores)
    out = np.empty((len(keys), slots), np.int64)
    _take_all(keys.numpy(), out)
    return torch.from_numpy(out)


def draw_among_many(scores: Tensor, slots: int, torch_rng: torch.Generator) -> tuple[Tensor, Tensor] | None:
    """Slates (B, K) of thousands of columns, and log-probabilities (B, K) of each slot given those above.

    The draws of `plackett_luce.draw_one_by_one`, by the same random numbers; None where fewer than `slots` columns have
    a weight in some row.
    """
    before = torch_rng.get_state()
    count = len(scores)
    chance = torch.stack([torch.rand(count, generator=torch_rng) for _ in range(2 * slots)])
    columns = np.empty((count, slots), np.int64)
    logs = np.empty((count, slots), np.float32)
    size = math.ceil(math.sqrt(scores.shape[1]))
    drawn = slots
    for first in range(0, count, BLOCK):
        rows = slice(first, first + BLOCK)
        weights = (scores[rows] - scores[rows].amax(dim=1, keepdim=True)).exp_()
        drawn = min(_draw_all(weights.numpy(), chance[:, rows].numpy(), size, columns[rows], logs[rows]), drawn)
    if drawn < slots:
        torch_rng.set_state(before)
        torch.rand(2 * drawn * count, generator=torch_rng)
        return None
    return torch.from_numpy(columns), torch.from_numpy(logs)


def log_slots(scores: Tensor, columns: Tensor) -> Tensor:
    """(B, K) log-probabilities of each slot's item given those above: `plackett_luce.slot_log_probabilities`."""
    return log_slates(scores, columns)[0]


def log_slates(scores: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B, K) of slots given those above, and the entropy (B,) [nats] of the first; differentiable.

    Parameters
    ----------
    scores
        (B, M); minus infinity where there is no candidate, which has log-probability 0 in a slate.
    columns
        (B, K), none twice.
    """
    logs, entropy = _SlateLogs.apply(scores, columns)  # type: ignore[no-untyped-call]
    return logs, entropy


class _SlateLogs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        scores, columns = scores.detach().contiguous(), columns.contiguous()
        most = torch.empty(len(scores), dtype=scores.dtype)
        _find_most_left(scores.numpy(), columns.numpy(), most.numpy())
        weights = (scores - most[:, None]).exp_()  # of what is left; those of the slate are not read
        logs = torch.empty(columns.shape, dtype=scores.dtype)
        mass, entropy = torch.empty_like(logs), torch.empty_like(most)
        _log_all(*_read(scores, columns, most, weights, logs, mass, entropy))
        ctx.save_for_backward(scores, columns, most, weights, mass, entropy)
        return logs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_logs: Tensor, to_entropy: Tensor) -> tuple[Tensor, None]:
        out = torch.empty_like(ctx.saved_tensors[0])
        _pass_back_logs(*_read(*ctx.saved_tensors, to_logs, to_entropy, out))
        return out, None


def _read(*tensors: Tensor) -> Any:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


@loop
def _take_all(keys: np.ndarray, out: np.ndarray) -> None:
    """Columns of the largest keys of each row, largest first; of equal ones the first."""
    slots = out.shape[1]
    best = np.empty(slots, keys.dtype)
    for b in range(len(keys)):
        held = 0
        for m in range(keys.shape[1]):
            key = keys[b, m]
            if held == slots and not key > best[slots - 1]:
                continue
            at = held if held < slots else slots - 1
            while at > 0 and key > best[at - 1]:
                best[at] = best[at - 1]
                out[b, at] = out[b, at - 1]
                at -= 1
            best[at] = key
            out[b, at] = m
            held = min(held + 1, slots)


@njit(nogil=True, fastmath=SAFE)
def _add_up(weights: np.ndarray) -> float:
    total = 0.0
    for m in range(len(weights)):
        total += weights[m]
    return total


@njit(nogil=True)
def _pick(weights: np.ndarray, chance: float) -> int:
    """A column, each as likely as it weighs; −1 where nothing weighs anything."""
    total = 0.0
    for m in range(len(weights)):
        total += weights[m]
    at = chance * total
    edge = 0.0
    last = -1
    for m in range(len(weights)):
        if weights[m] > 0.0:
            edge += weights[m]
            last = m
            if edge > at:
                break
    return last


@loop
def _draw_all(weights: np.ndarray, chance: np.ndarray, size: int, columns: np.ndarray, logs: np.ndarray) -> Any:
    """Draws slot by slot, of a block by its mass and of a column of it; what was drawn loses its weight.

    Returns how many slots could be filled in all rows.
    """
    slots = columns.shape[1]
    masses = np.empty((weights.shape[1] + size - 1) // size)
    drawn = np.empty(slots)
    filled = slots
    for b in range(len(weights)):
        row = weights[b]
        for i in range(len(masses)):
            masses[i] = _add_up(row[i * size : (i + 1) * size])
        for k in range(filled):
            block = _pick(masses, chance[2 * k, b])
            if block < 0:
                filled = k
                break
            first = block * size
            column = first + _pick(row[first : first + size], chance[2 * k + 1, b])
            columns[b, k] = column
            drawn[k] = row[column]
            row[column] = 0.0
            masses[block] = _add_up(row[first : first + size])
        if filled == slots:
            total = _add_up(masses)
            for k in range(slots - 1, -1, -1):
                total += drawn[k]
                logs[b, k] = np.log(drawn[k] / total)
    return filled


@loop
def _find_most_left(scores: np.ndarray, columns: np.ndarray, most: np.ndarray) -> None:
    """The largest score of each row that is not of the slate; 0 where none is left."""
    kept = np.empty(columns.shape[1], scores.dtype)
    for b in range(len(scores)):
        row = scores[b]
        for k in range(len(kept)):
            kept[k] = row[columns[b, k]]
        for k in range(len(kept)):
            row[columns[b, k]] = -np.inf
        most[b] = _find_largest(row)
        if most[b] <= NEVER:
            most[b] = 0.0
        for k in range(len(kept)):
            row[columns[b, k]] = kept[k]


@njit(nogil=True, fastmath={"nnan", "nsz"})
def _find_largest(row: np.ndarray) -> Any:
    largest = row[0]
    for m in range(len(row)):
        largest = row[m] if row[m] > largest else largest
    return largest


@njit(nogil=True, fastmath=SAFE)
def _add_products(weights: np.ndarray, scores: np.ndarray) -> float:
    least = scores.dtype.type(NEVER)
    total = 0.0
    for m in range(len(weights)):
        total += weights[m] * (scores[m] if scores[m] > least else least)
    return total


@loop
def _log_all(
    scores: np.ndarray,
    columns: np.ndarray,
    most: np.ndarray,
    weights: np.ndarray,
    logs: np.ndarray,
    mass: np.ndarray,
    entropy: np.ndarray,
) -> None:
    """From the last slot back, so that nothing is ever subtracted; `weights` of the slate become 0."""
    for b in range(len(scores)):
        for k in range(columns.shape[1]):
            weights[b, columns[b, k]] = 0.0
        rest = _add_up(weights[b])
        whole = most[b] + np.log(rest) if rest > 0.0 else -np.inf
        mean = _add_products(weights[b], scores[b]) / rest if rest > 0.0 else 0.0
        for k in range(columns.shape[1] - 1, -1, -1):
            score = float(scores[b, columns[b, k]])
            logs[b, k] = 0.0
            if score > NEVER:
                before, larger = whole, max(whole, score)
                whole = larger + np.log(np.exp(before - larger) + np.exp(score - larger))
                mean = np.exp(before - whole) * mean + np.exp(score - whole) * score
                logs[b, k] = score - whole
            mass[b, k] = whole
        entropy[b] = whole - mean if whole > NEVER else np.log(scores.shape[1])


@njit(nogil=True, fastmath=SAFE)
def _pass_back_rest(
    weights: np.ndarray, scores: np.ndarray, level: float, slope: float, centre: float, out: np.ndarray
) -> None:
    """``w_m (level + slope (s_m − centre))`` into `out`."""
    kind = scores.dtype.type
    least, level, slope, centre = kind(NEVER), kind(level), kind(slope), kind(centre)
    for m in range(len(weights)):
        out[m] = weights[m] * (level + slope * ((scores[m] if scores[m] > least else least) - centre))


@loop
def _pass_back_logs(
    scores: np.ndarray,
    columns: np.ndarray,
    most: np.ndarray,
    weights: np.ndarray,
    mass: np.ndarray,
    entropy: np.ndarray,
    to_logs: np.ndarray,
    to_entropy: np.ndarray,
    out: np.ndarray,
) -> None:
    slots = columns.shape[1]
    for b in range(len(scores)):
        whole = mass[b, 0]
        if not whole > NEVER:  # no candidate at all
            out[b] = 0.0
            continue
        centre = whole - entropy[b]
        level = 0.0
        for k in range(slots):
            if scores[b, columns[b, k]] > NEVER:
                level -= to_logs[b, k] * np.exp(min(most[b] - mass[b, k], 0.0))
        slope = -to_entropy[b] * np.exp(min(most[b] - whole, 0.0))
        _pass_back_rest(weights[b], scores[b], level, slope, centre, out[b])
        for i in range(slots):
            score = scores[b, columns[b, i]]
            found = 0.0
            if score > NEVER:
                found = to_logs[b, i] - to_entropy[b] * np.exp(score - whole) * (score - centre)
                for k in range(i + 1):
                    if scores[b, columns[b, k]] > NEVER:
                        found -= to_logs[b, k] * np.exp(score - mass[b, k])
            out[b, columns[b, i]] = found
