"""What a user remembers of items: how often each was seen and ignored, and when it was consumed.

The memory has a fixed number of places, ``impression.memory``, in rows of `WAYS`; an item's row follows from its
number. An entry that finds its row full takes the place of the one that has faded most. Counts fade by themselves:
they are kept with the time they were last touched, and what is left of them is computed when it is asked for, so that
any split of the time between gives the same.

Sources: Li, Lakshmanan, Tiwari, Shah, "Modeling impression discounting in large-scale recommender systems", KDD 2014:
the chance of a click falls with the number of ignored impressions and rises again with the time since the last.
"""

import math

import numpy as np
from numba import njit

from .records import WAYS, Record

NEVER = -1e9  # the clock when an item was consumed that has not been [days]
NOWHERE = -1


@njit(inline="always")
def choose_row(user: Record, item: int) -> int:
    """Row of the memory where the item is, if it is anywhere: by the high bits of a product with 2³²/φ (Knuth)."""
    return int((((np.int64(item) * 2654435761) & 0xFFFFFFFF) >> 8) % len(user.memory_item))


@njit
def find_way(user: Record, row: int, item: int) -> int:
    """Place of the item in its row, or NOWHERE."""
    for way in range(WAYS):
        if user.memory_item[row, way] == item:
            return way
    return NOWHERE


@njit
def recall_ignored(p: Record, user: Record, row: int, way: int) -> float:
    """What is left of an entry's count of ignored impressions: ``n·exp(−Δt/τ)``."""
    days = max(user.clock - np.float64(user.memory_touched[row, way]), 0.0)  # kept in fewer digits than the clock
    return np.float64(user.memory_ignored[row, way]) * math.exp(-days / p.impression_recovery)


@njit
def recall_consumed(p: Record, user: Record, row: int, way: int) -> float:
    """How well an entry's item is remembered as consumed: ``exp(−Δt/τ)``, 0 if it never was."""
    if p.repeat_recovery == 0.0:
        return 0.0
    days = max(user.clock - np.float64(user.memory_consumed[row, way]), 0.0)
    return math.exp(-days / p.repeat_recovery)


@njit
def weigh_ignored(p: Record, user: Record, item: int) -> float:
    """What ignored impressions take off the logarithm of an item's pull: ``η·ln(1 + n·exp(−Δt/τ))``."""
    if p.impression_weight == 0.0:
        return 0.0
    row = choose_row(user, item)
    way = find_way(user, row, item)
    return 0.0 if way == NOWHERE else p.impression_weight * math.log1p(recall_ignored(p, user, row, way))


@njit
def weigh_consumed(p: Record, user: Record, item: int) -> float:
    """How much of the penalty for a repeat an item meets, where what was consumed is forgotten by and by."""
    row = choose_row(user, item)
    way = find_way(user, row, item)
    return 0.0 if way == NOWHERE else recall_consumed(p, user, row, way)


@njit
def make_room(p: Record, user: Record, row: int) -> int:
    """A place in a row for a new entry: an empty one, or that of the entry that has faded most, which is dropped."""
    best = NOWHERE
    least = math.inf
    for way in range(WAYS):
        left = -1.0
        if user.memory_item[row, way] > 0:
            left = recall_ignored(p, user, row, way) + recall_consumed(p, user, row, way)
        if left < least:
            best = way
            least = left
    user.entered += 1
    if user.memory_item[row, best] > 0 and user.clock - user.memory_touched[row, best] < p.impression_recovery:
        user.evicted += 1
    return best


@njit
def enter(p: Record, user: Record, row: int, item: int) -> int:
    """Place of the item in its row, an entry made for it if it had none."""
    way = find_way(user, row, item)
    if way == NOWHERE:
        way = make_room(p, user, row)
        user.memory_item[row, way] = item
        user.memory_ignored[row, way] = 0.0
        user.memory_touched[row, way] = NEVER
        user.memory_consumed[row, way] = NEVER
    return way


@njit
def note_ignored(p: Record, user: Record, item: int, examined: float) -> None:
    """One more ignored impression, by how far the slot was examined: ``n ← e + n·exp(−Δt/τ)``."""
    row = choose_row(user, item)
    way = enter(p, user, row, item)
    user.memory_ignored[row, way] = examined + recall_ignored(p, user, row, way)
    user.memory_touched[row, way] = user.clock


@njit
def note_consumed(p: Record, user: Record, item: int, clock: float) -> None:
    """The item was consumed at `clock`."""
    row = choose_row(user, item)
    way = enter(p, user, row, item)
    user.memory_consumed[row, way] = clock


@njit
def log_slate(user: Record) -> None:
    """What the service keeps of the slates it has shown: the last ones, each with its time, round and round."""
    place = user.slates % len(user.shown)
    for k in range(len(user.slate)):
        user.shown[place, k] = user.slate[k]
    user.shown_time[place] = user.clock
    user.slates += 1


@njit
def forget(user: Record) -> None:
    """Nothing was shown, ignored or consumed."""
    user.slates = user.entered = user.evicted = 0
    for row in range(len(user.memory_item)):
        for way in range(WAYS):
            user.memory_item[row, way] = 0
            user.memory_ignored[row, way] = 0.0
            user.memory_touched[row, way] = NEVER
            user.memory_consumed[row, way] = NEVER
    for place in range(len(user.shown)):
        user.shown_time[place] = 0.0
        for k in range(len(user.slate)):
            user.shown[place, k] = 0
