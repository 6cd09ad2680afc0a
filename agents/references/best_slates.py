"""The slate with the most expected reward now, for each choice model, given each item's pull and reward.

Everywhere: B users, M candidates, K slots. ``pull`` (B, M) is the choice weight of an item before the slot counts, 0
for no item; ``reward`` (B, M) what a click on it is expected to pay, at least 0; ``position`` (K,) how far each slot is
looked at; ``nothing`` (B, 1) the weight of no click. Each function returns columns, (B, K) or (B, M) of fewer items,
best position first, −1 for a slot better left empty.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = NDArray[np.int64]

ROUNDS = 50  # Dinkelbach's ratio settles in a few
PRICES = 32  # tried by `find_best_by_position`


def _assign(gain: Floats, slots: int) -> Columns:
    """Columns of the largest gains, largest first; −1 where the gain is not positive."""
    best = np.argsort(-gain, axis=1, kind="stable")[:, :slots].astype(np.int64)
    return np.where(np.take_along_axis(gain, best, axis=1) > 0, best, -1)


def _at(values: Floats, columns: Columns) -> Floats:
    """(B, K) values of the columns, 0 for −1."""
    return np.where(columns >= 0, np.take_along_axis(values, np.maximum(columns, 0), axis=1), 0.0)


def find_best_by_logit(pull: Floats, reward: Floats, position: Floats, nothing: Floats) -> Columns:
    """Maximise ``Σ w_k r_k / (w_0 + Σ w_k)`` with ``w_k = p_k e_k``, exactly.

    Dinkelbach (1967): for a given ratio λ the best assignment puts the largest ``e_i(r_i − λ)`` in the slots with the
    largest p_k (rearrangement inequality) and nothing where that is negative; its ratio is the next λ.
    """
    ratio = np.zeros((len(pull), 1))
    best = _assign(pull * reward, len(position))
    for _ in range(ROUNDS):
        shown = position[: best.shape[1]] * _at(pull, best)
        new = (shown * _at(reward, best)).sum(axis=1)[:, None] / (nothing + shown.sum(axis=1)[:, None])
        if np.allclose(new, ratio, rtol=1e-13, atol=0):
            break
        ratio = new
        best = _assign(pull * (reward - ratio), len(position))
    return best


def find_best_by_cascade(pull: Floats, reward: Floats, position: Floats, nothing: Floats) -> Columns:
    """Maximise ``Σ_k ρ^k Π_{j<k}(1 − a_j) a_k r_k`` with ``a = e/(w_0 + e)``, exactly.

    Of two neighbours the one with the larger ``a r/(1 − ρ(1 − a))`` stands above (exchange argument, Kempe and Mahdian,
    2008); along that order, which items to show is a dynamic programme over items and slots left.
    """
    taken = pull / (nothing + pull)
    onward = position[1] / position[0] if len(position) > 1 else 1.0
    index = taken * reward / np.maximum(1.0 - onward * (1.0 - taken), 1e-300)
    order = np.argsort(-index, axis=1, kind="stable")
    a, r = np.take_along_axis(taken, order, axis=1), np.take_along_axis(reward, order, axis=1)
    users, items, slots = len(pull), pull.shape[1], len(position)
    value = np.zeros((users, slots + 1))  # of the items from i on, by slots left
    shows = np.zeros((items, users, slots + 1), bool)
    for i in range(items - 1, -1, -1):
        shown = (a[:, i] * r[:, i])[:, None] + onward * (1.0 - a[:, i])[:, None] * value[:, :-1]
        shows[i, :, 1:] = shown > value[:, 1:]
        value[:, 1:] = np.maximum(value[:, 1:], shown)
    best = np.full((users, slots), -1, np.int64)
    left, every = np.full(users, slots), np.arange(users)
    for i in range(items):
        here = shows[i, every, left]
        best[every[here], (slots - left)[here]] = order[here, i]
        left = left - here
    return best


def find_best_by_position(pull: Floats, reward: Floats, position: Floats, nothing: Floats) -> Columns:
    """Maximise ``R/h(S)``, ``h(S) = S/(1 − e^{−S})``, ``S = Σ p_k a_k``, ``R = Σ p_k a_k r_k``, ``a = e/(w_0 + e)``.

    For a price λ of attention the best assignment puts the largest ``a_i(r_i − λ)`` first. The best over a grid of
    prices is returned: exact where all clicks pay the same, else the best of the slates that some price of the grid
    supports. The price that supports a slate of value V is ``V h'(S)``, and ``1/2 ≤ h' ≤ 1``: so a second grid is from
    V/2 to V. Of 24 000 random cases with up to 5 items and 3 slots, 7 in 10 000 fell short of brute force, by 0.3 % at
    most.
    """
    taken = pull / (nothing + pull)
    best, most = np.full((len(pull), min(len(position), pull.shape[1])), -1, np.int64), np.full(len(pull), -1.0)
    low, high = np.zeros((len(pull), 1)), reward.max(axis=1, keepdims=True)
    for _ in range(2):
        for share in np.linspace(0.0, 1.0, PRICES):
            columns = _assign(taken * (reward - low - share * (high - low)), len(position))
            rate = position[: columns.shape[1]] * _at(taken, columns)
            total = rate.sum(axis=1)
            crowding = -np.expm1(-total) / np.maximum(total, 1e-300)
            value = (rate * _at(reward, columns)).sum(axis=1) * crowding
            better = value > most
            best[better], most[better] = columns[better], value[better]
        low, high = most[:, None] / 2, most[:, None]
    return best


BEST = {"logit": find_best_by_logit, "cascade": find_best_by_cascade, "position": find_best_by_position}
