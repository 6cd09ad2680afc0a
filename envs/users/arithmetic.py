"""The arithmetic of the user model: what is about numbers and clocks, and not about users."""

import math

import numpy as np

from ..shared.parts import part
from .records import Record


@part(forceinline=True)
def logistic(x: float) -> float:
    """1 / (1 + e^-x); far below 0, where plain Python's exp would overflow, next to nothing."""
    return 1.0 / (1.0 + math.exp(min(-x, 700.0)))


@part(fastmath={"reassoc", "contract"})
def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product of two vectors.

    The compiler may choose the order of the sum and fuse multiply and add, which is three times as fast; it then keeps
    to that, so equal inputs give equal bits on one machine. Nothing else in the user model is left to it.
    """
    total = 0.0
    for d in range(len(a)):
        total += np.float64(a[d]) * np.float64(b[d])
    return total


@part(forceinline=True)
def dot_topics(vector: np.ndarray, item: Record) -> float:
    """Inner product of a vector over topics with the item's topics φ."""
    total = 0.0
    for j in range(len(item.share)):
        total += np.float64(vector[item.topic[j]]) * np.float64(item.share[j])
    return total


@part
def add_waking_days(p: Record, chronotype: float, clock: float, active_days: float) -> float:
    """Clock [days] at which `active_days` of activity have passed since `clock`.

    Activity runs fast in the busy hours and slow at night (``p.hours``, mean 1), in the user's own day, which is
    `chronotype` hours later than the clock. This turns a plain log-normal gap into one with a day-night cycle.
    """
    local = clock - chronotype / 24.0
    day = math.floor(local)
    hour = (local - day) * 24.0
    whole = min(int(hour), 23)  # just before midnight, rounding gives hour 24
    target = active_days * 24.0
    for h in range(whole):
        target += p.hours[h]
    target += p.hours[whole] * (hour - whole)
    days = math.floor(target / 24.0)
    target -= 24.0 * days
    h = 0
    while h < 23 and target >= p.hours[h]:
        target -= p.hours[h]
        h += 1
    # Rounding must not turn a gap of next to nothing into one of less than nothing.
    return max(clock, day + days + (h + min(target / p.hours[h], 1.0)) / 24.0 + chronotype / 24.0)
