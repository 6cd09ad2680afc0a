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
    """Row of the memory where the item is, if it is anywhere: by a product with 2³²/φ (Knuth), less its lowest byte."""
    return int((((np.int64(item) * 2654435761) & 0xFFFFFFFF) >> 8) % len(user.memory_item))


@njit
def find_way(user: Record, row: int, item: int) -> int:
    """Place of the item in its row, or NOWHERE."""
    place = NOWHERE
    for way in range(WAYS):  # to the end, so that all are compared at once
        if user.memory_item[row, way] == np.int32(item):
            place = way
    return place


@njit
def recall_ignored(p: Record, user: Record, row: int, way: int) -> float:
    """What is left of an entry's count of ignored impressions: ``n·exp(−Δt/τ)``."""
    if user.memory_ignored[row, way] == 0.0:
        return 0.0  # of most entries there is nothing to compute, and of NEVER the exponential is slow
    days = max(user.clock - np.float64(user.memory_touched[row, way]), 0.0)  # kept in fewer digits than the clock
    return np.float64(user.memory_ignored[row, way]) * math.exp(-days / p.impression_recovery)


@njit
def recall_consumed(p: Record, user: Record, row: int, way: int) -> float:
    """How well an entry's item is remembered as consumed: ``exp(−Δt/τ)``, 0 if it never was."""
    if p.repeat_recovery == 0.0 or user.memory_consumed[row, way] == NEVER:
        return 0.0
    days = max(user.clock - np.float64(user.memory_consumed[row, way]), 0.0)
    return math.exp(-days / p.repeat_recovery)


@njit(inline="always")
def find_place(work: Record, user: Record, k: int) -> None:
    """Find the item of slot k once for all that a slate asks of the memory: into ``work.row`` and ``work.way``."""
    item = int(user.slate[k])
    work.row[k] = choose_row(user, item)
    work.way[k] = find_way(user, work.row[k], item)


@njit(inline="always")
def weigh_ignored(p: Record, work: Record, user: Record, k: int) -> float:
    """What ignored impressions take off the logarithm of the pull of slot k: ``η·ln(1 + n·exp(−Δt/τ))``."""
    if p.impression_weight == 0.0 or work.way[k] == NOWHERE:
        return 0.0
    return p.impression_weight * math.log1p(recall_ignored(p, user, work.row[k], work.way[k]))


@njit(inline="always")
def weigh_consumed(p: Record, work: Record, user: Record, k: int) -> float:
    """How much of the penalty for a repeat slot k meets, where what was consumed is forgotten by and by."""
    return 0.0 if work.way[k] == NOWHERE else recall_consumed(p, user, work.row[k], work.way[k])


@njit
def make_room(p: Record, user: Record, row: int) -> int:
    """A place in a row for a new entry: an empty one, or that of the entry that has faded most, which is dropped."""
    user.entered += 1
    best = 0
    least = math.inf
    for way in range(WAYS):
        if user.memory_item[row, way] == 0:
            return way
        left = recall_ignored(p, user, row, way) + recall_consumed(p, user, row, way)
        if left < least:
            best = way
            least = left
    if user.clock - user.memory_touched[row, best] < p.impression_recovery:
        user.evicted += 1
    return best


@njit(inline="always")
def note_ignored(p: Record, work: Record, user: Record, k: int, examined: float) -> None:
    """One more ignored impression of slot k, by how far it was examined: ``n ← e + n·exp(−Δt/τ)``."""
    row, way = work.row[k], work.way[k]
    if way == NOWHERE or user.memory_item[row, way] != user.slate[k]:
        way = make_room(p, user, row)
        user.memory_item[row, way] = user.slate[k]
        user.memory_consumed[row, way] = NEVER
    else:
        examined += recall_ignored(p, user, row, way)
    user.memory_ignored[row, way] = examined
    user.memory_touched[row, way] = user.clock


@njit
def note_consumed(p: Record, user: Record, item: int, clock: float) -> None:
    """The item was consumed at `clock`."""
    row = choose_row(user, item)
    way = find_way(user, row, item)
    if way == NOWHERE:
        way = make_room(p, user, row)
        user.memory_item[row, way] = item
        user.memory_ignored[row, way] = 0.0
        user.memory_touched[row, way] = NEVER
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
