"""What a user remembers of items: how often each was seen and ignored, and when it was consumed.

The memory has a fixed number of places, ``impression.memory``, in rows of `WAYS`; an item's row follows from its
number. An entry that finds its row full takes the place of the one that has faded most. Counts fade by themselves: of
a count n at time t its trace ``ln n + t/τ`` is kept, which stays as it is until the item is ignored again. What is left
at a later t' is ``exp(trace − t'/τ)``, so that any split of the time between gives the same, and of two traces the
smaller has always faded more. With ``impression.fade = "session"`` counts do not fade: they are kept whole until the
session ends, and are gone then.

Sources: Li, Lakshmanan, Tiwari, Shah, "Modeling impression discounting in large-scale recommender systems", KDD 2014:
the chance of a click falls with the number of ignored impressions and rises again with the time since the last.
"""

import math

import numpy as np

from ..shared.parts import part
from .constants import BY_SESSION
from .records import WAYS, Record

NEVER = -1e9  # the trace of an item that has not been ignored, and the clock when one was consumed that has not [days]
NOWHERE = -1
PLACES = "shown"  # field of a user that has more than one place where there is a memory


@part(forceinline=True)
def choose_row(user: Record, item: int) -> int:
    """Row of the memory where the item is, if it is anywhere: by a product with 2³²/φ (Knuth), less its lowest byte."""
    return int((((np.int64(item) * 2654435761) & 0xFFFFFFFF) >> 8) % len(user.memory_item))


@part
def find_way(user: Record, row: int, item: int) -> int:
    """Place of the item in its row, or NOWHERE."""
    place = NOWHERE
    for way in range(WAYS):  # to the end, so that all are compared at once
        if user.memory_item[row, way] == np.int32(item):
            place = way
    return place


@part(forceinline=True)
def measure_fading(p: Record, days: float) -> float:
    """How far counts fade within some days: ``Δt/τ``, or not at all where they are whole until the session ends."""
    return 0.0 if p.impression_fade == BY_SESSION else days / p.impression_recovery


@part(forceinline=True)
def recall_ignored(p: Record, user: Record, row: int, way: int) -> float:
    """What is left of an entry's count of ignored impressions: ``n·exp(−Δt/τ)``."""
    if user.memory_trace[row, way] == NEVER:
        return 0.0  # its exponential is slow
    return math.exp(np.float64(user.memory_trace[row, way]) - measure_fading(p, user.clock))


@part
def recall_consumed(p: Record, user: Record, row: int, way: int) -> float:
    """How well an entry's item is remembered as consumed: ``exp(−Δt/τ)``, 0 if it never was."""
    if p.repeat_recovery == 0.0 or user.memory_consumed[row, way] == NEVER:
        return 0.0
    days = max(user.clock - np.float64(user.memory_consumed[row, way]), 0.0)
    return math.exp(-days / p.repeat_recovery)


@part(forceinline=True, room=PLACES, absent=lambda work, user, k: None)
def find_row(work: Record, user: Record, k: int) -> None:
    """Find the row of the item of slot k, and read a little of it, so that memory fetches the rows of all at once."""
    row = choose_row(user, int(user.slate[k]))
    work.row[k] = row
    work.ignored[k] = user.memory_item[row, 0] + user.memory_trace[row, 0] + user.memory_consumed[row, 0]


@part(forceinline=True, room=PLACES, absent=lambda p, work, user, k: None)
def find_place(p: Record, work: Record, user: Record, k: int) -> None:
    """Find the place of the item of slot k, and what is left of its ignored impressions, once a slate."""
    row, item = work.row[k], int(user.slate[k])
    way = find_way(user, row, item)
    work.way[k] = way
    work.ignored[k] = 0.0 if way == NOWHERE else recall_ignored(p, user, row, way)


@part(forceinline=True)
def weigh_ignored(p: Record, work: Record, k: int) -> float:
    """What ignored impressions take off the logarithm of the pull of slot k: ``η·ln(1 + n·exp(−Δt/τ))``."""
    if p.impression_weight == 0.0 or work.ignored[k] == 0.0:
        return 0.0
    return p.impression_weight * math.log1p(work.ignored[k])


