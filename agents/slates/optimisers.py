"""Slates of most value under the logit, each click being worth what it gains over no click.

With the weights ``w_k = p_k e_i`` of the items shown and 1 for no click, a slate's value is ``Q(∅) + Σ_k w_k g_k / (1 +
Σ_k w_k)``, ``g_i = Q̄(i) − Q̄(∅)``, as a constant added to all Q̄ moves every slate alike. Unlike the rewards of
`longplay.agents.references.best_slates`, gains may be negative: a click may cost more later than it pays now.
"""

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.compiled import loop

TOP, GREEDY, EXACT = 0, 1, 2
OPTIMISERS = {"top-k": TOP, "greedy": GREEDY, "exact": EXACT}
ROUNDS = 50  # Dinkelbach's ratio settles in a few

Floats = NDArray[np.float64]


def find_best_slates(
    pull: Floats,
    gain: Floats,
    position: Floats,
    *,
    late: NDArray[np.bool_] | None = None,
    topic: NDArray[np.integer] | None = None,
    method: str = "exact",
    fill: bool = True,
    variety: float = 0.0,
) -> NDArray[np.int64]:
    """Columns (B, K) of the items to show, −1 for an empty slot; row b depends on row b alone.

    ``"top-k"`` takes the largest ``e_i g_i``. ``"greedy"`` fills one slot after the other, the most looked at first,
    with the item that adds most. ``"exact"`` is Dinkelbach's method (1967): for a ratio λ the best assignment puts
    the largest ``e_i (g_i − λ)`` where one looks most, and its own ratio is the next λ. Filled or not, it is exact
    without `variety`.

    Parameters
    ----------
    pull
        (B, M) choice weights ``e_i > 0`` in the first slot; 0 for no candidate.
    gain
        (B, M) values of a click less that of none; of either sign.
    position
        (K,) weights p > 0 of the slots.
    late
        (B, M) items that are shown only when no other is left.
    topic
        (B, M) main topic of each item, from 0 on; needed for `variety`.
    method
        Of `OPTIMISERS`.
    fill
        Show something in every slot as long as there are candidates; otherwise only what adds value.
    variety
        For each item of the same main topic above it an item's pull is multiplied by ``e^{−variety}``: the choice
        model takes items to appeal independently, while a user who passes one of a topic will rather pass the next.
    """
    late = np.zeros(pull.shape, bool) if late is None else late
    apart = method != "greedy" and variety == 0.0  # an item's worth does not hang on what is shown above it
    if apart or topic is None:
        topic = np.zeros((len(pull), 0 if apart else pull.shape[1]), np.int64)
    out = np.full((len(pull), len(position)), -1, np.int64)
    order = np.argsort(-position, kind="stable")
    gain = np.where(pull > 0, gain, 0.0)
    _best_all(
        pull,
        gain,
        late,
        topic.astype(np.int64, copy=False),
        position,
        order,
        OPTIMISERS[method],
        apart,
        fill,
        np.exp(-variety),
        out,
    )
    return out


@loop
def _best_all(
    pull: np.ndarray,
    gain: np.ndarray,
    late: np.ndarray,
    topic: np.ndarray,
    position: np.ndarray,
    order: np.ndarray,
    method: int,
    apart: bool,
    fill: bool,
    kept: float,
    out: np.ndarray,
) -> None:
    taken = np.zeros(pull.shape[1], np.bool_)
    used = np.zeros(int(topic.max()) + 1 if topic.size else 1, np.int64)
    slate = np.full(len(position), -1, np.int64)
    most = np.empty(len(position))
    for b in range(len(pull)):
        rounds = ROUNDS if method == EXACT else 0
        best = 0.0
        for k in range(rounds + 1):
            if apart:
                ratio = _assign_apart(pull[b], gain[b], late[b], position, order, fill, best, most, slate)
            else:
                ratio = _assign(
                    pull[b], gain[b], late[b], topic[b], position, order, method, fill, kept, best, taken, used, slate
                )
            if k > 0 and ratio <= best + 1e-12 * abs(best):
                break
            best = ratio
            out[b] = slate


@loop
def _assign_apart(
    pull: np.ndarray,
    gain: np.ndarray,
    late: np.ndarray,
    position: np.ndarray,
    order: np.ndarray,
    fill: bool,
    price: float,
    most: np.ndarray,
    slate: np.ndarray,
) -> float:
    """`_assign` where values are each item's own: the largest take the slots in turn, so one pass finds them all.

    What falls below the K largest met so far can be in no slot: K items with larger values would come before it. So it
    is passed by, and the slate is that of K searches through all candidates, ties included.
    """
    slots, held, first = len(order), 0, 0
    slate[:] = -1
    for turn in range(2):  # those that are shown late follow all others
        first = held
        for m in range(len(pull)):
            if pull[m] <= 0.0 or late[m] != (turn == 1):
                continue
            value = pull[m] * (gain[m] - price)
            if held == slots and (first == slots or not value > most[slots - 1]):
                continue
            at = held if held < slots else slots - 1
            while at > first and value > most[at - 1]:
                most[at] = most[at - 1]
                slate[order[at]] = slate[order[at - 1]]
                at -= 1
            most[at] = value
            slate[order[at]] = m
            held = min(held + 1, slots)
    worth, weight = 0.0, 1.0
    for k in range(slots):
        m = slate[order[k]]
        if m < 0 or (most[k] <= 0.0 and not fill):
            for empty in range(k, slots):
                slate[order[empty]] = -1
            break
        e = position[order[k]] * pull[m]
        worth += e * gain[m]
        weight += e
    return worth / weight


@loop
def _assign(
    pull: np.ndarray,
    gain: np.ndarray,
    late: np.ndarray,
    topic: np.ndarray,
    position: np.ndarray,
    order: np.ndarray,
    method: int,
    fill: bool,
    kept: float,
    price: float,
    taken: np.ndarray,
    used: np.ndarray,
    slate: np.ndarray,
) -> float:
    """Fill a slate for a price of attention; returns what it gains."""
    taken[:] = False
    used[:] = 0
    slate[:] = -1
    worth, weight = 0.0, 1.0
    for slot in order:
        best, most, is_late = -1, -np.inf, True
        for m in range(len(pull)):
            if taken[m] or pull[m] <= 0.0 or (late[m] and not is_late):
                continue
            e = pull[m] * kept ** used[topic[m]] if kept < 1.0 else pull[m]
            if method == GREEDY:
                e *= position[slot]
                value = (worth + e * gain[m]) / (weight + e) - worth / weight
            else:
                value = e * (gain[m] - price)
                if value < 0.0 and kept < 1.0:  # a repeat must not cost less for being looked at less
                    value = pull[m] * (gain[m] - price) / kept ** used[topic[m]]
            if value > most or (is_late and not late[m]):
                best, most, is_late = m, value, late[m]
        if best < 0 or (most <= 0.0 and not fill):
            break
        taken[best] = True
        slate[slot] = best
        e = position[slot] * pull[best] * kept ** used[topic[best]]
        worth += e * gain[best]
        weight += e
        used[topic[best]] += 1
    return worth / weight
