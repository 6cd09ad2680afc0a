"""Presets: scoring rules by name, one of which a policy chooses for each slate.

Each is a fixed vector of weights in [−1, 1] over `longplay.envs.candidates.scoring.WEIGHTS`; what it leaves out has
weight 0. They span what rankers are commonly asked for: one signal alone, relevance mixed with quality, reach or
variety, and relief from what was consumed most recently. Round numbers, none of them tuned.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .scoring import SHOWN, WEIGHTS

PRESETS: dict[str, dict[str, float]] = {
    # One signal alone
    "similarity": {"similarity": 1.0},
    "popularity": {"popularity": 1.0},
    "rating": {"rating": 1.0},
    "novelty": {"novelty": 1.0},
    "favourite": {"favourite": 1.0},
    "familiar": {"familiar": 1.0},
    # More of what this session is about, and items to fit little or much time
    "continues": {"similarity": 0.5, "continues": 1.0},
    "short": {"similarity": 0.5, "length": -1.0},
    "long": {"similarity": 0.5, "length": 1.0},
    # Relevance mixed with something else
    "varied": {"similarity": 1.0, "variety": 0.5},
    "acclaimed": {"similarity": 1.0, "rating": 1.0, "variety": 0.5},
    "trending": {"similarity": 0.5, "popularity": 1.0, "novelty": 0.5},
    "balanced": {"similarity": 0.5, "popularity": 0.5, "rating": 0.5, "favourite": 0.5, "variety": 0.5},
    # Relief from what was consumed in the last hours, and from the history altogether
    "rested": {"familiar": 1.0, "exposed": -1.0},
    "refreshing": {"similarity": 0.5, "rating": 0.5, "exposed": -1.0, "variety": 1.0},
    "exploring": {"rating": 1.0, "familiar": -0.5, "exposed": -0.5, "variety": 1.0},
}


UNSEEN = {"similarity": 1.0, SHOWN: -1.0}  # one more where it is known what was shown


def stack_preset_weights(names: Sequence[str] = WEIGHTS) -> NDArray[np.float32]:
    """(P, F + 1) weights, a row a preset, in the orders of `PRESETS` and `names`.

    `UNSEEN` and scores that a `longplay.envs.candidates.scoring.Scorer` adds to the features are presets of their own,
    after the others.
    """
    added = [UNSEEN if name == SHOWN else {name: 1.0} for name in names if name not in WEIGHTS]
    rows = [[rule.get(name, 0.0) for name in names] for rule in (*PRESETS.values(), *added)]
    return np.array(rows, np.float32)
