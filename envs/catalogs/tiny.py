"""The catalogue of the Tiny scenario: one item that promises much and one that keeps more than it promises."""

import functools

import numpy as np

from .catalog import Catalog
from .registry import CATALOGS


@functools.lru_cache(maxsize=1)
def load_tiny() -> Catalog:
    """Two items: number 1, the bait, is talked about and disappoints; number 2, the gem, is the other way round."""
    return Catalog(
        name="tiny",
        ids=("bait", "gem"),
        texts=("You will not believe what happened next.", "How a lighthouse is kept, told by its last keeper."),
        topics=(("gossip",), ("craft",)),
        minutes=np.array([10.0, 10.0]),
        popularity=np.array([0.75, 0.25]),
        rating=np.array([0.25, 0.75]),
        published=np.array([2000.0, 2000.0]),
    )


CATALOGS.register("tiny", load_tiny)
