"""The nearest-neighbour step of Wolpertinger agents, and what their actors minimise: pure functions.

Everywhere: B users, M candidates, D dimensions of the space in which proto items and candidates are points.
Dulac-Arnold et al. (2015), Deep Reinforcement Learning in Large Discrete Action Spaces.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REAL, LATE = 1, 2  # kinds of candidates; 0 is none, and a late one is shown only when no other is left
METRICS = ("distance", "inner")


def find_nearest(points: Tensor, kind: NDArray[np.int8], proto: Tensor, count: int, metric: str) -> NDArray[np.int64]:
    """Columns (B, min(count, M)) of the candidates closest to a proto item, the closest first, −1 for none.

    Parameters
    ----------
    points
        (B, M, D).
    kind
        (B, M): 0, `REAL`, or `LATE`, which come after all that are not.
    proto
        (B, D).
    count
        k.
    metric
        Closest by Euclidean "distance", or by the largest "inner" product. Of two alike the first column is taken.
    """
    towards = proto[:, None, :]
    far = ((points - towards) ** 2).sum(dim=2) if metric == "distance" else -(points * towards).sum(dim=2)
    group = np.where(kind == 0, LATE + 1, kind)
    columns = np.lexsort((far.double().numpy(), group), axis=1)[:, :count]
    return np.where(np.take_along_axis(kind, columns, axis=1) > 0, columns, -1)


def value_alone(appeal: Tensor, gain: Tensor) -> Tensor:
    """``σ(v) g``: what a slate of one item is worth more than an empty one, under the logit with weight 1 for none."""
    return torch.sigmoid(appeal) * gain


def tether_distance(proto: Tensor, points: Tensor, real: Tensor) -> Tensor:
    """(B,) mean over dimensions of the squared distance from proto items (B, D) to the closest of points (B, k, D).

    A critic knows nothing of places where no candidate is. 0 where none of the points is `real` (B, k).
    """
    squared = ((points - proto[:, None, :]) ** 2).mean(dim=2).masked_fill(~real, torch.inf)
    least = squared.min(dim=1).values
    return torch.where(real.any(dim=1), least, 0.0)


def future_target(discount: Tensor, following: Tensor, ended: Tensor, beyond: Tensor) -> Tensor:
    """``d V(s')`` (B,), with the value `beyond` of the last state where a life has ended: its next row is another's.

    The discount is 0 after churn; at the horizon it is not, and life goes on unwatched.
    """
    return discount * torch.where(ended, beyond, following)
