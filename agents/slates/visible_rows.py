"""Compiled passes over observations: which candidates repeat the history, and what a history amounts to."""

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.compiled import loop

Floats = NDArray[np.float32]


def mark_repeated(
    features: Floats, candidates: Floats, history: Floats, items: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Features of candidates with one more, 1 for an item of the history: (B, M, F + 1), and item numbers (B, M).

    Parameters
    ----------
    features
        (B, M, F); where there is no candidate, all of a row becomes 0.
    candidates, history
        (B, M) and (B, H) item numbers, 0 for none.
    items
        N, the largest item number.
    """
    count, most, width = features.shape
    out = np.empty((count, most, width + 1), np.float32)
    ids = np.empty((count, most), np.int64)
    _mark_all(features, candidates, history, np.zeros(items + 1, np.bool_), out, ids)
    return out, ids


@loop
def _mark_all(
    features: np.ndarray,
    candidates: np.ndarray,
    history: np.ndarray,
    seen: np.ndarray,
    out: np.ndarray,
    ids: np.ndarray,
) -> None:
    width = features.shape[2]
    for b in range(len(candidates)):
        for h in range(history.shape[1]):
            seen[int(history[b, h])] = True
        for m in range(candidates.shape[1]):
            item = int(candidates[b, m])
            ids[b, m] = item
            if item == 0:
                out[b, m] = 0.0
                continue
            for f in range(width):
                out[b, m, f] = features[b, m, f]
            out[b, m, width] = seen[item]
        for h in range(history.shape[1]):
            seen[int(history[b, h])] = False


@loop
def sum_history(
    ids: np.ndarray,
    completion: np.ndarray,
    faded: np.ndarray,
    described: np.ndarray,
    aged: np.ndarray,
    column: int,
    topics: np.ndarray,
    session: np.ndarray,
    windows: np.ndarray,
    means: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Means over windows of the history into `means` (B, W + 1, A + 1), and sums of topics into `sums` (B, 2, G).

    Sums run over the history, the latest first, in single precision, each user's by itself.

    Parameters
    ----------
    ids, completion, faded
        (B, H) item numbers, 0 for none; shares consumed, which the first sum of topics is weighed by; weights of the
        second.
    described
        (N + 1, A) of the items.
    aged, column
        (B, H) in place of a column of `described`; (B, 0) for none.
    topics
        (N + 1, G) of the items.
    session
        (B, H) whether consumed in this session: the first window.
    windows
        (W,) how many of the latest the other windows reach.
    """
    width = described.shape[1]
    row = np.empty(width + 1, np.float32)
    for b in range(len(ids)):
        means[b] = 0.0
        sums[b] = 0.0
        counts = np.zeros(len(windows) + 1, np.int64)
        for h in range(ids.shape[1]):
            item = int(ids[b, h])
            if item == 0:
                continue
            row[0] = completion[b, h]
            for a in range(width):
                row[1 + a] = described[item, a]
            if aged.shape[1] > 0:
                row[1 + column] = aged[b, h]
            for w in range(len(windows) + 1):
                if session[b, h] if w == 0 else h < windows[w - 1]:
                    counts[w] += 1
                    for a in range(width + 1):
                        means[b, w, a] += row[a]
            for g in range(topics.shape[1]):
                sums[b, 0, g] += topics[item, g] * completion[b, h]
                sums[b, 1, g] += topics[item, g] * faded[b, h]
        for w in range(len(windows) + 1):
            for a in range(width + 1):
                means[b, w, a] = means[b, w, a] / float(max(counts[w], 1))
