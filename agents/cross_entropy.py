"""The cross-entropy method: search by drawing trials around a mean, and moving the mean to the best of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .options import check_ranges


@dataclass(frozen=True)
class Search:
    """How the weights are searched."""

    users: int = 100
    """Training users that each trial plays; other ones, with other luck, in each iteration."""
    population: int = 32
    """Trials in an iteration; the first is the mean itself."""
    elites: int = 8
    """Trials that give the next mean and spread."""
    iterations: int = 10
    """Rounds."""
    spread: float = 0.4
    """First standard deviation of the weights [minutes per standard deviation of a feature]."""
    validation_users: int = 200
    """Users on whom the means of all iterations are compared; the best is kept."""
    seed: int = 0
    """Of the draws and of the users' luck."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        check_ranges(
            self,
            ("users", 1, 10**6),
            ("population", 2, 10**4),
            ("elites", 2, self.population),
            ("iterations", 1, 10**4),
            ("spread", 1e-6, 1e3),
            ("validation_users", 1, 10**6),
            ("seed", 0, 2**31 - 1),
        )


def cross_entropy(
    score: Callable[[int, NDArray[np.float64]], NDArray[np.float64]], start: NDArray[np.float64], search: Search
) -> list[NDArray[np.float64]]:
    """Means of all iterations of the cross-entropy method, the start first.

    Draws come from a normal distribution with independent components, which is fitted to the best of them, with some
    spread added that shrinks to 0 with the iterations, against settling too soon (Szita and Lőrincz, 2006).

    Parameters
    ----------
    score
        From the iteration and trials (P, F) to their values (P,), more is better.
    start
        (F,) the first mean.
    """
    rng = np.random.default_rng(search.seed)
    means, spread = [np.asarray(start, np.float64)], np.full(len(start), search.spread)
    for iteration in range(search.iterations):
        trials = means[-1] + spread * rng.standard_normal((search.population, len(start)))
        trials[0] = means[-1]
        best = trials[np.argsort(-score(iteration, trials), kind="stable")[: search.elites]]
        means.append(best.mean(axis=0))
        extra = 0.3 * search.spread * (1 - (iteration + 1) / search.iterations)
        spread = np.sqrt(best.var(axis=0) + extra**2)
    return means
