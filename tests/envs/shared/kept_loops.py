"""Loops that other processes compile and keep, for records of different sizes."""

import time

import numpy as np
from numba.core.caching import IndexDataCacheFile

from longplay.envs.shared import compiled


def width(record):
    """The length of a record and 1; its machine code depends on the type, and is too long to be put into a caller."""
    seen = np.zeros(record.a.shape[0] + 1)
    for i in range(len(seen)):
        seen[i] = np.sin(float(i)) + np.log1p(float(i))
    order = np.argsort(seen)
    return len(np.sort(seen[order[::-1]])) + int(np.linspace(0.0, 0.5, 3)[1])


measure = compiled.loop(width)


@compiled.loop
def total_width(records):
    """A loop that calls another one, at two places."""
    total = measure(records[0])
    for i in range(1, len(records)):
        total += measure(records[i])
    return total


def records(size):
    return np.ones(1, np.dtype([("a", np.int64, (size,)), ("b", np.int64, (1,))]))


def keep_slowly(size):
    """Keep the loop for records of a size, with time for another process between reading the index and writing it."""
    read = IndexDataCacheFile._load_index

    def slow(self):
        found = read(self)
        time.sleep(2.0)
        return found

    IndexDataCacheFile._load_index = slow
    try:
        return int(compiled.loop(width)(records(size)[0]))
    finally:
        IndexDataCacheFile._load_index = read


def keep_in_turn(sizes):
    """What a loop makes of records of some sizes, one after the other; what others have kept of it is used."""
    return [int(total_width(records(size))) for size in sizes]
