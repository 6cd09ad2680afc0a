"""Scores of fitted models as features of candidates, beside those of `longplay.envs.scoring.FEATURES`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..encoders.base import ENCODER_FILE, Encoder, Items
from ..encoders.registry import load_encoder
from ..envs.engine import Observation
from ..envs.scoring import FEATURES, Score
from .predicted import INPUTS, Trees

TREES = "minutes.safetensors"
ENCODER = "encoder"


def encoder_score(encoder: Encoder) -> Score:
    """How well each candidate goes with the history by a fitted encoder."""
    by_product = type(encoder).score is Encoder.score
    vectors = encoder.item_vectors if by_product else np.zeros((0, 0), np.float32)

    def score(observation: Observation, features: NDArray[np.float32]) -> NDArray[np.float32]:
        ids = observation["candidates"].astype(np.int64)
        if by_product:
            # User by user: a batched product would sum in another order for another batch.
            users = encoder.encode(observation)
            return np.stack([vectors[row] @ user for row, user in zip(ids, users, strict=True)])
        scores = np.take_along_axis(encoder.score(observation), ids, axis=1)
        return np.where(ids > 0, scores, 0.0).astype(np.float32)

    return score


def minutes_score(trees: Trees) -> Score:
    """Predicted minutes of each candidate in the first slot."""

    def score(observation: Observation, features: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = np.zeros((features[..., 0].size, len(INPUTS)))
        inputs[:, :-1] = features.reshape(-1, len(FEATURES))
        return trees.predict(inputs).reshape(features.shape[:2]).astype(np.float32)

    return score


def check_scores(folders: Sequence[str]) -> None:
    """Refuse folders that hold no score, and two of one name, before anything slow happens."""
    for folder in folders:
        if not any((Path(folder) / name).is_file() for name in (ENCODER_FILE, TREES, f"{ENCODER}/{ENCODER_FILE}")):
            raise ValueError(
                f"scores: {folder!r} holds no fitted encoder (scripts/encode.py) and no rule that was fitted "
                "(scripts/compare.py --rules-folder); name such a folder"
            )
    names = [Path(folder).name for folder in folders]
    for name in names:
        if names.count(name) > 1 or name in FEATURES:
            raise ValueError(f"scores: {name!r} is the name of two features; rename a folder")


def load_scores(folders: Sequence[str], items: Items) -> Mapping[str, Score]:
    """Scores by the name of the folder that each was saved in."""
    check_scores(folders)
    found = {}
    for folder in map(Path, folders):
        if (folder / TREES).is_file():
            found[folder.name] = minutes_score(Trees.load(folder / TREES))
        else:
            where = folder if (folder / ENCODER_FILE).is_file() else folder / ENCODER
            found[folder.name] = encoder_score(load_encoder(where, items))
    return found
