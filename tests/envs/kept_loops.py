"""A loop that other processes compile and keep, for records of different sizes."""

import time

import numpy as np
from numba.core.caching import IndexDataCacheFile

from longplay.envs import compiled


def width(record):
    """Its machine code depends on the records that it is given."""
    return record.a.shape[0] + record.b[0]


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
