"""Which candidates the history holds, so that they can come last."""

import numpy as np
from numpy.typing import NDArray

from ...envs.engine import Observation
from ...envs.shared.compiled import loop


def count_in_history(observation: Observation) -> NDArray[np.int64]:
    """How often each candidate (B, M) stands in its user's history; 0 for no candidate.

    Times more than any two scores differ by, and taken off them, it puts items of the history behind all others.
    """
    counts = np.zeros(observation["candidates"].shape, np.int64)
    _count_all(observation["candidates"], observation["history_ids"], counts)
    return counts


@loop
def _count_all(candidates: np.ndarray, history: np.ndarray, counts: np.ndarray) -> None:
    for b in range(len(candidates)):
        for m in range(candidates.shape[1]):
            for h in range(history.shape[1]):
                if candidates[b, m] > 0 and history[b, h] == candidates[b, m]:
                    counts[b, m] += 1