@part(forceinline=True, room=PLACES, absent=lambda p, work, user, k: 0.0)
def weigh_consumed(p: Record, work: Record, user: Record, k: int) -> float:
    """How much of the penalty for a repeat slot k meets, where what was consumed is forgotten by and by."""
    return 0.0 if work.way[k] == NOWHERE else recall_consumed(p, user, work.row[k], work.way[k])


@part
def make_room(p: Record, user: Record, row: int) -> int:
    """A place in a row for a new entry: an empty one, or that of the entry that has faded most, which is dropped."""
    user.entered += 1
    best, consumed = NOWHERE, 0
    least = np.float32(math.inf)
    for way in range(WAYS):  # among those that were not consumed, less is always left of the smaller trace
        if user.memory_consumed[row, way] != NEVER:
            consumed += 1
        elif user.memory_trace[row, way] < least:
            best, least = way, user.memory_trace[row, way]
    if least == NEVER:
        return best  # an empty place
    if consumed > 0:
        best = find_faded(p, user, row, best)
    if user.memory_trace[row, best] - measure_fading(p, user.clock) > -1.0:
        user.evicted += 1
    return best


@part
def find_faded(p: Record, user: Record, row: int, best: int) -> int:
    """The place of a row where least is left: `best`, of those not consumed, or one of those that were."""
    least = math.inf if best == NOWHERE else recall_ignored(p, user, row, best)
    for way in range(WAYS):
        if user.memory_consumed[row, way] != NEVER:
            left = recall_ignored(p, user, row, way) + recall_consumed(p, user, row, way)
            if left < least:
                best, least = way, left
    return best


@part(forceinline=True)
def note_ignored(p: Record, work: Record, user: Record, k: int, examined: float, fade: float) -> None:
    """One more ignored impression of slot k, by how far it was examined: ``n ← e + n·exp(−Δt/τ)``.

    `fade` is what is left of a count since the slate was shown.
    """
    row, way = work.row[k], work.way[k]
    if way == NOWHERE or user.memory_item[row, way] != user.slate[k]:
        way = make_room(p, user, row)
        user.memory_item[row, way] = user.slate[k]
        user.memory_consumed[row, way] = NEVER
    else:
        examined += work.ignored[k] * fade
    user.memory_trace[row, way] = math.log(examined) + measure_fading(p, user.clock)


@part(room=PLACES, absent=lambda p, user, item, clock: None)
def note_consumed(p: Record, user: Record, item: int, clock: float) -> None:
    """The item was consumed at `clock`."""
    row = choose_row(user, item)
    way = find_way(user, row, item)
    if way == NOWHERE:
        way = make_room(p, user, row)
        user.memory_item[row, way] = item
        user.memory_trace[row, way] = NEVER
    user.memory_consumed[row, way] = clock


@part
def log_slate(user: Record) -> None:
    """What the service keeps of the slates it has shown: the last ones, each with its time, round and round."""
    place = user.slates % len(user.shown)
    for k in range(len(user.slate)):
        user.shown[place, k] = user.slate[k]
    user.shown_time[place] = user.clock
    user.slates += 1


@part(room=PLACES, absent=lambda user: None)
def forget_ignored(user: Record) -> None:
    """No item was ignored; what was consumed is still known."""
    for row in range(len(user.memory_item)):
        for way in range(WAYS):
            user.memory_trace[row, way] = NEVER
            if user.memory_consumed[row, way] == NEVER:
                user.memory_item[row, way] = 0


@part(room=PLACES, absent=lambda user: None)
def forget(user: Record) -> None:
    """Nothing was shown, ignored or consumed."""
    user.slates = user.entered = user.evicted = 0
    for row in range(len(user.memory_item)):
        for way in range(WAYS):
            user.memory_item[row, way] = 0
            user.memory_trace[row, way] = NEVER
            user.memory_consumed[row, way] = NEVER
    for place in range(len(user.shown)):
        user.shown_time[place] = 0.0
        for k in range(len(user.slate)):
            user.shown[place, k] = 0
