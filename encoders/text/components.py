"""Item vectors in fewer dimensions: the directions in which they lie, and how well their order is kept."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from .cache import Vectors

PROBES = 1000  # items whose neighbours are compared
NEIGHBOURS = 10


def project_vectors(vectors: Vectors, dimensions: int) -> Vectors:
    """Vectors (N, E) on the directions in which, of unit length, they keep most of their inner products: (N, D).

    These are the first right singular vectors of the table; it is not centred, for it is cosines and not distances
    that are to be kept (Eckart and Young, 1936).

    Parameters
    ----------
    vectors
        (N, E) float32.
    dimensions
        D, at most E.

    Raises
    ------
    ValueError
        If there are not as many dimensions.
    """
    width = vectors.shape[1]
    if not 1 <= dimensions <= width:
        raise ValueError(f"dimensions = {dimensions} is out of range; allowed: 1 to {width}, the width of the vectors")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    with threadpool_limits(limits=1):  # the number of threads must not change a bit
        _, directions = np.linalg.eigh(unit.T.astype(np.float64) @ unit.astype(np.float64))
        basis = directions[:, ::-1][:, :dimensions]
        # A direction and its opposite are the same: the larger part of each points up.
        basis *= np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(dimensions)])
        return np.ascontiguousarray(unit @ basis.astype(np.float32))


def measure_recall(vectors: Vectors, projected: Vectors) -> float:
    """Share of the ten nearest neighbours of items, by cosine, that are nearest among the projected, too."""
    probes = np.linspace(0, len(vectors) - 1, min(PROBES, len(vectors))).astype(int)
    near, found = (_find_nearest(table, probes) for table in (vectors, projected))
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(near, found, strict=True)]))


def _find_nearest(table: Vectors, probes: np.ndarray) -> np.ndarray:
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    with threadpool_limits(limits=1):
        cosines = unit[probes] @ unit.T
    cosines[np.arange(len(probes)), probes] = -2.0
    return np.argpartition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
