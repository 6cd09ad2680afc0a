"""What an item, a person and a user consist of: records that compiled code reads and writes in place.

Equal types are one object: Numba compares those of arguments at every call, by their fields unless they are the same.
"""

import functools
from typing import Any

import numpy as np

from .constants import Shape

# What became of a user.
ACTIVE, CHURNED, HORIZON = 0, 1, 2

NOTHING = -1  # the slot chosen when nothing is
TOPICS_PER_ITEM = 4  # an item's largest topics; the others count as none
WAYS = 8  # places in a row of the memory
SLATES_KEPT = 24  # of the slates shown last that the service keeps, where there is a memory

Record = Any  # one record of one of the types below, or of the constants


def _make_record_type(fields: list[Any]) -> np.dtype:
    """Aligned record type whose fields plain Python, too, reads as attributes."""
    return np.dtype((np.record, np.dtype(fields, align=True)))


@functools.cache
def item_type(shape: Shape) -> np.dtype:
    """Record of one item. Row 0 of an item table is the empty item, which attracts nobody."""
    return _make_record_type(
        [
            ("taste", "f4", (shape.taste,)),  # unit vector v
            ("share", "f4", (TOPICS_PER_ITEM,)),  # soft membership φ: of the topics below, ≥ 0, sums to 1
            ("topic", "u1", (TOPICS_PER_ITEM,)),  # which topics, largest share first
            ("appeal", "f4"),  # a, standardised
            ("substance", "f4"),  # q, standardised
            ("minutes", "f4"),  # ℓ
            ("born", "f4"),  # when it appears [days of the clock]; long ago for what has always been there
            ("flare", "f4"),  # log weight at the peak of its flare
            ("price", "f4"),  # its logarithm, standardised
        ],
    )


@functools.cache
def user_type(shape: Shape, places: int = 0, second: bool = False, cultivation: bool = False) -> np.dtype:
    """Record of one user's whole state; a saved array of these is a saved simulation.

    Parameters
    ----------
    places
        Items that the memory has room for. Where there is none, what comes after `minutes` is not saved: a person's
        frailty is known, and the rest is not used.
    second
        Whether users have a second taste. Where they have none, its field is not used, nor saved.
    cultivation
        Whether what is watched turns taste. Where it does not, what comes after `second` is not used, nor saved.
    """
    rows, kept = max(places // WAYS, 1), SLATES_KEPT if places else 1
    return _make_record_type(
        [
            # how they are (hidden)
            ("satiation", "f8", (shape.topics,)),  # Φ
            ("momentum", "f4", (shape.topics,)),  # M, a fading trace of this session's topics
            ("taste", "f4", (shape.taste,)),  # u, unit; drifts
            ("fatigue", "f8"),  # f [minutes]
            ("satisfaction", "f8"),  # s̄
            ("trust", "f8"),  # m
            # who they are (hidden)
            ("sensitivity", "f8"),  # α
            ("recovery", "f8"),  # τ_s [days]
            ("leave_logit", "f8"),  # the user's own base rate of leaving
            ("visit_rate", "f8"),  # logarithm, relative to the median user
            ("chronotype", "f8"),  # [hours]
            # where they are
            ("clock", "f8"),  # t [days]
            ("gap", "f8"),  # since the previous session [days]
            ("session_minutes", "f8"),
            ("session", "i4"),
            ("depth", "i4"),  # slates read in this session
            ("skips", "i4"),  # consecutive slates without a click
            ("day", "i4"),  # taste has drifted up to this day
            ("status", "i4"),
            # their luck
            ("id", "i4"),
            ("episode", "i4"),
            ("k0", "u4"),
            ("k1", "u4"),
            ("luck", "i8"),
            # what happened, most recent first; items are numbers 1..N, 0 is none
            ("residues", "i8"),  # which remainders the history's items have, a bit each; see `dynamics.residue`
            ("history_items", "i4", (shape.history,)),
            ("history_completion", "f4", (shape.history,)),
            ("history_time", "f4", (shape.history,)),  # clock when consumed [days]
            ("slate", "i4", (shape.slate,)),
            ("choice", "i4"),  # slot of the last slate, or NOTHING
            ("left", "i4"),  # 1 if the last slate ended its session
            ("completion", "f8"),  # of the last choice
            ("minutes", "f8"),  # the last slate's dwell
            # what is kept of the slates; see `memory.py`
            ("frailty", "f8"),  # the user's own offset of the churn's logit (hidden)
            ("slates", "i4"),  # read in this life
            ("entered", "i4"),  # entries made in the memory
            ("evicted", "i4"),  # of them dropped for want of room, with more than 1/e of an impression left
            ("memory_item", "i4", (rows, WAYS)),  # 0: an empty place
            ("memory_trace", "f4", (rows, WAYS)),  # ln n + t/τ, see `memory.py`
            ("memory_consumed", "f4", (rows, WAYS)),  # clock when consumed last [days]
            ("shown", "i4", (kept, shape.slate)),  # slates shown last, round and round
            ("shown_time", "f4", (kept,)),  # clock after each [days]
            # what only some scenarios have; `params.Scenario.second`, `.habit`, `.cultivation`, `.selling` say which
            ("habit", "f8"),  # h, in [0, 1] (hidden)
            ("second", "f4", (shape.taste if second else 1,)),  # ũ, unit: the taste by which they judge (hidden)
            ("first_taste", "f4", (shape.taste if cultivation else 1,)),  # u₀, unit: that they came with (hidden)
            ("first_minutes", "f8"),  # of dwell that the last slate would have had of them with it (hidden)
            ("bought", "i4"),  # 1 if the last choice was bought; where the scenario sells
        ],
    )


@functools.cache
def person_type(shape: Shape, second: bool = False) -> np.dtype:
    """Record of one person of the population, before their first session; `second` as of `user_type`."""
    return _make_record_type(
        [
            ("taste", "f8", (shape.taste,)),
            ("sensitivity", "f8"),
            ("recovery", "f8"),
            ("leave_logit", "f8"),
            ("visit_rate", "f8"),
            ("chronotype", "f8"),
            ("past_items", "i4", (shape.past,)),  # most recent first
            ("past_completion", "f8", (shape.past,)),
            ("past_age", "f8", (shape.past,)),  # [days] before the first session
            ("frailty", "f8"),  # offset of the logit of churn
            ("profile", "f4", (shape.topics,)),  # 1 for topics named as favourites at sign-up
            ("second", "f8", (shape.taste if second else 1,)),
        ],
    )


@functools.cache
def work_type(shape: Shape) -> np.dtype:
    """Scratch of one slate, overwritten by the next: one record a thread, not a user."""
    return _make_record_type(
        [
            ("taste", "f8", (shape.taste,)),  # the user's
            ("mood", "f8", (shape.topics,)),  # what topics are worth right now
            ("utility", "f8", (shape.slate,)),  # U of each slot
            ("weight", "f8", (shape.slate,)),  # choice weight of each slot
            ("row", "i4", (shape.slate,)),  # of the memory, where each slot's item belongs
            ("way", "i4", (shape.slate,)),  # its place there, or none
            ("ignored", "f8", (shape.slate,)),  # what is left of its ignored impressions
            ("choice_draw", "f8"),
            ("leave_draw", "f8"),
            ("supposed", "i4"),  # 1 while it is asked what the user would choose with the first taste
        ],
    )
