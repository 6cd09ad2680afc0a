"""A sweep of one number: a grid, then ever finer around the best, every value on the same lives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...envs.shared.options import Options, number


@dataclass(frozen=True)
class SweepOptions(Options):
    """How a number is swept."""

    users: int = number(200, 1, 10**6)
    """Validation users that each value plays, with the same luck."""
    grid: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
    """Values tried first."""
    rounds: int = number(2, 0, 10)
    """Rounds that follow, each of the midpoints between the best and its neighbours."""

    def __post_init__(self) -> None:
        """Refuse a grid that is none, too."""
        super().__post_init__()
        if not self.grid or not np.isfinite(self.grid).all() or (np.diff(self.grid) <= 0).any():
            raise ValueError(f"grid = {list(self.grid)} must be one or more finite numbers that rise")


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    values, scores
        What was tried (V,), in rising order, and what it brought (V,).
    """

    values: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def best(self) -> float:
        """The value that brought most; of equals the smallest."""
        return float(self.values[np.argmax(self.scores)])


def sweep_number(
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]], grid: Sequence[float], rounds: int
) -> Sweep:
    """Find the value that scores most.

    Parameters
    ----------
    score
        Callable from values (V,) to their scores (V,), more being better.
    grid
        Values tried first, rising. Where the largest is the best, the next rounds go beyond it, too, by half of it.
    rounds
        Rounds of midpoints between the best so far and its neighbours.
    """
    values = np.asarray(grid, np.float64)
    scores = np.asarray(score(values), np.float64)
    for _ in range(rounds):
        place = int(np.argmax(scores))
        best = values[place]
        fresh = [(best + other) / 2 for other in values[max(place - 1, 0) : place + 2] if other != best]
        if place == len(values) - 1 and best > 0:
            fresh.append(1.5 * best)
        if not fresh:
            break
        found = np.asarray(score(np.array(fresh)), np.float64)
        order = np.argsort(np.append(values, fresh), kind="stable")
        values, scores = np.append(values, fresh)[order], np.append(scores, found)[order]
    return Sweep(values, scores)
