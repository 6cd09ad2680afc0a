"""Rankings written down in plain NumPy, which the tests of the rules compare with."""

import numpy as np

from longplay.envs.candidates.pooling import pool_history

SLOTS = 10


def cosines(scorer, observation):
    """Similarity (B, M) of candidates and pooled history, in float64."""
    pooled = pool_history(
        scorer.vectors[1:],
        observation["history_ids"],
        observation["history_completion"],
        observation["history_age"],
    ).astype(float)
    vectors = scorer.vectors[observation["candidates"].astype(int)].astype(float)
    return np.einsum("bmd,bd->bm", vectors, pooled / np.linalg.norm(pooled, axis=1, keepdims=True))


def usable(observation):
    return (observation["candidates"][:, :, None] != observation["history_ids"][:, None, :]).all(axis=2)


def greedy(observation, scores):
    """The best-scored candidates outside the history."""
    order = np.argsort(-np.where(usable(observation), scores, -np.inf), axis=1, kind="stable")[:, :SLOTS]
    return np.take_along_axis(observation["candidates"], order, axis=1).astype(np.int64)
