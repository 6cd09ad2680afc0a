"""Chance as a pure function: counter-based random numbers (Philox-4x32-10).

Every draw of a user's life is ``uniform(k0, k1, user, session, slate, purpose)``: a function of *who* draws, *when* in
their life and *what for*, never of batch size, order, process or thread. Two policies that meet the same user with the
same luck therefore share every draw for as long as their slates agree (common random numbers).

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The tests check the known
answers that the paper's authors publish with their code.

The words are 32 bits held in unsigned 64-bit integers, where their products fit: a signed product would overflow, and
what the compiler makes of that is undefined. The same lines run compiled and as plain Python.
"""

import math
from typing import Any

import numpy as np

from ..shared.parts import part

MASK = 0xFFFFFFFF  # 32 bits
_LOW, _32 = np.uint64(MASK), np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # multipliers
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # steps of the key

# Purposes. A purpose is part of the counter, so that two kinds of draw never share a number.
KEY = 0  # the stream key itself
ORDER = 1  # the order in which a slot meets its users
SLATE = 2  # two numbers: what is chosen, and whether the session ends
DWELL = 3
CHURN = 4
GAP = 5
FIRST_HOUR = 6
CANDIDATES = 7  # what the retriever draws at random
CANDIDATES_ORDER = 8  # in what order the candidates stand
PURCHASE = 9
DRIFT = 16  # 16, 17, ...: one purpose for each 32 dimensions of taste


@part(forceinline=True)
def philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> Any:
    """Four independent 32-bit words from a counter of four words and a key of two."""
    x0, x1, x2, x3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    y0, y1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        p0 = _M0 * x0
        p1 = _M1 * x2
        x0, x1, x2, x3 = (p1 >> _32) ^ x1 ^ y0, p1 & _LOW, (p0 >> _32) ^ x3 ^ y1, p0 & _LOW
        y0 = (y0 + _W0) & _LOW
        y1 = (y1 + _W1) & _LOW
    return np.int64(x0), np.int64(x1), np.int64(x2), np.int64(x3)


@part(forceinline=True)
def unit(high: int, low: int) -> float:
    """Two 32-bit words to a float64 strictly inside (0, 1), with 52 random bits.

    52 and not 53, because the half step that keeps 0 out would round up to 1 at the top.
    """
    return ((high >> 6) * 67108864.0 + (low >> 6) + 0.5) * (1.0 / 4503599627370496.0)


@part
def uniform(k0: int, k1: int, user: int, session: int, slate: int, purpose: int) -> float:
    """One draw from the uniform distribution on the open interval (0, 1).

    Parameters
    ----------
    k0, k1
        The stream key of this life: ``stream_key(world, luck, episode)``.
    user, session, slate
        Who draws, and when: the slate within its session, the session number, or the day (drift). Each < 2**32.
    purpose
        One of the constants of this module.
    """
    x0, x1, _, _ = philox(user, session, slate, purpose, k0, k1)
    return unit(x0, x1)


@part
def fill_uniform(
    k0: int, k1: int, user: int, session: int, first: int, step: int, purpose: int, out: np.ndarray
) -> None:
    """Draws of `uniform` for the slates first, first + step, ... into `out`: several at once, which is faster."""
    for j in range(len(out)):
        # That they are of 32 bits is what lets the compiler do several at a time.
        slate = (first + step * j) & MASK
        x0, x1, _, _ = philox(user & MASK, session & MASK, slate, purpose & MASK, k0 & MASK, k1 & MASK)
        out[j] = unit(x0, x1)


@part
def uniform_pair(k0: int, k1: int, user: int, session: int, slate: int, purpose: int) -> tuple[float, float]:
    """Two independent uniform draws; the index is that of `uniform`, whose draw is the first."""
    x0, x1, x2, x3 = philox(user, session, slate, purpose, k0, k1)
    return unit(x0, x1), unit(x2, x3)


@part
def normal_pair(k0: int, k1: int, user: int, session: int, slate: int, purpose: int) -> tuple[float, float]:
    """Two independent standard normal draws (Box and Muller, 1958); the index is that of `uniform`."""
    x0, x1, x2, x3 = philox(user, session, slate, purpose, k0, k1)
    radius = math.sqrt(-2.0 * math.log(unit(x0, x1)))
    angle = 2.0 * math.pi * unit(x2, x3)
    return radius * math.cos(angle), radius * math.sin(angle)


@part
def stream_key(world: int, luck: int, episode: int) -> tuple[int, int]:
    """Key of one life: the world's seed, the luck's seed (both < 2**63) and the number of the episode."""
    x0, x1, _, _ = philox(
        luck & MASK, (luck >> 32) & MASK, int(episode) & MASK, KEY, world & MASK, (world >> 32) & MASK
    )
    return x0, x1


@part
def permute(position: int, size: int, k0: int, k1: int) -> int:
    """Element `position` of a keyed pseudo-random permutation of ``range(size)``, without storing it.

    A Feistel network over the next even number of bits, walked until it lands inside the range (Black and Rogaway,
    "Ciphers with arbitrary finite domains", CT-RSA 2002).
    """
    half = 1
    while 1 << (2 * half) < size:
        half += 1
    low = (1 << half) - 1
    x = position
    while True:
        left, right = x >> half, x & low
        for step in range(6):
            word, _, _, _ = philox(right, step, size, ORDER, k0, k1)
            left, right = right, left ^ (word & low)
        x = (left << half) | right
        if x < size:
            return x
