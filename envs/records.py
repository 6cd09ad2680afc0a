"""What an item, a person and a user consist of: records that compiled code reads and writes in place."""

from typing import Any

import numpy as np

from .params import Shape

# What became of a user.
ACTIVE, CHURNED, HORIZON = 0, 1, 2

NOTHING = -1  # the slot chosen when nothing is

Record = Any  # one record of `user_type`, `person_type` or `item_type`


def _records(fields: list[Any]) -> np.dtype:
    """Aligned record type whose fields plain Python, too, reads as attributes."""
    return np.dtype((np.record, np.dtype(fields, align=True)))


def item_type(shape: Shape) -> np.dtype:
    """Record of one item. Row 0 of an item table is the empty item, which attracts nobody."""
    return _records(
        [
            ("taste", "f4", (shape.taste,)),  # unit vector v
            ("topics", "f4", (shape.topics,)),  # soft membership φ, sums to 1
            ("appeal", "f8"),  # a, standardised
            ("substance", "f8"),  # q, standardised
            ("minutes", "f8"),  # ℓ
        ],
    )


def user_type(shape: Shape) -> np.dtype:
    """Record of one user's whole state; a saved array of these is a saved simulation."""
    return _records(
        [
            # who they are (hidden)
            ("id", "i8"),
            ("taste", "f8", (shape.taste,)),  # u, unit; drifts
            ("sensitivity", "f8"),  # α
            ("recovery", "f8"),  # τ_s [days]
            ("leave_logit", "f8"),  # the user's own base rate of leaving
            ("visit_rate", "f8"),  # logarithm, relative to the median user
            ("chronotype", "f8"),  # [hours]
            # their luck
            ("luck", "i8"),
            ("episode", "i8"),
            ("k0", "i8"),
            ("k1", "i8"),
            # how they are (hidden)
            ("satiation", "f8", (shape.topics,)),  # Φ
            ("mood", "f8", (shape.topics,)),  # μ·φ_last − α·Φ, what topics are worth right now
            ("weight", "f8", (shape.slate,)),  # w, choice weights of the last slate
            ("fatigue", "f8"),  # f [minutes]
            ("satisfaction", "f8"),  # s̄
            ("trust", "f8"),  # m
            # where they are
            ("clock", "f8"),  # t [days]
            ("gap", "f8"),  # since the previous session [days]
            ("session_minutes", "f8"),
            ("session", "i4"),
            ("depth", "i4"),  # slates read in this session
            ("skips", "i4"),  # consecutive slates without a click
            ("day", "i4"),  # taste has drifted up to this day
            ("last", "i4"),  # last item consumed in this session, 0 for none
            ("status", "i4"),
            # what happened, most recent first; items are numbers 1..N, 0 is none
            ("residues", "i8"),  # which remainders modulo 61 the history's items have, a bit each
            ("history_items", "i4", (shape.history,)),
            ("history_completion", "f8", (shape.history,)),
            ("history_time", "f8", (shape.history,)),  # clock when consumed [days]
            ("slate", "i4", (shape.slate,)),
            ("choice", "i4"),  # slot of the last slate, or NOTHING
            ("completion", "f8"),  # of the last choice
            ("minutes", "f8"),  # the last slate's dwell
            ("left", "i4"),  # 1 if the last slate ended its session
        ],
    )


def person_type(shape: Shape) -> np.dtype:
    """Record of one person of the population, before their first session."""
    return _records(
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
            ("profile", "f4", (shape.topics,)),  # 1 for topics named as favourites at sign-up
        ],
    )
